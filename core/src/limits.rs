//! Every bound in the system, in one place, held against each other at compile time.
//!
//! A limit that a caller can reach is answered with a refusal that names it; none panics.

/// A lock's name, in bytes of UTF-8.
pub const LOCK_NAME_BYTES_MAX: usize = 512;
/// An `Idempotency-Key`, in bytes of visible ASCII.
pub const REQUEST_KEY_BYTES_MAX: usize = 64;
/// The owner that a session names itself, in bytes.
pub const OWNER_BYTES_MAX: usize = 128;
/// A session's metadata, in bytes.
pub const METADATA_BYTES_MAX: usize = 1024;
/// What is shown with a lease, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024;
/// An operator's reason, in bytes.
pub const REASON_BYTES_MAX: usize = 512;
/// A request's body, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The shortest and the longest life of a session without renewal, and what it is if not said.
pub const TTL_MS_MIN: u64 = 500;
/// See [`TTL_MS_MIN`].
pub const TTL_MS_MAX: u64 = 3_600_000;
/// See [`TTL_MS_MIN`].
pub const TTL_MS_DEFAULT: u64 = 10_000;
/// The longest wait that a caller may ask for, in milliseconds.
pub const WAIT_MS_MAX: u64 = 24 * 3_600_000;
/// The longest that a lease may be limited to, in milliseconds: thirty days. The shortest is 1.
pub const HOLD_MS_MAX: u64 = 30 * 24 * 3_600_000;
/// The longest time for which a lock stays closed after an abnormal loss, in milliseconds.
pub const LOCK_DELAY_MS_MAX: u64 = 60_000;
/// The longest that holders may be given to obey a revocation, in milliseconds.
pub const REVOKE_MS_MAX: u64 = 24 * 3_600_000;

/// Live sessions in a cluster.
pub const SESSIONS_MAX: usize = 1_000_000;
/// Locks that are held or queued for, in a cluster.
pub const LOCKS_MAX: usize = 10_000_000;
/// Waiters in one lock's queue.
pub const WAITERS_PER_LOCK_MAX: usize = 10_000;
/// Leases of one lock at a time.
pub const HOLDERS_PER_LOCK_MAX: usize = 10_000;
/// Permits of one lock.
pub const PERMITS_MAX: u32 = 1_000_000;
/// Locks that one call may ask for together.
pub const LOCKS_PER_ACQUIRE_MAX: usize = 1024;
/// Leases and places that one session may have at a time.
pub const LEASES_PER_SESSION_MAX: usize = 1_000_000;
/// Outcomes remembered for one session's request ids.
pub const REPLAYS_PER_SESSION_MAX: usize = 64;
/// Outcomes remembered for the request ids of operators' calls, in the whole cluster.
pub const OPERATOR_REPLAYS_MAX: usize = 1024;
/// Holders and waiters that are looked at in the search for a deadlock. If there are more, the
/// request is let into the queue: its wait ends at its deadline.
pub const DEADLOCK_STEPS_MAX: usize = 4096;
/// Ended sessions whose cause is remembered; older ones "never existed".
pub const ENDED_SESSIONS_MAX: usize = 16_384;

/// A ring's name, in bytes.
pub const RING_NAME_BYTES_MAX: usize = 128;
/// A ring member's name, in bytes.
pub const MEMBER_NAME_BYTES_MAX: usize = 128;
/// The zone that a member says it is in, in bytes.
pub const ZONE_BYTES_MAX: usize = 64;
/// Addresses that a member is listed with.
pub const ADDRESSES_PER_MEMBER_MAX: usize = 8;
/// One of them, and what it is called, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// Why an operator froze or thawed a ring, in bytes.
pub const RING_REASON_BYTES_MAX: usize = 256;
/// Rings in a cluster.
pub const RINGS_MAX: usize = 64;
/// Members of one ring, and what their weights may add up to: it bounds the points on its circle.
pub const MEMBERS_PER_RING_MAX: usize = 1024;
/// See [`MEMBERS_PER_RING_MAX`].
pub const WEIGHT_PER_RING_MAX: u64 = 16_384;
/// The weight of one member.
pub const WEIGHT_MAX: u16 = 1024;
/// Members in a preference list.
pub const REPLICAS_MAX: usize = 16;
/// How long a lost member's slots are kept for it, in milliseconds, if not said and at most.
pub const REASSIGN_DELAY_MS_DEFAULT: u64 = 10_000;
/// See [`REASSIGN_DELAY_MS_DEFAULT`].
pub const REASSIGN_DELAY_MS_MAX: u64 = 24 * 3_600_000;
/// Slots that one member hands over at a time.
pub const SLOTS_PER_BATCH: usize = 1024;
/// How long losses are counted together, and how long a braked ring must have been stable.
pub const STORM_MS: u64 = 60_000;
/// Epochs of one ring that a diff can begin at, and the runs of slots kept for them.
pub const RING_EPOCHS_KEPT: usize = 256;
/// See [`RING_EPOCHS_KEPT`].
pub const RING_RUNS_KEPT: usize = 32_768;
/// Epochs left out after a restore: more than any ring sees between two backups.
pub const EPOCHS_SKIPPED_BY_RESTORE: u64 = 1 << 32;

/// Fences left out after a restore: more than a cluster grants between two backups.
pub const FENCES_SKIPPED_BY_RESTORE: u64 = 1 << 32;

/// Commands in one entry.
pub const COMMANDS_PER_ENTRY_MAX: usize = 4096;
/// Sessions in one coalesced renewal.
pub const SESSIONS_PER_RENEWAL_MAX: usize = 16_384;
/// Things that fall due in one entry; the rest goes with the next, so that no apply runs long.
pub const EXPIRIES_PER_ENTRY_MAX: usize = 65_536;
/// Holders and waiters that one answer lists.
pub const LISTED_MAX: usize = 100;

/// Rows in one page of a listing, if not said and at most.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// See [`PAGE_ROWS_DEFAULT`].
pub const PAGE_ROWS_MAX: usize = 1000;

const _: () = {
    assert!(TTL_MS_MIN <= TTL_MS_DEFAULT);
    assert!(TTL_MS_DEFAULT <= TTL_MS_MAX);
    assert!(TTL_MS_MAX <= WAIT_MS_MAX);
    assert!(WAIT_MS_MAX <= HOLD_MS_MAX);
    assert!(LOCKS_PER_ACQUIRE_MAX <= LEASES_PER_SESSION_MAX);
    assert!(PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX);
    assert!(REPLAYS_PER_SESSION_MAX >= 16);
    assert!(REASSIGN_DELAY_MS_DEFAULT <= REASSIGN_DELAY_MS_MAX);
    assert!(WEIGHT_PER_RING_MAX >= MEMBERS_PER_RING_MAX as u64);
    assert!(WEIGHT_PER_RING_MAX >= WEIGHT_MAX as u64);
    // A seat is a u16, and the last of them stands for nobody.
    assert!(MEMBERS_PER_RING_MAX < u16::MAX as usize);
    assert!(LOCK_NAME_BYTES_MAX * 3 < BODY_BYTES_MAX);
};
