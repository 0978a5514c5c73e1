//! Names of the headers that the contract adds, in the lower case that HTTP libraries compare in.

/// Request: names a mutating call, 1–64 visible characters; repeating it has one effect.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Answer: the revision of a mutation, or the one that a read's view reflects.
pub const REVISION: &str = "lockring-revision";
/// Answer: the fence of a grant, for clients that do not want to parse the body.
pub const FENCE: &str = "lockring-fence";
/// Answer: the API address of the leader, such as `http://127.0.0.1:7420`.
pub const LEADER: &str = "lockring-leader";
/// Request: the id of the last event that a stream's reader knows, to go on behind it.
pub const LAST_EVENT_ID: &str = "last-event-id";
