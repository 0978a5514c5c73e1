//! What the world is told after an apply.
//!
//! Each event carries the revision that made it. One revision may make several events; they are
//! told together, in order.
//!
//! A call that waits is told of its end by one event, which follows from its place: of one lock
//! [`What::Granted`] or [`What::WaitEnded`] of that session and lock; of many locks
//! [`What::GrantedAll`] or [`What::WaitAllEnded`] with its ticket. A grant that nobody waited for
//! is told by the outcome and by [`What::Granted`], once a lock.
//!
//! A holder is told of the end of its lease by [`What::Ended`], with the cause, and beforehand of
//! a revocation by [`What::RevokeRequested`]. An upgrade, a downgrade and a transfer are the end
//! of one lease and the grant of another, in this order and in one revision.

mod ring;

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::fence::Fence;
use crate::mode::Mode;
use crate::name::{LockName, Owner, Reason, SessionId};
use crate::outcome::{Gone, Grant, GrantedAll, Refusal};
use crate::time::{ClusterTime, Deadline};
pub use ring::{RingChange, RingEvent};

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
        /// Why an operator ended it, in the operator's words.
        reason: Option<Reason>,
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
        /// How it shared the lock.
        mode: Mode,
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
    /// A wait for many locks ended with all of them. Each lease is told by its own event too,
    /// before this one.
    GrantedAll {
        /// The place.
        ticket: u64,
        /// What the waiter is to be answered.
        all: GrantedAll,
    },
    /// A wait for many locks ended without a grant.
    WaitAllEnded {
        /// Whose it was.
        session: SessionId,
        /// The place.
        ticket: u64,
        /// In whose queues it was, in the order of the names.
        locks: Vec<LockName>,
        /// What the waiter is to be answered; `None` when it gave the place up itself.
        refusal: Option<Refusal>,
    },
    /// A holder is asked to give its lease up.
    RevokeRequested {
        /// Of which lock.
        lock: LockName,
        /// Whose it is.
        session: SessionId,
        /// Its fence.
        fence: Fence,
        /// Why, in the operator's words.
        reason: Reason,
        /// When it ends if it is still there.
        deadline: Deadline,
    },
    /// A holder changed what it shows with its lease.
    ValueSet {
        /// Of which lock.
        lock: LockName,
        /// Whose it is.
        session: SessionId,
        /// Who the holder says it is.
        owner: Owner,
        /// Its fence.
        fence: Fence,
        /// The new value.
        value: Option<Arc<str>>,
    },
    /// A ring changed.
    Ring(RingEvent),
}

/// Why a lease ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseEnd {
    /// Its holder released it.
    Released,
    /// Its session was closed, or expired.
    Session(Gone),
    /// An operator ended its session.
    EndedByOperator {
        /// Why.
        reason: Reason,
    },
    /// It lasted as long as it was allowed to.
    MaxHold,
    /// An operator ended it.
    Broken {
        /// Why.
        reason: Reason,
    },
    /// An operator asked for it, and it was still there at the deadline.
    Revoked {
        /// Why.
        reason: Reason,
    },
    /// Its holder gave it to another session.
    Transferred {
        /// To which; show only its first digits.
        to: SessionId,
    },
    /// It was shared, and its holder is granted an exclusive one in its place.
    Upgraded,
    /// It was exclusive, and its holder is granted a shared one in its place.
    Downgraded,
}
