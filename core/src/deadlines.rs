//! What falls due, in the order in which it is handled.
//!
//! A session's expiry carries its leases with it, so a held lease has no deadline of its own,
//! unless it may last only so long.

use alloc::collections::BTreeSet;

use crate::fence::Fence;
use crate::name::{LockName, RingName, SessionId};
use crate::time::{ClusterTime, Deadline};

/// One thing that falls due. The order of the variants is the order at the same deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A session's silence has lasted its TTL.
    Session(SessionId),
    /// The wait that this ticket stands for ends; in the queue of this lock, or in this one and
    /// others (it is the first that was asked for).
    Wait(u64, LockName),
    /// The lease with this fence, of this lock, has lasted as long as it may.
    Hold(Fence, LockName),
    /// Those leases of this lock end that are left of those that an operator asked for.
    Revoke(LockName),
    /// This lock is no longer closed after an abnormal loss.
    Delay(LockName),
    /// Time alone changes this ring: somebody is lost for good, or a storm is over.
    Ring(RingName),
}

/// Everything that will fall due unless something happens first. Derived: rebuilt by a thaw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    due: BTreeSet<(Deadline, Due)>,
}

impl Deadlines {
    pub(crate) fn insert(&mut self, at: Deadline, due: Due) {
        let new = self.due.insert((at, due));
        assert!(new, "nothing falls due twice");
    }

    pub(crate) fn remove(&mut self, at: Deadline, due: Due) {
        let known = self.due.remove(&(at, due));
        assert!(known, "what is called off was to fall due");
    }

    /// When the next thing falls due.
    pub(crate) fn next(&self) -> Option<Deadline> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next thing, if it is due by `clock`; it stays until it is removed.
    pub(crate) fn due_by(&self, clock: ClusterTime) -> Option<Due> {
        self.due
            .first()
            .filter(|(at, _)| *at <= clock)
            .map(|(_, due)| due.clone())
    }

    pub(crate) fn contains(&self, at: Deadline, due: Due) -> bool {
        self.due.contains(&(at, due))
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}
