//! What readers see: owned copies, taken under the reader's own hold of the machine.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fence::Fence;
use crate::name::{LockName, Owner, SessionId};
use crate::outcome::Holder;
use crate::time::{ClusterTime, Deadline, Ttl};

/// One lock in use. A free lock has no view: it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    /// Its name.
    pub lock: LockName,
    /// Who holds it, the first [`crate::limits::LISTED_MAX`].
    pub holders: Vec<Holder>,
    /// Who waits, in the order of the queue, the first [`crate::limits::LISTED_MAX`].
    pub queue: Vec<WaiterView>,
    /// How many wait in all.
    pub queue_total: u32,
    /// The fence of its newest lease.
    pub highest_fence: Fence,
}

/// One waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterView {
    /// The session; show only its first digits.
    pub session: SessionId,
    /// Who it says it is.
    pub owner: Owner,
    /// The id of its place.
    pub ticket: u64,
    /// When it came.
    pub since: ClusterTime,
    /// When its wait ends.
    pub until: Deadline,
}

/// One live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its id; show it whole only to its owner.
    pub session: SessionId,
    /// Who it says it is.
    pub owner: Owner,
    /// What it wants to be listed with.
    pub metadata: String,
    /// Its TTL.
    pub ttl: Ttl,
    /// When it ends unless renewed.
    pub expires_at: Deadline,
    /// Its leases, in the order of the names, the first [`crate::limits::LISTED_MAX`].
    pub leases: Vec<LeaseRow>,
    /// How many leases it has in all.
    pub leases_total: u32,
    /// Its places, in the order of the names, the first [`crate::limits::LISTED_MAX`].
    pub waits: Vec<WaitRow>,
}

/// One lease in a session's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Of which lock.
    pub lock: LockName,
    /// Its number.
    pub fence: Fence,
}

/// One place in a session's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitRow {
    /// In whose queue.
    pub lock: LockName,
    /// How many are before it.
    pub position: u32,
}

/// How much the machine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Live sessions.
    pub sessions: usize,
    /// Locks in use: held or queued for.
    pub locks: usize,
    /// Leases.
    pub leases: usize,
    /// Places in queues.
    pub waiters: usize,
}
