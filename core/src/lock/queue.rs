//! The queue of one lock: first come, first served.
//!
//! A ticket is the revision of the command that took the place, so tickets rise in the order of
//! arrival, the queue is sorted by them, and a position is found by halving. A call that asks for
//! many locks has a place in the queue of each, under one ticket: so whoever comes before another
//! in one queue comes before it in every queue that both are in.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mode::Mode;
use crate::name::SessionId;
use crate::time::{ClusterTime, Deadline};

/// What a lease is asked to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// How it shares the lock.
    pub(crate) mode: Mode,
    /// How long it may last.
    pub(crate) max_hold_ms: Option<u64>,
    /// What it shows.
    pub(crate) value: Option<Arc<str>>,
}

/// A queued request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiter {
    /// Who waits.
    pub(crate) session: SessionId,
    /// The id of the place.
    pub(crate) ticket: u64,
    /// The newest attachment of a caller to it. Of a place among many, the bundle has it.
    pub(crate) attachment: u64,
    /// When it came.
    pub(crate) since: ClusterTime,
    /// When its wait ends.
    pub(crate) until: Deadline,
    /// For what it waits.
    pub(crate) ask: Ask,
    /// Whether it waits in other queues too, and is granted all or nothing: see `bundle.rs`.
    pub(crate) many: bool,
}

/// Waiters in the order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Queue {
    waiters: VecDeque<Waiter>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn first(&self) -> Option<&Waiter> {
        self.waiters.front()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Waiter> {
        self.waiters.iter()
    }

    /// Those before a ticket, the nearest first.
    pub(crate) fn before(&self, ticket: u64) -> impl Iterator<Item = &Waiter> {
        let at = self.waiters.partition_point(|w| w.ticket < ticket);
        self.waiters.range(..at).rev()
    }

    /// Whether somebody came after this ticket.
    pub(crate) fn has_after(&self, ticket: u64) -> bool {
        self.waiters.back().is_some_and(|w| w.ticket > ticket)
    }

    /// Puts a waiter at the end.
    pub(crate) fn push(&mut self, waiter: Waiter) {
        let rises = self.waiters.back().is_none_or(|w| w.ticket < waiter.ticket);
        assert!(rises, "tickets rise");
        self.waiters.push_back(waiter);
    }

    /// A waiter and how many are before it.
    pub(crate) fn get(&self, ticket: u64) -> Option<(u32, &Waiter)> {
        let at = self.find(ticket)?;
        Some((as_count(at), &self.waiters[at]))
    }

    pub(crate) fn get_mut(&mut self, ticket: u64) -> Option<&mut Waiter> {
        let at = self.find(ticket)?;
        self.waiters.get_mut(at)
    }

    pub(crate) fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let at = self.find(ticket)?;
        self.waiters.remove(at)
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.waiters
            .binary_search_by_key(&ticket, |w| w.ticket)
            .ok()
    }
}

/// A length within the bounds of `limits.rs` as the answers carry it.
pub(crate) fn as_count(len: usize) -> u32 {
    u32::try_from(len).expect("no table holds 2^32 rows")
}
