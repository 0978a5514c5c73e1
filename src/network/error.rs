//! Why a call has no answer, and what that says about whether it was served.

use super::hello::Refusal;

/// A call without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection, so the call was never sent.
    #[error("unreachable: {why}")]
    Unreachable { why: String },
    /// The peer does not talk to this node, so the call was never sent; or this node found that
    /// the peer is not the one it expected.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The body is longer than a frame may be, so the call was never sent.
    #[error("body is {bytes} bytes, at most {bytes_max}")]
    TooLong { bytes: usize, bytes_max: usize },
    /// No answer in time. The call may have been served.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended after the call was sent. The call may have been served.
    #[error("connection lost: {why}")]
    Lost { why: String },
    /// The peer served the call and failed, in its words.
    #[error("the peer failed: {0}")]
    Remote(String),
}

impl CallError {
    /// Whether the peer can have seen the call.
    #[must_use]
    pub fn may_have_been_served(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Refused(_) | Self::TooLong { .. } => false,
            Self::TimedOut | Self::Lost { .. } | Self::Remote(_) => true,
        }
    }
}
