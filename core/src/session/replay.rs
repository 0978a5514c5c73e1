//! The same request id, the same outcome: what one session's calls came to.
//!
//! *The problem.* A client that lost the answer repeats the call, perhaps through another node or
//! after a failover, and the first may have taken effect. Granting twice, or refusing the second
//! because the first succeeded, would both be wrong.
//!
//! *The answer.* Each session remembers its newest outcomes by request id, inside the replicated
//! state, so every replica remembers the same. Beside the id it keeps a digest of the call: the
//! same id with another call is a mistake and is told as one.
//!
//! A call that waits has no outcome yet. It is remembered apart, by its place's ticket, and is not
//! forgotten for newer ones; when the wait ends, its outcome joins the others.
//!
//! *What is not remembered:* refusals by a limit, for the caller shall try again; a wait that its
//! caller gave up; renewals and abandonments, which are harmless to repeat; anything of a session
//! that has ended, except the call that ended it (see `ended.rs`).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::limits::REPLAYS_PER_SESSION_MAX;
use crate::name::RequestId;
use crate::outcome::Outcome;

/// What one call came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The id that the call had.
    pub(crate) request: RequestId,
    /// What tells it from other calls.
    pub(crate) call: u64,
    /// What it came to.
    pub(crate) outcome: Outcome,
}

/// A call whose place still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    call: u64,
    ticket: u64,
}

/// What is remembered of a request id.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// Nothing: it is new.
    Nothing,
    /// Another call had it.
    Reused,
    /// The outcome.
    Settled(&'a Outcome),
    /// It waits, in the place with this ticket.
    Waits(u64),
}

/// What one session remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replay {
    settled: VecDeque<Record>,
    waiting: BTreeMap<RequestId, Waiting>,
    /// The waiting ones by ticket; follows from `waiting`.
    #[serde(skip)]
    askers: BTreeSet<(u64, RequestId)>,
}

impl Replay {
    pub(crate) fn find(&self, request: RequestId, call: u64) -> Found<'_> {
        if let Some(waiting) = self.waiting.get(&request) {
            return if waiting.call == call {
                Found::Waits(waiting.ticket)
            } else {
                Found::Reused
            };
        }
        match self.settled.iter().rfind(|r| r.request == request) {
            Some(record) if record.call == call => Found::Settled(&record.outcome),
            Some(_) => Found::Reused,
            None => Found::Nothing,
        }
    }

    /// Remembers an outcome; forgets the oldest if there are too many.
    pub(crate) fn settle(&mut self, record: Record) {
        if self.settled.len() == REPLAYS_PER_SESSION_MAX {
            self.settled.pop_front();
        }
        if self.settled.is_empty() {
            // Most sessions that live for one lease make one or two calls.
            self.settled.reserve_exact(1);
        }
        self.settled.push_back(record);
    }

    /// Remembers a call that waits.
    pub(crate) fn wait(&mut self, request: RequestId, call: u64, ticket: u64) {
        self.waiting.insert(request, Waiting { call, ticket });
        self.askers.insert((ticket, request));
    }

    /// How many calls wait in the place with this ticket.
    pub(crate) fn askers(&self, ticket: u64) -> usize {
        self.askers.range(of(ticket)).count()
    }

    /// The place's wait is over: all calls that waited in it came to this.
    pub(crate) fn settle_wait(&mut self, ticket: u64, outcome: &Outcome) {
        for (request, call) in self.take_askers(ticket) {
            let outcome = outcome.clone();
            self.settle(Record {
                request,
                call,
                outcome,
            });
        }
    }

    /// The place was given up: its calls are forgotten.
    pub(crate) fn forget_wait(&mut self, ticket: u64) {
        self.take_askers(ticket);
    }

    fn take_askers(&mut self, ticket: u64) -> Vec<(RequestId, u64)> {
        let askers: Vec<_> = self.askers.range(of(ticket)).copied().collect();
        askers
            .into_iter()
            .map(|asker| {
                self.askers.remove(&asker);
                let waiting = self.waiting.remove(&asker.1);
                (asker.1, waiting.expect("an asker waits").call)
            })
            .collect()
    }

    /// Builds what follows from the rest again.
    pub(crate) fn rebuild(&mut self) {
        let by_ticket = self.waiting.iter().map(|(request, w)| (w.ticket, *request));
        self.askers = by_ticket.collect();
    }

    /// The tickets of the places that its calls wait in, rising.
    pub(crate) fn tickets(&self) -> impl Iterator<Item = u64> {
        self.askers.iter().map(|(ticket, _)| *ticket)
    }

    /// Checks the bounds and that both views of the waiting calls agree.
    pub(crate) fn audit(&self) -> Result<(), &'static str> {
        if self.settled.len() > REPLAYS_PER_SESSION_MAX {
            return Err("a session remembers too many outcomes");
        }
        let agree = self.askers.len() == self.waiting.len()
            && self.askers.iter().all(|(ticket, request)| {
                let waiting = self.waiting.get(request);
                waiting.is_some_and(|waiting| waiting.ticket == *ticket)
            });
        if agree {
            Ok(())
        } else {
            Err("calls that wait and their tickets disagree")
        }
    }
}

fn of(ticket: u64) -> core::ops::RangeInclusive<(u64, RequestId)> {
    (ticket, RequestId::from_bits(0))..=(ticket, RequestId::from_bits(u128::MAX))
}
