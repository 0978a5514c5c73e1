//! One grant of a lock.

use alloc::boxed::Box;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fence::Fence;
use crate::mode::Mode;
use crate::name::SessionId;
use crate::time::{ClusterTime, Deadline};

/// One grant of a lock to a session. 64 bytes, for there may be ten million.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Who holds it.
    pub(crate) session: SessionId,
    /// Its number.
    pub(crate) fence: Fence,
    /// When it was granted.
    pub(crate) since: ClusterTime,
    /// The attachment of the waiter that it was granted to; 0 if nobody had to wait.
    pub(crate) attachment: u64,
    /// How it shares the lock.
    pub(crate) mode: Mode,
    /// What few leases have; absent when there is nothing in it.
    terms: Option<Box<Terms>>,
}

/// What few leases have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// When it ends, however alive its session is.
    pub(crate) hold_until: Option<Deadline>,
    /// What it shows.
    pub(crate) value: Option<Arc<str>>,
    /// Whether its holder was asked to give it up.
    pub(crate) asked: bool,
}

impl Terms {
    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Lease {
    pub(crate) fn new(
        session: SessionId,
        fence: Fence,
        since: ClusterTime,
        attachment: u64,
        mode: Mode,
        terms: Terms,
    ) -> Self {
        Self {
            session,
            fence,
            since,
            attachment,
            mode,
            terms: terms.boxed(),
        }
    }

    /// Whether it was granted to the caller that attached so to a place.
    pub(crate) const fn was_attached(&self, attachment: u64) -> bool {
        self.attachment != 0 && self.attachment == attachment
    }

    /// When it ends, however alive its session is.
    pub(crate) fn hold_until(&self) -> Option<Deadline> {
        self.terms.as_ref().and_then(|terms| terms.hold_until)
    }

    /// What it shows.
    pub(crate) fn value(&self) -> Option<&Arc<str>> {
        self.terms.as_ref().and_then(|terms| terms.value.as_ref())
    }

    /// Whether its holder was asked to give it up.
    pub(crate) fn is_asked(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.asked)
    }

    /// Changes what few leases have.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Terms)) {
        let mut terms = self
            .terms
            .take()
            .map_or_else(Terms::default, |terms| *terms);
        change(&mut terms);
        self.terms = terms.boxed();
    }

    /// Whether nothing is kept where there is nothing to keep.
    pub(crate) fn is_lean(&self) -> bool {
        self.terms.as_ref().is_none_or(|t| **t != Terms::default())
    }
}
