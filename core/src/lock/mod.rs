//! The locks in use: who holds each, who waits, and both again by session.
//!
//! A lock in this table is held, queued for or delayed: each change of a row that leaves nothing
//! of it removes it in the same step, so a free lock costs nothing (I4).
//! The table knows sessions by their ids only; whether one is alive is for the machine to say.

mod bundle;
mod lease;
mod queue;
mod row;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::fence::Fence;
use crate::name::{LockName, SessionId};
use crate::paged::Paged;
use crate::time::Deadline;
pub(crate) use bundle::Bundle;
pub(crate) use lease::{Lease, Terms};
pub(crate) use queue::{Ask, Queue, Waiter, as_count};
pub(crate) use row::{Lock, Revocation, Whole};

/// Rows of the lock table in one page of it.
const PAGE_ROWS: usize = 256;
/// The lock table itself, as snapshots see it.
pub(crate) type Rows = Paged<LockName, Lock, PAGE_ROWS>;
/// The waits for many locks, by ticket, as snapshots see them.
pub(crate) type Bundles = Paged<u64, Bundle, 64>;

/// All locks in use, and the indexes that follow from them.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) rows: Rows,
    pub(crate) bundles: Bundles,
    leases: BTreeSet<(SessionId, LockName)>,
    places: BTreeMap<(SessionId, LockName), u64>,
    /// Sorts before every name: where a session's rows begin.
    floor: LockName,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            bundles: Bundles::default(),
            leases: BTreeSet::new(),
            places: BTreeMap::new(),
            floor: LockName::floor(),
        }
    }
}

impl Table {
    /// The table that these rows make, with its indexes; `None` if a session would have two
    /// leases or two places of one lock, or fences or tickets do not rise.
    pub(crate) fn rebuild(rows: Rows, bundles: Bundles) -> Option<Self> {
        let mut table = Self::default();
        let mut leases = Vec::with_capacity(rows.len());
        for (name, lock) in rows.iter() {
            let rises = lock.leases().is_sorted_by(|a, b| a.fence < b.fence);
            let queue = lock.queue().into_iter().flat_map(Queue::iter);
            if !rises || !queue.is_sorted_by(|a, b| a.ticket < b.ticket) {
                return None;
            }
            leases.extend(lock.leases().iter().map(|l| (l.session, name.clone())));
            for waiter in lock.waiters() {
                let place = (waiter.session, name.clone());
                if table.places.insert(place, waiter.ticket).is_some() {
                    return None;
                }
            }
        }
        // The names come in order, so a stable sort by session alone does it, and compares no
        // names: that is what takes time with a million of them.
        leases.sort_by_key(|(session, _)| *session);
        let all = leases.len();
        table.leases = leases.into_iter().collect();
        table.rows = rows;
        table.bundles = bundles;
        (table.leases.len() == all).then_some(table)
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

    /// A session's lease of a lock.
    pub(crate) fn lease_of(&self, session: SessionId, name: &LockName) -> Option<&Lease> {
        let leases = self.rows.get(name)?.leases();
        // Among many, the index knows sooner whether there is anything to find.
        if leases.len() > 8 && !self.has_lease(session, name) {
            return None;
        }
        leases.iter().find(|lease| lease.session == session)
    }

    /// A session's place in a lock's queue, and how many are before it.
    pub(crate) fn place(&self, session: SessionId, name: &LockName) -> Option<(u32, &Waiter)> {
        // The row is looked at first: nobody waits for most locks, and that saves copying the name.
        let row = self.rows.get(name)?;
        row.next_waiter()?;
        row.waiter(*self.places.get(&(session, name.clone()))?)
    }

    /// The place that a ticket stands for.
    pub(crate) fn waiter(&self, name: &LockName, ticket: u64) -> Option<(u32, &Waiter)> {
        self.rows.get(name)?.waiter(ticket)
    }

    /// Makes a lease, the newest of its lock.
    pub(crate) fn grant(&mut self, name: &LockName, lease: Lease) {
        let new = self.leases.insert((lease.session, name.clone()));
        assert!(new, "a session has one lease of a lock");
        if self.rows.get(name).is_none() {
            self.rows.insert(name.clone(), Lock::One(lease));
        } else {
            self.change(name, |whole| whole.leases.push(lease));
        }
    }

    /// Ends a lease. If no other is left of those that a revocation asked for, the revocation
    /// goes too, and its deadline is returned.
    pub(crate) fn end_lease(&mut self, name: &LockName, fence: Fence) -> (Lease, Option<Deadline>) {
        let (lease, called_off) = if let Some(Lock::One(_)) = self.rows.get(name) {
            match self.rows.remove(name) {
                Some(Lock::One(lease)) => (lease, None),
                _ => unreachable!("it was one lease the line before"),
            }
        } else {
            self.change(name, |whole| {
                let at = whole.leases.binary_search_by_key(&fence, |l| l.fence);
                let lease = whole.leases.remove(at.expect("the lease is there"));
                let moot = !whole.leases.iter().any(Lease::is_asked);
                let called_off = whole.revocation.take_if(|_| moot);
                (lease, called_off.map(|revocation| revocation.deadline))
            })
        };
        assert!(lease.fence == fence, "the lease that ends is the one meant");
        let known = self.leases.remove(&(lease.session, name.clone()));
        assert!(known, "a lease is in its session's index");
        (lease, called_off)
    }

    /// Puts a new lease in the place of one that ends, in one step.
    pub(crate) fn swap_lease(&mut self, name: &LockName, fence: Fence, lease: Lease) {
        let session = lease.session;
        let old = self.change(name, |whole| {
            let at = whole.leases.binary_search_by_key(&fence, |l| l.fence);
            let old = whole.leases.remove(at.expect("the lease is there"));
            whole.leases.push(lease);
            old
        });
        let known = self.leases.remove(&(old.session, name.clone()));
        assert!(known, "a lease is in its session's index");
        let new = self.leases.insert((session, name.clone()));
        assert!(new, "a session has one lease of a lock");
    }

    /// Changes what few leases have, of this one.
    pub(crate) fn change_lease(
        &mut self,
        name: &LockName,
        fence: Fence,
        change: impl FnOnce(&mut Terms),
    ) {
        match self.rows.get_mut(name) {
            Some(Lock::One(lease)) if lease.fence == fence => lease.change(change),
            Some(Lock::Whole(whole)) => {
                let whole = Arc::make_mut(whole);
                let at = whole.leases.binary_search_by_key(&fence, |l| l.fence);
                whole.leases[at.expect("the lease is there")].change(change);
            }
            Some(Lock::One(_)) | None => unreachable!("the lease is there"),
        }
    }

    /// Takes a place at the end of the queue; returns how many are before it.
    pub(crate) fn enqueue(&mut self, name: &LockName, waiter: Waiter) -> u32 {
        self.note_place(name, &waiter);
        self.change(name, |whole| {
            let position = whole.queue.len() + usize::from(whole.upgrade.is_some());
            whole.queue.push(waiter);
            as_count(position)
        })
    }

    /// Takes the place before the queue.
    pub(crate) fn enqueue_upgrade(&mut self, name: &LockName, waiter: Waiter) {
        self.note_place(name, &waiter);
        self.change(name, |whole| {
            assert!(whole.upgrade.is_none(), "one upgrades at a time");
            whole.upgrade = Some(waiter);
        });
    }

    fn note_place(&mut self, name: &LockName, waiter: &Waiter) {
        let place = (waiter.session, name.clone());
        let twice = self.places.insert(place, waiter.ticket).is_some();
        assert!(!twice, "a session has one place in a queue");
    }

    /// The place that a ticket stands for, to change.
    pub(crate) fn waiter_mut(&mut self, name: &LockName, ticket: u64) -> Option<&mut Waiter> {
        let Lock::Whole(whole) = self.rows.get_mut(name)? else {
            return None;
        };
        let whole = Arc::make_mut(whole);
        match &mut whole.upgrade {
            Some(waiter) if waiter.ticket == ticket => Some(waiter),
            _ => whole.queue.get_mut(ticket),
        }
    }

    /// Gives up a place.
    pub(crate) fn dequeue(&mut self, name: &LockName, ticket: u64) -> Waiter {
        let waiter = self.change(name, |whole| {
            let upgrade = whole.upgrade.take_if(|waiter| waiter.ticket == ticket);
            let waiter = upgrade.or_else(|| whole.queue.remove(ticket));
            waiter.expect("the waiter is queued")
        });
        let known = self.places.remove(&(waiter.session, name.clone()));
        assert!(known.is_some(), "a place is in its session's index");
        waiter
    }

    /// Changes a row as a whole; what is left of it is kept as lean as it can be.
    pub(crate) fn change<T>(&mut self, name: &LockName, change: impl FnOnce(&mut Whole) -> T) -> T {
        if self.rows.get(name).is_none() {
            let row = Lock::Whole(Arc::default());
            self.rows.insert(name.clone(), row);
        }
        let row = self.rows.get_mut(name).expect("it was just put there");
        if let Lock::One(_) = row {
            let old = core::mem::replace(row, Lock::Whole(Arc::default()));
            if let (Lock::One(lease), Lock::Whole(whole)) = (old, &mut *row) {
                Arc::make_mut(whole).leases.push(lease);
            }
        }
        let Lock::Whole(whole) = row else {
            unreachable!("it was made whole the lines before")
        };
        let whole = Arc::make_mut(whole);
        let changed = change(whole);
        if whole.is_one() {
            let lease = whole.leases.pop().expect("it has one lease");
            *row = Lock::One(lease);
        } else if whole.is_empty() {
            self.rows.remove(name);
        }
        changed
    }

    /// Whether the index has this lease.
    pub(crate) fn has_lease(&self, session: SessionId, name: &LockName) -> bool {
        self.leases.contains(&(session, name.clone()))
    }
}
