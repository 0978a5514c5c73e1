//! Locks as readers see them: get, list, check.

use serde::{Deserialize, Serialize};

use super::Mode;

/// How new a read's view must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Consistency {
    /// It reflects everything that was acknowledged before the read began.
    #[default]
    Linearizable,
    /// It is whatever the asked node has applied.
    Stale,
}

/// Query of `GET /v1/locks/{name}` and of `GET /v1/sessions/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct ReadQuery {
    /// Linearizable if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Waits until the view reflects at least this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<u64>,
}

/// Whether anybody holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LockState {
    /// Nobody.
    Free,
    /// Somebody.
    Held,
}

/// 200 to `GET /v1/locks/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lock {
    /// Its name.
    pub lock: String,
    /// Whether anybody holds it.
    pub state: LockState,
    /// Who, the first 100.
    pub holders: Vec<Holder>,
    /// Who waits, in the order of the queue, the first 100.
    pub queue: Vec<Waiter>,
    /// How many wait in all.
    #[serde(default)]
    pub queue_total: u32,
    /// How many hold it in all.
    #[serde(default)]
    pub holders_total: u32,
    /// The fence of its newest lease; null when it is free, for then nothing is remembered of it.
    pub highest_fence: Option<u64>,
    /// For how long nobody is granted it, after an abnormal loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed_for_ms: Option<u64>,
    /// That its holders are asked to give it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoking: Option<Revocation>,
}

/// An operator's wish that holders have not fulfilled yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revocation {
    /// When the leases end that are left.
    pub deadline_in_ms: u64,
    /// Why.
    pub reason: String,
}

/// A holder as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Holder {
    /// The first eight digits of its session.
    pub session: String,
    /// Who it says it is.
    pub owner: String,
    /// How it shares the lock.
    pub mode: Mode,
    /// The number of its grant.
    pub fence: u64,
    /// For how long it has held the lock.
    pub held_ms: u64,
    /// When its session ends unless renewed.
    pub expires_in_ms: u64,
    /// When the lease ends however alive its session is, if that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ends_in_ms: Option<u64>,
    /// What it wants to be seen with, if it said so.
    #[serde(default)]
    pub value: Option<String>,
}

/// A waiter as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Waiter {
    /// The first eight digits of its session.
    pub session: String,
    /// Who it says it is.
    pub owner: String,
    /// What it waits for.
    pub mode: Mode,
    /// The id of its place.
    pub ticket: u64,
    /// For how long it has waited.
    pub waited_ms: u64,
    /// When its wait ends.
    pub ends_in_ms: u64,
}

/// Query of `GET /v1/locks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct LocksQuery {
    /// Only names that start so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows at most, 1–1000; 100 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Linearizable if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Waits until the view reflects at least this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<u64>,
}

/// 200 to `GET /v1/locks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockPage {
    /// Locks in use, in the order of the names.
    pub locks: Vec<Lock>,
    /// There are more: ask again with `after` set to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Query of `GET /v1/locks/{name}/check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct CheckQuery {
    /// The fence to check.
    pub fence: u64,
    /// Linearizable if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Waits until the view reflects at least this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<u64>,
}

/// 200 to `GET /v1/locks/{name}/check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// Whether a lease with that fence is in force.
    pub current: bool,
    /// The fence of the lock's newest lease; null when it is free.
    pub highest_fence: Option<u64>,
}
