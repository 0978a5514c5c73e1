//! Sessions: open, renew, get, list, close.

use serde::{Deserialize, Serialize};

use super::{Consistency, Mode};

/// Body of `POST /v1/sessions`; every field may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenSession {
    /// How long it lives without renewal; the cluster's default if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Who opens it, for others to read; at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it wants to be listed with, at most 1 KiB of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// After an abnormal loss of one of its leases nobody is granted the lock for so long; 0 if not
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_delay_ms: Option<u64>,
}

/// 201 to `POST /v1/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Opened {
    /// Its id, 32 hexadecimal digits. Whoever knows it can use it: keep it to yourself.
    pub session: String,
    /// Its TTL.
    pub ttl_ms: u64,
    /// When it ends unless renewed, counted from the answer.
    pub expires_in_ms: u64,
    /// Whether an earlier call with the same key opened it.
    #[serde(default)]
    pub replayed: bool,
}

/// 200 to `POST /v1/sessions/{id}/renew`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Renewed {
    /// When it ends unless renewed again, counted from the answer.
    pub expires_in_ms: u64,
}

/// 200 to `GET /v1/sessions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Its id, whole: the asker knows it.
    pub session: String,
    /// Who it says it is.
    pub owner: String,
    /// What it wants to be listed with.
    #[serde(default)]
    pub metadata: String,
    /// Its TTL.
    pub ttl_ms: u64,
    /// When it ends unless renewed.
    pub expires_in_ms: u64,
    /// Its leases in the order of the names, the first 100.
    pub leases: Vec<Lease>,
    /// How many leases it has in all.
    #[serde(default)]
    pub leases_total: u32,
    /// Its places in queues in the order of the names, the first 100.
    pub waits: Vec<Wait>,
    /// How many places it has in all.
    #[serde(default)]
    pub waits_total: u32,
    /// For how long nobody is granted a lock that it lost abnormally.
    #[serde(default)]
    pub lock_delay_ms: u64,
}

/// One lease of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// Of which lock.
    pub lock: String,
    /// How it is shared.
    pub mode: Mode,
    /// Its number.
    pub fence: u64,
}

/// One place of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Wait {
    /// In whose queue.
    pub lock: String,
    /// What it waits for.
    pub mode: Mode,
    /// How many are before it.
    pub position: u32,
}

/// Query of `GET /v1/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct SessionsQuery {
    /// Only this owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
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

/// 200 to `GET /v1/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionPage {
    /// Live sessions, in a fixed order.
    pub sessions: Vec<SessionRow>,
    /// There are more: ask again with `after` set to this. It has no meaning to a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One session as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionRow {
    /// The first eight digits of its id.
    pub session: String,
    /// Who it says it is.
    pub owner: String,
    /// What it wants to be listed with.
    #[serde(default)]
    pub metadata: String,
    /// Its TTL.
    pub ttl_ms: u64,
    /// When it ends unless renewed.
    pub expires_in_ms: u64,
    /// How many leases it has.
    pub leases: u32,
}

/// Query of `DELETE /v1/sessions/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct EndQuery {
    /// Why an operator ends the session; only, and necessarily, with the first eight digits of an
    /// id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// 200 to `DELETE /v1/sessions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Closed {
    /// The leases that went with it.
    pub released: Vec<ClosedLease>,
    /// Whether an earlier call with the same key closed it.
    #[serde(default)]
    pub replayed: bool,
}

/// A lease that ended with its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClosedLease {
    /// Of which lock.
    pub lock: String,
    /// Its number.
    pub fence: u64,
}
