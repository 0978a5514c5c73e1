//! The body of every answer that is not a success: RFC 9457, with what helps.

use lockring_core::Gone;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Certainty, ErrorCode, Holder, Mode};

/// The content type of a problem body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A problem body. The five fields of RFC 9457 and `code`, `certainty` are always there; of the
/// others, those that help with this code.
///
/// ```
/// use lockring_client::wire::{ErrorCode, Problem};
///
/// let mut problem = Problem::new(ErrorCode::FenceStale, "fence 7 is not the lease's");
/// problem.highest_fence = Some(None);
/// let body = serde_json::to_value(&problem).unwrap();
/// assert_eq!(body["status"], 412);
/// assert_eq!(body["certainty"], "no_effect");
/// assert!(body["highest_fence"].is_null() && body.get("highest_fence").is_some());
/// assert!(body.get("holders").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that names the kind of problem: `urn:lockring:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line, the same for every problem of this code.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What was wrong this time, with the value and the bound in it.
    pub detail: String,
    /// What programs branch on.
    pub code: ErrorCode,
    /// Whether the call may have had an effect.
    pub certainty: Certainty,

    /// `held`, `wait_timeout`: who holds the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holders: Option<Vec<Holder>>,
    /// `held`: how many wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// `wait_timeout`: how many were still before the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// `deadlock`: the circle that waiting would close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<Vec<CycleStep>>,
    /// `limit_mismatch`: the capacity in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// `upgrade_conflict`: the mode in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// `session_gone`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<GoneCause>,
    /// `fence_stale`: the fence of the lock's newest lease; null, but there, when it is free.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub highest_fence: Option<Option<u64>>,
    /// `invalid`: the field, header or parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `invalid`: what it was, cut to a sensible length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `invalid`, `too_large`: what it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// `limit`: which bound, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// `unauthenticated`, `forbidden`: the permission that was missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// `limit`, `delayed`, `unready`: when asking again may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// `unready`: the API address of the leader, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// `bug`: the id of the server's log line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_id: Option<String>,
}

/// A field that is there counts, even when it is null.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::<u64>::deserialize(from).map(Some)
}

impl Problem {
    /// A problem with the fields that every one has; the caller adds those that help.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:lockring:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            certainty: code.certainty(),
            holders: None,
            queue: None,
            position: None,
            cycle: None,
            of: None,
            mode: None,
            cause: None,
            highest_fence: None,
            field: None,
            value: None,
            bound: None,
            limit: None,
            permission: None,
            retry_after_ms: None,
            leader: None,
            log_id: None,
        }
    }
}

/// One session in a circle of sessions that wait for each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CycleStep {
    /// The first eight digits of the session.
    pub session: String,
    /// Who it says it is.
    pub owner: String,
    /// The lock that it holds and the one before it wants.
    pub holds: String,
    /// The lock that it wants.
    pub wants: String,
}

/// Why a session is not alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GoneCause {
    /// Nobody opened it, or it ended so long ago that it is forgotten.
    NeverExisted,
    /// Its client closed it.
    Closed,
    /// Its client was silent for its TTL.
    Expired,
    /// An operator ended it.
    EndedByOperator,
}

impl From<Gone> for GoneCause {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::NeverExisted => Self::NeverExisted,
            Gone::Closed => Self::Closed,
            Gone::Expired => Self::Expired,
            Gone::EndedByOperator => Self::EndedByOperator,
        }
    }
}

impl std::fmt::Display for GoneCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NeverExisted => "it never existed, or ended long ago",
            Self::Closed => "its client closed it",
            Self::Expired => "its client was silent for its ttl",
            Self::EndedByOperator => "an operator ended it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_fence_is_not_an_absent_one() {
        let bare = Problem::new(ErrorCode::Held, "held by s1");
        let written = serde_json::to_string(&bare).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&written).unwrap(), bare);

        for fence in [Some(None), Some(Some(9))] {
            let mut problem = Problem::new(ErrorCode::FenceStale, "not held");
            problem.highest_fence = fence;
            let written = serde_json::to_string(&problem).unwrap();
            assert_eq!(serde_json::from_str::<Problem>(&written).unwrap(), problem);
        }
    }

    #[test]
    fn fields_of_a_newer_server_are_passed_over() {
        let mut body = serde_json::to_value(Problem::new(ErrorCode::Limit, "full")).unwrap();
        body["since_version_9"] = serde_json::json!({"deep": [1, 2]});
        let problem: Problem = serde_json::from_value(body).unwrap();
        assert_eq!(problem.code, ErrorCode::Limit);
    }
}
