//! The locks in use: who holds each, who waits, and both again by session.
//!
//! A lock in this table is held: whoever ends a lease passes the lock on or removes the row in
//! the same step, so a free lock costs nothing (I4), and there is no unheld lock to forget.
//! The table knows sessions by their ids only; whether one is alive is for the machine to say.

mod lease;
mod mode;
mod queue;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::name::{LockName, SessionId};
use crate::paged::Paged;
pub(crate) use lease::Lease;
pub use mode::Mode;
pub(crate) use queue::{Queue, Waiter, as_count};

/// Rows of the lock table in one page of it.
const PAGE_ROWS: usize = 256;
/// The lock table itself, as snapshots see it.
pub(crate) type Rows = Paged<LockName, Lock, PAGE_ROWS>;

/// A lock in use. 48 bytes, for there may be ten million.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lock {
    /// Who has it.
    pub(crate) lease: Lease,
    /// Who waits; absent when nobody does, and shared with snapshots until it changes.
    queue: Option<Arc<Queue>>,
}

impl Lock {
    pub(crate) fn queue_len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.queue.iter().flat_map(|queue| queue.iter())
    }

    /// Whether an empty queue was left behind.
    pub(crate) fn queue_is_lean(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.len() > 0)
    }
}

/// All locks in use, and the indexes that follow from them.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) rows: Rows,
    leases: BTreeSet<(SessionId, LockName)>,
    places: BTreeMap<(SessionId, LockName), u64>,
    /// Sorts before every name: where a session's rows begin.
    floor: LockName,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            leases: BTreeSet::new(),
            places: BTreeMap::new(),
            floor: LockName::floor(),
        }
    }
}

impl Table {
    /// The table that these rows make, with its indexes; `None` if a session would have two
    /// places in one queue, or two places one ticket.
    pub(crate) fn rebuild(rows: Rows) -> Option<Self> {
        let mut table = Self::default();
        let mut leases = Vec::with_capacity(rows.len());
        for (name, lock) in rows.iter() {
            leases.push((lock.lease.session, name.clone()));
            let mut newest = 0;
            for waiter in lock.waiters() {
                if waiter.ticket <= newest {
                    return None;
                }
                newest = waiter.ticket;
                let place = (waiter.session, name.clone());
                if table.places.insert(place, waiter.ticket).is_some() {
                    return None;
                }
            }
        }
        // The names come in order, so a stable sort by session alone does it, and compares no
        // names: that is what takes time with a million of them.
        leases.sort_by_key(|(session, _)| *session);
        table.leases = leases.into_iter().collect();
        table.rows = rows;
        Some(table)
    }

    pub(crate) fn get(&self, name: &LockName) -> Option<&Lock> {
        self.rows.get(name)
    }

    pub(crate) fn leases_len(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn places_len(&self) -> usize {
        self.places.len()
    }

    /// A session's leases, in the order of the names.
    pub(crate) fn leases_of(&self, session: SessionId) -> impl Iterator<Item = &LockName> {
        self.leases
            .range((session, self.floor.clone())..)
            .take_while(move |(of, _)| *of == session)
            .map(|(_, name)| name)
    }

    /// A session's places and their tickets, in the order of the names.
    pub(crate) fn places_of(&self, session: SessionId) -> impl Iterator<Item = (&LockName, u64)> {
        self.places
            .range((session, self.floor.clone())..)
            .take_while(move |((of, _), _)| *of == session)
            .map(|((_, name), ticket)| (name, *ticket))
    }

    /// A session's place in a lock's queue, and how many are before it.
    pub(crate) fn place(&self, session: SessionId, name: &LockName) -> Option<(u32, &Waiter)> {
        // The queue is looked at first: most locks have none, and that saves copying the name.
        let queue = self.rows.get(name)?.queue.as_ref()?;
        let ticket = self.places.get(&(session, name.clone()))?;
        queue.get(*ticket)
    }

    /// The place that a ticket stands for.
    pub(crate) fn waiter(&self, name: &LockName, ticket: u64) -> Option<(u32, &Waiter)> {
        self.rows.get(name)?.queue.as_ref()?.get(ticket)
    }

    /// The first in a lock's queue.
    pub(crate) fn first_waiter(&self, name: &LockName) -> Option<Waiter> {
        self.rows.get(name)?.queue.as_ref()?.first().copied()
    }

    /// Makes a lease: of a free lock, or of one whose lease has just been ended.
    pub(crate) fn grant(&mut self, name: &LockName, lease: Lease) {
        match self.rows.get_mut(name) {
            Some(lock) => lock.lease = lease,
            None => {
                let queue = None;
                self.rows.insert(name.clone(), Lock { lease, queue });
            }
        }
        let new = self.leases.insert((lease.session, name.clone()));
        assert!(new, "a session has one lease of a lock");
    }

    /// Ends a lease. The row stays for its queue: the caller must [`Self::grant`] it to the next
    /// or [`Self::remove`] it.
    pub(crate) fn end_lease(&mut self, name: &LockName) -> Lease {
        let lease = self.rows.get(name).expect("the lock is held").lease;
        let known = self.leases.remove(&(lease.session, name.clone()));
        assert!(known, "a lease is in its session's index");
        lease
    }

    /// Removes a lock that is free and unqueued.
    pub(crate) fn remove(&mut self, name: &LockName) {
        let lock = self.rows.remove(name).expect("the lock was in use");
        assert!(lock.queue.is_none(), "nobody waits for a lock that goes");
    }

    /// Takes a place at the end of the queue; returns how many are before it.
    pub(crate) fn enqueue(&mut self, name: &LockName, waiter: Waiter) -> u32 {
        let lock = self.rows.get_mut(name).expect("one waits for a held lock");
        let queue = Arc::make_mut(lock.queue.get_or_insert_default());
        let position = as_count(queue.len());
        queue.push(waiter);
        let place = (waiter.session, name.clone());
        let twice = self.places.insert(place, waiter.ticket).is_some();
        assert!(!twice, "a session has one place in a queue");
        position
    }

    /// The place that a ticket stands for, to change.
    pub(crate) fn waiter_mut(&mut self, name: &LockName, ticket: u64) -> Option<&mut Waiter> {
        let queue = self.rows.get_mut(name)?.queue.as_mut()?;
        Arc::make_mut(queue).get_mut(ticket)
    }

    /// Gives up a place.
    pub(crate) fn dequeue(&mut self, name: &LockName, ticket: u64) -> Waiter {
        let lock = self.rows.get_mut(name).expect("one waits for a held lock");
        let queue = lock.queue.as_mut().expect("the waiter is queued");
        let waiter = Arc::make_mut(queue)
            .remove(ticket)
            .expect("the waiter is queued");
        if queue.len() == 0 {
            lock.queue = None;
        }
        let known = self.places.remove(&(waiter.session, name.clone()));
        assert!(known.is_some(), "a place is in its session's index");
        waiter
    }

    /// Whether the indexes have this lease, or this place.
    pub(crate) fn has_lease(&self, session: SessionId, name: &LockName) -> bool {
        self.leases.contains(&(session, name.clone()))
    }
}
