//! All that may come back.
//!
//! A refusal is an answer: it is committed, the same on every replica and the same when the
//! request is repeated. Only the absence of an answer is an error, and that is not of this crate.

mod ring;

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::fence::Fence;
use crate::mode::Mode;
use crate::name::{LockName, Owner, SessionId};
use crate::time::{Deadline, Ttl};
pub use ring::{RingOutcome, RingRefusal};

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
    /// All leases are the caller's.
    GrantedAll(GrantedAll),
    /// Others hold the lock, or come before: the caller has a place; or one in the queue of each
    /// lock, under one ticket.
    Queued(Queued),
    /// The place is given up, or was no longer that caller's to give up.
    Abandoned(Abandoned),
    /// The lease is released.
    Released,
    /// The value is shown.
    ValueSet,
    /// The lease is the other session's.
    Transferred {
        /// The number of its grant.
        fence: Fence,
    },
    /// The holders are asked.
    Revoking {
        /// When those leases end that are left.
        deadline: Deadline,
        /// How many leases were asked for.
        leases: u32,
    },
    /// The leases are ended.
    Broken {
        /// How many there were.
        leases: u32,
    },
    /// A ring is as asked.
    Ring(RingOutcome),
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
    /// How it shares the lock.
    pub mode: Mode,
    /// The number of the grant.
    pub fence: Fence,
    /// When its session ends unless renewed.
    pub expires_at: Deadline,
    /// When it ends however alive its session is; `None` if it may last as long as that.
    pub hold_until: Option<Deadline>,
}

/// Many leases as their holder is told of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedAll {
    /// The session that holds them.
    pub session: SessionId,
    /// When it ends unless renewed.
    pub expires_at: Deadline,
    /// When the leases that were granted together end however alive their session is.
    pub hold_until: Option<Deadline>,
    /// In the order of the names.
    pub leases: Vec<LeaseRow>,
}

/// One lease of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// Of which lock.
    pub lock: LockName,
    /// How it shares the lock.
    pub mode: Mode,
    /// Its number.
    pub fence: Fence,
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
    /// How many are before it; of a wait for many locks, in the queue where they are most.
    pub position: u32,
    /// When the wait ends.
    pub until: Deadline,
}

/// What an abandonment found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Abandoned {
    /// The place, which is now given up.
    Place,
    /// A lease: it was granted before the caller was seen to vanish.
    Lease(Fence),
    /// Many leases, which were granted together before the caller was seen to vanish.
    Leases(Vec<(LockName, Fence)>),
    /// Neither, or a newer attachment's.
    Nothing,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Others hold it, and the caller did not want to wait.
    Held {
        /// Which lock: of many that were asked for, the first by name.
        lock: LockName,
        /// Who, the first [`crate::limits::LISTED_MAX`]; nobody, if others only come before.
        holders: Vec<Holder>,
        /// How many wait.
        queue: u32,
    },
    /// The wait ended first.
    WaitTimeout {
        /// For which lock: of many that were asked for, the first by name that was not free.
        lock: LockName,
        /// Who holds it now.
        holders: Vec<Holder>,
        /// How many were still before the caller.
        position: u32,
    },
    /// The caller would wait for somebody who waits for the caller.
    Deadlock {
        /// Who waits for whom: each step for the next, the last for the first. The first is the
        /// caller.
        cycle: Vec<CycleStep>,
    },
    /// The lock is in use with another number of permits.
    LimitMismatch {
        /// Which lock.
        lock: LockName,
        /// That number.
        of: u32,
    },
    /// The session holds the lock, or waits for it, in a mode that cannot become the one asked
    /// for.
    UpgradeConflict {
        /// Which lock.
        lock: LockName,
        /// The mode that it has, or waits for.
        mode: Mode,
    },
    /// Somebody lost the lock abnormally, nobody is granted it for a while, and the caller did
    /// not want to wait.
    Delayed {
        /// Which lock.
        lock: LockName,
        /// Until when.
        until: Deadline,
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
    /// A ring cannot be as asked.
    Ring(RingRefusal),
}

/// One session in a deadlock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleStep {
    /// Which; show only its first digits.
    pub session: SessionId,
    /// Who it says it is.
    pub owner: Owner,
    /// What the one before waits for: it holds this lock, or comes before in its queue.
    pub holds: LockName,
    /// What it waits for itself.
    pub wants: LockName,
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
    /// [`crate::limits::HOLDERS_PER_LOCK_MAX`].
    HoldersPerLock,
    /// Of a mode: from 1 permit to as many as there are, at most [`crate::limits::PERMITS_MAX`].
    Permits,
    /// [`crate::limits::VALUE_BYTES_MAX`].
    ValueBytes,
    /// [`crate::limits::RINGS_MAX`].
    Rings,
    /// [`crate::limits::MEMBERS_PER_RING_MAX`].
    MembersPerRing,
    /// [`crate::limits::WEIGHT_PER_RING_MAX`].
    WeightPerRing,
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
    /// How it shares the lock.
    pub mode: Mode,
    /// The number of its grant.
    pub fence: Fence,
    /// When it was granted.
    pub since: Deadline,
    /// When its session ends unless renewed.
    pub expires_at: Deadline,
    /// When its lease ends however alive its session is.
    pub hold_until: Option<Deadline>,
    /// What it shows with its lease.
    pub value: Option<Arc<str>>,
}
