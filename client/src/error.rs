//! The one error of the client: what happened, whether anything came of it, what the service said.

use std::time::Duration;

use crate::wire::{Certainty, ErrorCode, GoneCause, Problem, Retry};

/// Why a call brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The service answered that it did not do it.
    #[error("{} [{}]", .problem.detail, .problem.code)]
    Refused {
        /// Its words.
        problem: Box<Problem>,
        /// Whether anything may have come of the call: an earlier attempt of the same call may
        /// have had an effect although this answer denies one (say, a token was withdrawn between
        /// the two).
        certainty: Certainty,
    },
    /// Nobody answered in time.
    #[error("no answer within {within:?}: {last}")]
    NoAnswer {
        /// How long it was tried.
        within: Duration,
        /// What went wrong last.
        last: String,
        /// Whether anything may have come of the call.
        certainty: Certainty,
    },
    /// No server showed a certificate that this client trusts.
    #[error("{why}")]
    Distrusted {
        /// Which server, and what was wrong with its certificate.
        why: String,
        /// Whether anything may have come of the call.
        certainty: Certainty,
    },
    /// The lease or its session ended, so that the call has lost its sense.
    #[error("lost: {0}")]
    Lost(LostCause),
    /// Somebody answered, but not in the words of the contract; a proxy, or another service.
    #[error("an answer with status {status} that is not of the contract: {detail}")]
    Foreign {
        /// The HTTP status.
        status: u16,
        /// What was wrong with it.
        detail: String,
        /// Whether anything may have come of the call.
        certainty: Certainty,
    },
    /// What the caller gave can never be sent.
    #[error("{what} {why}")]
    Invalid {
        /// Which of the things given.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The service's code, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.problem().map(|problem| problem.code)
    }

    /// The service's words, if it gave some.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            Self::NoAnswer { .. }
            | Self::Distrusted { .. }
            | Self::Lost(_)
            | Self::Foreign { .. }
            | Self::Invalid { .. } => None,
        }
    }

    /// Whether anything may have come of the call.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        match self {
            Self::Refused { certainty, .. }
            | Self::NoAnswer { certainty, .. }
            | Self::Distrusted { certainty, .. }
            | Self::Foreign { certainty, .. } => *certainty,
            // What the session held or waited for ended with it.
            Self::Lost(_) | Self::Invalid { .. } => Certainty::NoEffect,
        }
    }

    /// Whether the same call may succeed elsewhere or later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { problem, .. } => problem.code.retry() != Retry::Never,
            Self::Foreign { status, .. } => matches!(status, 502..=504),
            Self::NoAnswer { .. } => true,
            Self::Distrusted { .. } | Self::Lost(_) | Self::Invalid { .. } => false,
        }
    }

    /// Whether the lock was simply held by another: at once for a try, all the while for a wait.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::Held | ErrorCode::WaitTimeout))
    }
}

/// Why a lease, or a session with every lease that it had, is no longer this client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostCause {
    /// No renewal was answered for so long that the session may have expired. It may also still
    /// live for a moment; nobody knows, so nobody may act as if it did.
    Unreachable,
    /// The service says that the session is gone.
    Gone {
        /// Why.
        cause: GoneCause,
        /// What the operator who ended it said. It comes with the news about the session's leases,
        /// not with the refusal of a call: a session without a lease is not told.
        reason: Option<String>,
    },
    /// This client closed the session.
    Closed,
    /// The lease was held for as long as it may be.
    MaxHold,
    /// An operator ended the lease.
    Broken {
        /// In the operator's words.
        reason: String,
    },
    /// The lease was asked back, and not given back in time.
    Revoked {
        /// In the words of whoever asked.
        reason: String,
    },
    /// The lease was given to another session.
    Transferred,
    /// The session acquired the lock anew, in another mode, and has another lease of it now.
    Replaced,
    /// The session does not have the lease any more, and what became of it was not told.
    Released,
}

impl std::fmt::Display for LostCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no renewal was answered in time"),
            Self::Gone {
                cause,
                reason: None,
            } => cause.fmt(f),
            Self::Gone {
                cause,
                reason: Some(reason),
            } => write!(f, "{cause}: {reason}"),
            Self::Closed => f.write_str("this client closed it"),
            Self::MaxHold => f.write_str("it was held for as long as it may be"),
            Self::Broken { reason } => write!(f, "an operator ended it: {reason}"),
            Self::Revoked { reason } => write!(f, "it was asked back: {reason}"),
            Self::Transferred => f.write_str("it was given to another session"),
            Self::Replaced => f.write_str("the session has it in another mode now"),
            Self::Released => f.write_str("the session does not have it any more"),
        }
    }
}
