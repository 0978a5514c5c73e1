//! What readers see: owned copies, taken under the reader's own hold of the machine.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fence::Fence;
use crate::mode::Mode;
use crate::name::{LockName, Owner, Reason, SessionId};
use crate::outcome::{Holder, LeaseRow};
use crate::time::{ClusterTime, Deadline, Ttl};

/// One lock in use: held, queued for or delayed. Any other has no view: it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    /// Its name.
    pub lock: LockName,
    /// Who holds it, the first [`crate::limits::LISTED_MAX`].
    pub holders: Vec<Holder>,
    /// How many hold it in all.
    pub holders_total: u32,
    /// Who waits, in the order of the queue, the first [`crate::limits::LISTED_MAX`].
    pub queue: Vec<WaiterView>,
    /// How many wait in all.
    pub queue_total: u32,
    /// The fence of its newest lease; `None` if nobody holds it.
    pub highest_fence: Option<Fence>,
    /// Until when nobody is granted it, after an abnormal loss.
    pub delayed_until: Option<Deadline>,
    /// When those leases end whose holders were asked to give it up, and why.
    pub revoking: Option<(Deadline, Reason)>,
}

/// One waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterView {
    /// The session; show only its first digits.
    pub session: SessionId,
    /// Who it says it is.
    pub owner: Owner,
    /// How it wants to share the lock.
    pub mode: Mode,
    /// The id of its place.
    pub ticket: u64,
    /// How many are before it.
    pub position: u32,
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
    /// For how long nobody is granted a lock that it lost abnormally.
    pub lock_delay_ms: u64,
    /// When it ends unless renewed.
    pub expires_at: Deadline,
    /// Its leases, in the order of the names, the first [`crate::limits::LISTED_MAX`].
    pub leases: Vec<LeaseRow>,
    /// How many leases it has in all.
    pub leases_total: u32,
    /// Its places, in the order of the names, the first [`crate::limits::LISTED_MAX`].
    pub waits: Vec<WaitRow>,
    /// How many places it has in all.
    pub waits_total: u32,
}

/// One place in a session's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitRow {
    /// In whose queue.
    pub lock: LockName,
    /// How it wants to share the lock.
    pub mode: Mode,
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
