//! Calls that take, change and end leases.

use lockring_client::wire::{ErrorCode, header};

use super::{About, plain};

const ACQUIRES: &[ErrorCode] = &[
    ErrorCode::Held,
    ErrorCode::Deadlock,
    ErrorCode::LimitMismatch,
    ErrorCode::UpgradeConflict,
    ErrorCode::Delayed,
    ErrorCode::WaitTimeout,
    ErrorCode::SessionGone,
    ErrorCode::Limit,
    ErrorCode::Unready,
    ErrorCode::Indeterminate,
];
/// A holder's call about its lease.
const CHANGES_A_LEASE: &[ErrorCode] = &[
    ErrorCode::FenceStale,
    ErrorCode::SessionGone,
    ErrorCode::Unready,
    ErrorCode::Indeterminate,
];
const OPERATES: &[ErrorCode] = &[ErrorCode::Unready, ErrorCode::Indeterminate];

pub(super) fn acquire() -> About {
    plain(
        "leases",
        "Acquire a lock",
        "With `session`, the lease is that session's; acquiring what it holds already is answered \
         with the same lease. Without, a session is opened for this lease alone and ends with it; \
         its TTL counts from the grant.\n\nA session that holds the lock in another mode asks \
         for a change: from shared to exclusive it goes before the queue, and waits only for the \
         other holders; from exclusive to shared it is answered at once. Both get a new fence; \
         every other change is refused with `upgrade_conflict`.\n\n`wait_ms` of 0 tries once. A \
         longer wait takes a place in the queue, first come first served, which survives the loss \
         of any node. A shared request never overtakes a waiting exclusive one. The call is \
         parked for at most 25 s; if the wait is longer, it is answered with 202, and repeating it \
         with the same key takes the same place again. Whoever sent no key is told one in the \
         `idempotency-key` header of the 202. Closing the connection of a parked call gives up its \
         place; of a call without key, also what it may have been granted meanwhile.",
    )
    .keyed()
    .may_have("Acquire")
    .ok("Granted", "The lease is the caller's.")
    .headers(&[(header::FENCE, "The lease's fence.")])
    .may_queue()
    .problems(ACQUIRES)
}

pub(super) fn release() -> About {
    plain(
        "leases",
        "Release a lock",
        "Only with the fence of the lease; the first in the queue is granted the lock in the same \
         command.",
    )
    .keyed()
    .has("Release")
    .ok("Released", "It is released.")
    .problems(CHANGES_A_LEASE)
}

pub(super) fn acquire_all() -> About {
    plain(
        "leases",
        "Acquire many locks at once",
        "All of 1 to 1024 locks, in any modes, in one step, or none. Locks that the session holds \
         already in the mode asked for count as granted. While the call waits it holds none of \
         them, and its place counts in the queue of each. It is parked, answered with 202 and \
         taken up again as the acquire of one lock is.",
    )
    .keyed()
    .has("AcquireAll")
    .ok("GrantedAll", "All leases are the session's.")
    .may_queue()
    .problems(ACQUIRES)
}

pub(super) fn set_value() -> About {
    plain(
        "leases",
        "Change what a lease is seen with",
        "Up to 1 KiB of text that whoever looks at the lock sees with its holder, such as an \
         address. An empty text is none.",
    )
    .keyed()
    .has("SetValue")
    .ok("ValueSet", "It is seen.")
    .problems(CHANGES_A_LEASE)
}

pub(super) fn transfer() -> About {
    plain(
        "leases",
        "Give a lease to another session",
        "In one step, under a new fence; nobody in the queue is passed over, for the lock never \
         becomes free. The other session is told by `granted` on its event stream. It must be \
         alive, and neither hold the lock nor wait for it.",
    )
    .keyed()
    .has("Transfer")
    .ok("Transferred", "The lease is the other session's.")
    .headers(&[(header::FENCE, "The new lease's fence.")])
    .problems(&[
        ErrorCode::FenceStale,
        ErrorCode::UpgradeConflict,
        ErrorCode::Deadlock,
        ErrorCode::SessionGone,
        ErrorCode::NotFound,
        ErrorCode::Limit,
        ErrorCode::Unready,
        ErrorCode::Indeterminate,
    ])
}

pub(super) fn revoke() -> About {
    plain(
        "leases",
        "Ask for a lock back",
        "Its holders are told by `revoke_requested` on their sessions' event streams, with the \
         reason and the deadline; what they still hold then is ended. A newer call replaces the \
         reason and the deadline of the one before. Where tokens are configured, the recorded \
         reason ends with the first digits of the hash of the caller's.",
    )
    .keyed()
    .has("Revoke")
    .ok("Revoking", "They are asked.")
    .problems(OPERATES)
}

pub(super) fn break_now() -> About {
    plain(
        "leases",
        "End a lock's leases now",
        "For an operator: the holders learn of it from their event streams and from the refusal of \
         their next call. What they have under way is not stopped: that is what fences are for. \
         The reason is kept in the lock's history, as with a revoke.",
    )
    .keyed()
    .has("Break")
    .ok("Broken", "They are ended.")
    .problems(OPERATES)
}
