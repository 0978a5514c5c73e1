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

/// Live sessions in a cluster.
pub const SESSIONS_MAX: usize = 1_000_000;
/// Locks that are held or queued for, in a cluster.
pub const LOCKS_MAX: usize = 10_000_000;
/// Waiters in one lock's queue.
pub const WAITERS_PER_LOCK_MAX: usize = 10_000;
/// Leases and places that one session may have at a time.
pub const LEASES_PER_SESSION_MAX: usize = 1_000_000;
/// Outcomes remembered for one session's request ids.
pub const REPLAYS_PER_SESSION_MAX: usize = 64;
/// Ended sessions whose cause is remembered; older ones "never existed".
pub const ENDED_SESSIONS_MAX: usize = 16_384;

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
    assert!(PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX);
    assert!(REPLAYS_PER_SESSION_MAX >= 16);
    assert!(LOCK_NAME_BYTES_MAX * 3 < BODY_BYTES_MAX);
};
