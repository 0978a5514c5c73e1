//! Taking locks: one, or many at once.

use serde::{Deserialize, Serialize};

use super::{Lease, Mode};

/// The longest that one acquire is answered late, however long its wait: then comes a 202, and the
/// caller repeats the call with the same key. Below what proxies on the way cut.
pub const POLL_WINDOW_MS: u64 = 25_000;

/// Body of `POST /v1/locks/{name}/acquire`; every field may be left out.
///
/// Without `session` one is opened for this lease alone, with `ttl_ms` and `owner`; with it those
/// two have no place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acquire {
    /// Whose lease it shall be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// TTL of the session that is opened for this lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Owner of the session that is opened for this lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Exclusive if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How long to wait in the queue; 0, and if not said, tries once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// The lease ends this long after its grant, however alive its session is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hold_ms: Option<u64>,
    /// What the lease is to be seen with, at most 1 KiB of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Body of `POST /v1/acquire`: all of these locks in one step, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AcquireAll {
    /// Whose leases they shall be.
    pub session: String,
    /// Which locks, each once.
    pub locks: Vec<Want>,
    /// How long to wait for all of them; 0, and if not said, tries once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// The leases end this long after their grant, however alive their session is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hold_ms: Option<u64>,
}

/// One lock among several that are wanted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Want {
    /// Its name.
    pub lock: String,
    /// Exclusive if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// 200 to an acquire: the lease is the caller's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Granted {
    /// Of which lock.
    pub lock: String,
    /// Whose: the session given, or the one opened for this lease.
    pub session: String,
    /// How it is shared.
    pub mode: Mode,
    /// Its number, higher than that of every grant before it.
    pub fence: u64,
    /// When its session ends unless renewed, counted from the answer.
    pub expires_in_ms: u64,
    /// When the lease ends however alive its session is, if that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ends_in_ms: Option<u64>,
    /// Whether an earlier call with the same key got it.
    pub replayed: bool,
}

/// 200 to an acquire of many locks: every lease is the caller's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantedAll {
    /// Whose.
    pub session: String,
    /// The leases in the order of the names.
    pub leases: Vec<Lease>,
    /// When their session ends unless renewed, counted from the answer.
    pub expires_in_ms: u64,
    /// When the leases end however alive their session is, if that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ends_in_ms: Option<u64>,
    /// Whether an earlier call with the same key got them.
    pub replayed: bool,
}

/// 202 to an acquire: the caller has a place, and keeps it by repeating the call with the same
/// `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Queued {
    /// The id of the place.
    pub ticket: u64,
    /// How many are before it; of many locks, in the longest of their queues.
    pub position: u32,
    /// When to repeat the call at the latest; at once is right.
    pub retry_after_ms: u64,
}
