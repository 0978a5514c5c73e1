//! What is done with a lease: by its holder, release, value and transfer; by an operator, revoke
//! and break.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/locks/{name}/release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Release {
    /// Whose lease.
    pub session: String,
    /// The fence that was granted.
    pub fence: u64,
}

/// 200 to a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Released {
    /// Always true: what did not happen is an error.
    pub released: bool,
    /// Whether an earlier call with the same key did it.
    #[serde(default)]
    pub replayed: bool,
}

/// Body of `PUT /v1/locks/{name}/value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetValue {
    /// Whose lease.
    pub session: String,
    /// The fence that was granted.
    pub fence: u64,
    /// What the lease is to be seen with, at most 1 KiB of text.
    pub value: String,
}

/// 200 to a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValueSet {
    /// Always true: what did not happen is an error.
    pub set: bool,
    /// Whether an earlier call with the same key did it.
    #[serde(default)]
    pub replayed: bool,
}

/// Body of `POST /v1/locks/{name}/transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transfer {
    /// Whose lease.
    pub session: String,
    /// The fence that was granted.
    pub fence: u64,
    /// To which session: its id, or the first eight digits of it if no other session has them.
    pub to: String,
}

/// 200 to a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transferred {
    /// The number of the new holder's lease.
    pub fence: u64,
    /// Whether an earlier call with the same key did it.
    #[serde(default)]
    pub replayed: bool,
}

/// Body of `POST /v1/locks/{name}/revoke`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revoke {
    /// Why: the holders are told, and the history keeps it.
    pub reason: String,
    /// How long the holders have to release; then their leases are broken.
    pub deadline_ms: u64,
}

/// 200 to a revoke: the holders are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revoking {
    /// When what they still hold is broken.
    pub deadline_in_ms: u64,
    /// How many leases there were; none if the lock was free, and then nothing is left to do.
    pub leases: u32,
    /// Whether an earlier call with the same key did it.
    #[serde(default)]
    pub replayed: bool,
}

/// Body of `POST /v1/locks/{name}/break`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Break {
    /// Why: the holders are told, and the history keeps it.
    pub reason: String,
}

/// 200 to a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Broken {
    /// How many leases there were; none if the lock was free.
    pub leases: u32,
    /// Whether an earlier call with the same key did it.
    #[serde(default)]
    pub replayed: bool,
}
