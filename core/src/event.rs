//! What the world is told after an apply.
//!
//! Each event carries the revision that made it. One revision may make several events; they are
//! told together, in order.

use serde::{Deserialize, Serialize};

use crate::fence::Fence;
use crate::name::{LockName, Owner, SessionId};
use crate::outcome::{Gone, Grant, Refusal};
use crate::time::ClusterTime;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The revision that made it.
    pub revision: u64,
    /// The cluster time of the entry.
    pub at: ClusterTime,
    /// The wall clock of the leader that stamped it, for people to read.
    pub wall_ms: u64,
    /// What.
    pub what: What,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A session was opened.
    SessionOpened {
        /// Which.
        session: SessionId,
        /// Who it says it is.
        owner: Owner,
    },
    /// A session ended; the loss of each of its leases and places is told by its own event.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// Why.
        cause: Gone,
    },
    /// A lease was granted.
    Granted {
        /// Of which lock.
        lock: LockName,
        /// To whom, and with which fence.
        grant: Grant,
        /// Who the holder says it is.
        owner: Owner,
    },
    /// A lease ended.
    Ended {
        /// Of which lock.
        lock: LockName,
        /// Whose it was.
        session: SessionId,
        /// Who the holder said it was.
        owner: Owner,
        /// Its fence.
        fence: Fence,
        /// Why.
        cause: LeaseEnd,
    },
    /// A place in a queue ended without a grant.
    WaitEnded {
        /// In whose queue.
        lock: LockName,
        /// Whose it was.
        session: SessionId,
        /// The place.
        ticket: u64,
        /// What the waiter is to be answered; `None` when it gave the place up itself.
        refusal: Option<Refusal>,
    },
}

/// Why a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseEnd {
    /// Its holder released it.
    Released,
    /// Its session ended.
    Session(Gone),
}
