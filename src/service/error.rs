//! Why a use case has no answer, or a refusal for one.

use std::borrow::Cow;

use lockring_core::{NodeId, Outcome, Refusal};

use crate::consensus::{MembershipError, ProposeError};

/// What a caller is told instead of what it asked for. Each says what is known of the effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The machine's answer is no; it is committed, and the same when repeated under its key.
    #[error("refused: {refusal:?}")]
    Refused {
        /// The number of the command that was refused, or of the state that was read.
        revision: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Nothing happened: nobody can take commands or vouch for a read at the moment.
    #[error("{why}")]
    Unready {
        /// Who leads, if anybody is known to.
        leader: Option<NodeId>,
        /// In words.
        why: Cow<'static, str>,
    },
    /// It may have happened, or may yet.
    #[error("the outcome is not known: repeat the call under the same key")]
    Indeterminate,
    /// What was asked for is out of its bounds. Nothing happened.
    #[error("`{field}` is {value}, {bound}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        bound: String,
    },
    /// What was named does not exist. Nothing happened.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// This node has as much in hand as it takes on. Nothing happened.
    #[error("this node has reached `{limit}`")]
    Busy {
        /// The name of the bound.
        limit: &'static str,
    },
    /// The machine answered one operation with the outcome of another: our bug.
    #[error("the outcome does not belong to the operation: {0:?}")]
    Mismatch(Box<Outcome>),
}

impl ServiceError {
    pub(super) fn invalid(
        field: &'static str,
        value: impl std::fmt::Display,
        bound: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            field,
            value: value.to_string(),
            bound: bound.into(),
        }
    }
}

impl From<ProposeError> for ServiceError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Unready { leader } => Self::Unready {
                leader,
                why: "no leader can take calls at the moment".into(),
            },
            ProposeError::Indeterminate => Self::Indeterminate,
            ProposeError::Stopped => Self::Unready {
                leader: None,
                why: "this node has stopped".into(),
            },
        }
    }
}

impl From<MembershipError> for ServiceError {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::NotFound(id) => Self::NotFound {
                what: format!("node {id}"),
            },
            MembershipError::Refused(bound) => Self::Invalid {
                field: "id",
                value: "not acceptable now".to_owned(),
                bound,
            },
            MembershipError::Unready => Self::Unready {
                leader: None,
                why: "no leader can take the change at the moment".into(),
            },
            MembershipError::Indeterminate(_) => Self::Indeterminate,
        }
    }
}
