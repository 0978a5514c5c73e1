//! All that may come back.
//!
//! A refusal is an answer: it is committed, the same on every replica and the same when the
//! request is repeated. Only the absence of an answer is an error, and that is not of this crate.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::fence::Fence;
use crate::name::{LockName, Owner, SessionId};
use crate::time::{Deadline, Ttl};

/// What one command came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The number of the applied command, from 1 up.
    pub revision: u64,
    /// Whether this is the outcome of an earlier command with the same request id.
    pub replayed: bool,
    /// The answer.
    pub outcome: Outcome,
}

/// The answers, one for each operation, and the refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The session is open.
    Opened {
        /// Its id: the first call's, if this is a replay.
        session: SessionId,
        /// Its TTL.
        ttl: Ttl,
        /// When it ends unless renewed.
        expires_at: Deadline,
    },
    /// One row a session, in the order asked.
    Renewed(Vec<(SessionId, Renewal)>),
    /// The session is closed, and these leases went with it.
    Closed {
        /// What it held, in the order of the names.
        released: Vec<(LockName, Fence)>,
    },
    /// The lease is the caller's.
    Granted(Grant),
    /// The lock is held by another: the caller has a place.
    Queued(Queued),
    /// The place is given up, or was no longer that caller's to give up.
    Abandoned(Abandoned),
    /// The lease is released.
    Released,
    /// Nothing was done, and why.
    Refused(Refusal),
}

/// One session's renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renewal {
    /// It lives until then.
    Until(Deadline),
    /// It is gone.
    Gone(Gone),
}

/// A lease as its holder is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The session that holds it.
    pub session: SessionId,
    /// The number of the grant.
    pub fence: Fence,
    /// When its session ends unless renewed.
    pub expires_at: Deadline,
}

/// A place in a queue as its waiter is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The session that waits.
    pub session: SessionId,
    /// The id of the place; it stays the same when the caller re-attaches.
    pub ticket: u64,
    /// The number of this attachment; it rises each time the caller re-attaches.
    pub attachment: u64,
    /// How many are before it.
    pub position: u32,
    /// When the wait ends.
    pub until: Deadline,
}

/// What an abandonment found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Abandoned {
    /// The place, which is now given up.
    Place,
    /// A lease: it was granted before the caller was seen to vanish.
    Lease(Fence),
    /// Neither, or a newer attachment's.
    Nothing,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Others hold it, and the caller did not want to wait.
    Held {
        /// Who, the first [`crate::limits::LISTED_MAX`].
        holders: Vec<Holder>,
        /// How many wait.
        queue: u32,
    },
    /// The wait ended first.
    WaitTimeout {
        /// Who holds it now.
        holders: Vec<Holder>,
        /// How many were still before the caller.
        position: u32,
    },
    /// The session is not alive.
    SessionGone {
        /// Which.
        session: SessionId,
        /// Why.
        cause: Gone,
    },
    /// The caller does not hold the lock under that fence.
    FenceStale {
        /// The fence of the lock's newest lease; `None` when it is free.
        highest_fence: Option<Fence>,
    },
    /// A bound of [`crate::limits`] was reached.
    Limit {
        /// Its name and number.
        limit: Limit,
    },
    /// The request id was used for another call before.
    KeyReused,
}

/// The bounds that a caller can run into inside the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// [`crate::limits::SESSIONS_MAX`].
    Sessions,
    /// [`crate::limits::LOCKS_MAX`].
    Locks,
    /// [`crate::limits::WAITERS_PER_LOCK_MAX`].
    WaitersPerLock,
    /// [`crate::limits::LEASES_PER_SESSION_MAX`].
    LeasesPerSession,
}

/// Why a session is not alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gone {
    /// Nobody opened it, or it ended so long ago that it is forgotten.
    NeverExisted,
    /// Its client closed it.
    Closed,
    /// Its client was silent for its TTL.
    Expired,
    /// An operator ended it.
    EndedByOperator,
}

/// A holder as others may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The session; show only its first digits.
    pub session: SessionId,
    /// Who it says it is.
    pub owner: Owner,
    /// The number of its grant.
    pub fence: Fence,
    /// When it was granted.
    pub since: Deadline,
    /// When its session ends unless renewed.
    pub expires_at: Deadline,
}
