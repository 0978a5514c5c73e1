//! Error codes, and the three questions that each of them must answer.
//!
//! A client that gets no lease needs to know three things: what to tell its user (the status),
//! whether anything happened (the certainty), and whether asking again can help (the retry rule).
//! They are three exhaustive matches, so that a new code does not compile until it has answered
//! all of them, and server and client cannot answer differently.

use serde::{Deserialize, Serialize};

/// Why a call did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ErrorCode {
    /// The lock is held by another, and the caller did not want to wait.
    Held,
    /// To wait would close a circle of sessions that wait for each other.
    Deadlock,
    /// The lock is in use under another capacity.
    LimitMismatch,
    /// Another holder is already waiting to upgrade.
    UpgradeConflict,
    /// The lock was lost by its last holder, and nobody gets it until its delay has passed.
    Delayed,
    /// The wait ended before the lock was free.
    WaitTimeout,
    /// The session is not alive.
    SessionGone,
    /// The caller does not hold the lock under that fence.
    FenceStale,
    /// There is no such route, node, ring or member.
    NotFound,
    /// A field's value is outside what is allowed.
    Invalid,
    /// The body is too large.
    TooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// The request is not HTTP or its body is not JSON of the right shape.
    Malformed,
    /// A bound of the service is reached.
    Limit,
    /// No token, or one that is not known.
    Unauthenticated,
    /// The token does not carry the permission.
    Forbidden,
    /// The cluster cannot take calls at the moment; nothing happened.
    Unready,
    /// The outcome is not known: it may have happened or may yet.
    Indeterminate,
    /// An invariant failed; the fault is the server's.
    Bug,
}

/// Whether a call that did not succeed may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Certainty {
    /// It certainly had none, and will have none.
    NoEffect,
    /// It may have had one, or may yet.
    Unknown,
}

/// Whether asking again can help, and under which `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The answer stands; asking again is a decision of the caller's, not a repetition.
    Never,
    /// Repeat the call under the same key, after a pause: it has one effect at most.
    SameKey,
    /// What stood in the way may pass, but the refusal may be remembered as its key's outcome: ask
    /// under a new one, after a pause.
    NewKey,
}

impl ErrorCode {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 20] = [
        Self::Held,
        Self::Deadlock,
        Self::LimitMismatch,
        Self::UpgradeConflict,
        Self::Delayed,
        Self::WaitTimeout,
        Self::SessionGone,
        Self::FenceStale,
        Self::NotFound,
        Self::Invalid,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::MethodNotAllowed,
        Self::Malformed,
        Self::Limit,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Unready,
        Self::Indeterminate,
        Self::Bug,
    ];

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::WaitTimeout => 408,
            Self::Held
            | Self::Deadlock
            | Self::LimitMismatch
            | Self::UpgradeConflict
            | Self::Delayed => 409,
            Self::SessionGone => 410,
            Self::FenceStale => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::Limit => 429,
            Self::Bug => 500,
            Self::Unready => 503,
            Self::Indeterminate => 504,
        }
    }

    /// Whether the call may have had an effect.
    #[must_use]
    pub const fn certainty(self) -> Certainty {
        match self {
            Self::Indeterminate | Self::Bug => Certainty::Unknown,
            Self::Held
            | Self::Deadlock
            | Self::LimitMismatch
            | Self::UpgradeConflict
            | Self::Delayed
            | Self::WaitTimeout
            | Self::SessionGone
            | Self::FenceStale
            | Self::NotFound
            | Self::Invalid
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::MethodNotAllowed
            | Self::Malformed
            | Self::Limit
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::Unready => Certainty::NoEffect,
        }
    }

    /// Whether asking again can help.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Unready | Self::Indeterminate => Retry::SameKey,
            Self::Delayed | Self::Limit => Retry::NewKey,
            Self::Held
            | Self::Deadlock
            | Self::LimitMismatch
            | Self::UpgradeConflict
            | Self::WaitTimeout
            | Self::SessionGone
            | Self::FenceStale
            | Self::NotFound
            | Self::Invalid
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::MethodNotAllowed
            | Self::Malformed
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::Bug => Retry::Never,
        }
    }

    /// The code as it is written in a problem body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Deadlock => "deadlock",
            Self::LimitMismatch => "limit_mismatch",
            Self::UpgradeConflict => "upgrade_conflict",
            Self::Delayed => "delayed",
            Self::WaitTimeout => "wait_timeout",
            Self::SessionGone => "session_gone",
            Self::FenceStale => "fence_stale",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Unready => "unready",
            Self::Indeterminate => "indeterminate",
            Self::Bug => "bug",
        }
    }

    /// One line for people: the same for every problem of this code.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Held => "the lock is held",
            Self::Deadlock => "waiting would be a deadlock",
            Self::LimitMismatch => "the lock is in use under another capacity",
            Self::UpgradeConflict => "another holder is already upgrading",
            Self::Delayed => "the lock is in its delay after a loss",
            Self::WaitTimeout => "the wait ended before the lock was free",
            Self::SessionGone => "the session is not alive",
            Self::FenceStale => "the lock is not held under that fence",
            Self::NotFound => "there is no such thing",
            Self::Invalid => "a value is not allowed",
            Self::TooLarge => "the body is too large",
            Self::UnsupportedMediaType => "the body must be application/json",
            Self::MethodNotAllowed => "the method is not allowed here",
            Self::Malformed => "the request cannot be understood",
            Self::Limit => "a limit is reached",
            Self::Unauthenticated => "a known token is required",
            Self::Forbidden => "the token lacks the permission",
            Self::Unready => "the cluster cannot take calls at the moment",
            Self::Indeterminate => "the outcome is not known",
            Self::Bug => "an invariant of the server failed",
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_serde_writes_them() {
        for code in ErrorCode::ALL {
            let written = serde_json::to_string(&code).unwrap();
            assert_eq!(written, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<ErrorCode>(&written).unwrap(), code);
        }
    }

    #[test]
    fn a_repetition_under_the_same_key_is_only_for_what_has_no_remembered_outcome() {
        for code in ErrorCode::ALL {
            let transient = matches!(code.status(), 503 | 504);
            assert_eq!(code.retry() == Retry::SameKey, transient, "{code}");
        }
    }

    #[test]
    fn every_unknown_outcome_is_a_fault_of_the_server_side() {
        for code in ErrorCode::ALL {
            if code.certainty() == Certainty::Unknown {
                assert!(code.status() >= 500, "{code}");
            }
        }
    }
}
