//! A wait for many locks: all or nothing.
//!
//! It has a place in the queue of each lock, under one ticket, and holds nothing. It is granted
//! when it is first in all of them and every lock is free for it. Meanwhile nobody overtakes it in
//! any queue, so it starves no longer than its queues are; and because its places were all taken
//! in one revision, two such waits never stand before each other in different queues.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::command::Wants;
use crate::name::{LockName, SessionId};
use crate::time::Deadline;

/// One wait for many locks; its ticket is its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bundle {
    /// Who waits.
    pub(crate) session: SessionId,
    /// The newest attachment of a caller to it.
    pub(crate) attachment: u64,
    /// When the wait ends.
    pub(crate) until: Deadline,
    /// How long each lease may last.
    pub(crate) max_hold_ms: Option<u64>,
    /// For what.
    pub(crate) wants: Wants,
    /// Those of them that its session held already, in the mode that it wants: no place is taken
    /// for them, and they must still be held at the grant.
    pub(crate) kept: Vec<LockName>,
    /// Which of the wants was last seen not to be free: where to look first. It saves work and
    /// decides nothing, so it is in no snapshot.
    #[serde(skip)]
    pub(crate) blocked: usize,
}

impl Bundle {
    /// The locks that it has places for, in the order of the names.
    pub(crate) fn places(&self) -> impl Iterator<Item = &LockName> {
        let locks = self.wants.iter().map(|want| &want.lock);
        locks.filter(|lock| self.kept.binary_search(lock).is_err())
    }
}
