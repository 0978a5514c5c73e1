//! All that may enter the log.

mod digest;
mod ring;
mod wants;

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::fence::Fence;
use crate::mode::Mode;
use crate::name::{LockName, Owner, Reason, RequestId, SessionId};
use crate::time::{ClusterTime, Stamp, Ttl};
pub use ring::{Placement, RingOp};
pub use wants::{Want, Wants, WantsError};

/// One log entry: commands that arrived together, under one stamp. It may hold none: then it
/// only tells the machine what time it is, and what is due falls due (a *tick*).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When the leader stamped it, and in which term.
    pub stamp: Stamp,
    /// What to do, in this order.
    pub commands: Vec<Command>,
}

/// One operation, with the request id under which it may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Repeating an operation under the same id has one effect and one outcome. `None` for
    /// operations that are harmless to repeat (renewals, abandonments).
    pub request: Option<RequestId>,
    /// The operation.
    pub op: Op,
}

/// The operations of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Opens a session. Repeated under its request id while the session lives, it answers with
    /// the session that the first call opened, whatever id the repetition proposes.
    Open(NewSession),
    /// Renews many sessions at once: each lives `ttl` from this entry's stamp.
    Renew {
        /// Which; those that are gone are answered with their cause.
        sessions: Vec<SessionId>,
    },
    /// Ends a session: its leases are released and its places given up in this apply.
    Close {
        /// Which.
        session: SessionId,
    },
    /// Asks for a lease.
    ///
    /// Of a session that holds the lock already it asks for another mode: a shared holder that
    /// asks for exclusive *upgrades* (before the queue, as soon as it is the only holder), an
    /// exclusive one that asks for shared *downgrades* at once. Both get a new fence. The mode
    /// that it has is granted again, with the same fence; any other is refused.
    Acquire {
        /// Who asks.
        by: Acquirer,
        /// For what.
        lock: LockName,
        /// How to share it.
        mode: Mode,
        /// How long to queue, in milliseconds from the stamp; 0 tries once.
        wait_ms: u64,
        /// How long the lease may last, in milliseconds from the grant, however alive its session
        /// is; from 1 to [`crate::limits::HOLD_MS_MAX`], or cut to that.
        max_hold_ms: Option<u64>,
        /// What to show with the lease, at most [`crate::limits::VALUE_BYTES_MAX`]; empty for
        /// none.
        value: String,
    },
    /// Asks for many leases, which are granted in one apply or not at all. While it waits it
    /// holds nothing, and its place (one ticket) counts in the queue of every lock.
    AcquireAll {
        /// Who asks.
        session: SessionId,
        /// For what. What the session holds already in that mode it keeps.
        wants: Wants,
        /// As in [`Op::Acquire`].
        wait_ms: u64,
        /// As in [`Op::Acquire`], for each of the leases.
        max_hold_ms: Option<u64>,
    },
    /// Gives up a place in a queue, for a caller that vanished.
    ///
    /// It names the attachment that it speaks for: a caller that came back under the same
    /// request id has a newer one, and its place is left alone.
    Abandon {
        /// Whose place.
        session: SessionId,
        /// In whose queue.
        lock: LockName,
        /// The attachment that [`crate::Queued`] told.
        attachment: u64,
    },
    /// As [`Op::Abandon`], of a call that asked for many locks.
    AbandonAll {
        /// Whose place.
        session: SessionId,
        /// The locks that it asked for.
        wants: Wants,
        /// The attachment that [`crate::Queued`] told.
        attachment: u64,
    },
    /// Gives up a lease; it counts only with the lease's own fence.
    Release {
        /// Whose lease.
        session: SessionId,
        /// Of which lock.
        lock: LockName,
        /// The fence that was granted.
        fence: Fence,
    },
    /// Changes what is shown with a lease; it counts only with the lease's own fence.
    SetValue {
        /// Whose lease.
        session: SessionId,
        /// Of which lock.
        lock: LockName,
        /// The fence that was granted.
        fence: Fence,
        /// The new value, at most [`crate::limits::VALUE_BYTES_MAX`]; empty for none.
        value: String,
    },
    /// Gives a lease to another session in this apply, under a new fence; mode, value and the end
    /// of the longest hold go with it.
    Transfer {
        /// Whose lease.
        session: SessionId,
        /// Of which lock.
        lock: LockName,
        /// The fence that was granted.
        fence: Fence,
        /// Who gets it: alive, and neither holder of this lock nor waiting for it.
        to: SessionId,
    },
    /// An operator asks all holders to give a lock up; those leases that are left at the deadline
    /// are ended by the machine. A newer call replaces the older one's reason and deadline.
    Revoke {
        /// Which lock.
        lock: LockName,
        /// Why.
        reason: Reason,
        /// How long they have, in milliseconds from the stamp; at most
        /// [`crate::limits::REVOKE_MS_MAX`], or cut to that.
        deadline_ms: u64,
    },
    /// An operator ends all leases of a lock now.
    Break {
        /// Which lock.
        lock: LockName,
        /// Why.
        reason: Reason,
    },
    /// An operator ends a session.
    EndSession {
        /// Which.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// Asks something of a ring.
    Ring(RingOp),
}

/// A session to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// The id that the serving node drew.
    pub session: SessionId,
    /// How long it lives without renewal.
    pub ttl: Ttl,
    /// Who it says it is.
    pub owner: Owner,
    /// For how long nobody is granted a lock that it lost *abnormally* (it expired, or an
    /// operator ended the lease or the session, or the lease lasted too long): time for what it
    /// has under way to come to rest. At most [`crate::limits::LOCK_DELAY_MS_MAX`], or cut to it.
    pub lock_delay_ms: u64,
    /// Whatever it wants to be listed with, at most 1 KiB.
    pub metadata: String,
}

/// Who acquires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acquirer {
    /// A session that is already open.
    Session(SessionId),
    /// A session opened for this lease alone: it ends with the lease, and with the place in the
    /// queue if it never becomes one. Its TTL counts from the grant, for until then its client
    /// knows no session that it could renew.
    OneLease(NewSession),
}

impl Entry {
    /// An entry without commands, which only moves the clock.
    #[must_use]
    pub const fn tick(term: u64, at: ClusterTime, wall_ms: u64) -> Self {
        Self {
            stamp: Stamp { term, at, wall_ms },
            commands: Vec::new(),
        }
    }
}
