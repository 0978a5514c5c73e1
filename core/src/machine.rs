//! The machine: the only door through which state changes, and a switchboard.
//!
//! *What it is.* A function from a state and an entry of the log to the next state, with answers
//! for the callers and events for the world. Every replica applies the same entries and so has
//! the same state, the same answers, the same events.
//!
//! *What it must never do.* Read a clock, draw a number at random, iterate in an order that
//! differs between processes, or fail: whatever is in the log has an answer.
//!
//! *Time.* The only time is that of the entries' stamps, and it never falls (I6). A stamp counts
//! only in the term it was written in (I7): an entry that the log holds under another term was
//! stamped from another leader's anchor, and has no effect at all.
//!
//! *One entry, step by step.* The clock advances. What is due by it is handled in the order of
//! (deadline, kind, id), each counting one revision, up to a bound that keeps an apply short; what
//! is left goes with the next entry. Then each command counts one revision. So that nobody
//! profits from what was left over, a command first settles everything overdue that it touches:
//! the sessions it speaks for, the place it speaks for, the holder of the lock it wants. And a
//! lock that is handed over passes by whoever is overdue: those waits end in that same revision.
//!
//! *The tables do not know each other.* Sessions, locks and deadlines meet only here and in the
//! files below, one for each noun: that is where "a session ends" becomes "its leases end, and
//! each lock goes to the next".

mod locks;
mod places;
mod rings;
mod sessions;
mod view;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::command::{Acquirer, Command, Entry, Op};
use crate::deadlines::{Deadlines, Due};
use crate::event::{Event, What};
use crate::fence::Mint;
use crate::limits;
use crate::lock;
use crate::name::{LockName, RequestId, SessionId};
use crate::outcome::{Gone, Outcome, Refusal, Reply};
use crate::planted::{self, Plant};
use crate::ring;
use crate::session::{self, Record};
use crate::time::{ClusterTime, Deadline};

/// What applying one entry came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether the stamp's term was not the entry's, so that nothing happened and the commands
    /// have to be proposed again (under the same request ids).
    pub void: bool,
    /// One reply a command, in order; empty if void.
    pub replies: Vec<Reply>,
    /// What happened, ordered by revision.
    pub events: Vec<Event>,
}

/// The replicated state. See the crate's text for what always holds.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub(crate) revision: u64,
    pub(crate) clock: ClusterTime,
    pub(crate) mint: Mint,
    pub(crate) sessions: session::Table,
    pub(crate) locks: lock::Table,
    pub(crate) rings: ring::Table,
    pub(crate) deadlines: Deadlines,
    pub(crate) bounds: Bounds,
}

/// The bounds of [`limits`] that an apply runs into: the same on every replica, and never
/// anything else but in tests, which could not fill ten million locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) sessions: usize,
    pub(crate) locks: usize,
    pub(crate) waiters_per_lock: usize,
    pub(crate) leases_per_session: usize,
    pub(crate) expiries_per_entry: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            sessions: limits::SESSIONS_MAX,
            locks: limits::LOCKS_MAX,
            waiters_per_lock: limits::WAITERS_PER_LOCK_MAX,
            leases_per_session: limits::LEASES_PER_SESSION_MAX,
            expiries_per_entry: limits::EXPIRIES_PER_ENTRY_MAX,
        }
    }
}

/// What one apply has to tell, and the endings that it still owes.
struct Turn {
    wall_ms: u64,
    events: Vec<Event>,
    /// Sessions that end in this revision, after what is under way.
    ending: VecDeque<Ending>,
}

/// A session that is about to end.
struct Ending {
    session: SessionId,
    cause: Gone,
    record: Option<Record>,
}

/// The request id of a call and the digest that tells it from others.
#[derive(Clone, Copy)]
struct Call {
    request: Option<RequestId>,
    digest: u64,
}

/// An outcome, new or remembered.
struct Answer {
    replayed: bool,
    outcome: Outcome,
}

impl Answer {
    const fn new(outcome: Outcome) -> Self {
        Self {
            replayed: false,
            outcome,
        }
    }

    const fn again(outcome: Outcome) -> Self {
        Self {
            replayed: true,
            outcome,
        }
    }

    const fn refusal(refusal: Refusal) -> Self {
        Self::new(Outcome::Refused(refusal))
    }
}

impl Machine {
    /// An empty machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one entry that the log holds under `term`.
    pub fn apply(&mut self, term: u64, entry: &Entry) -> Applied {
        if entry.stamp.term != term && !planted::is(Plant::NoTermGuard) {
            return Applied {
                void: true,
                ..Applied::default()
            };
        }
        self.clock = self.clock.max(entry.stamp.at);
        let mut turn = Turn {
            wall_ms: entry.stamp.wall_ms,
            events: Vec::new(),
            ending: VecDeque::new(),
        };
        self.expire_due(&mut turn);
        let mut replies = Vec::with_capacity(entry.commands.len());
        for command in &entry.commands {
            self.expire_touched(command, &mut turn);
            replies.push(self.run(command, &mut turn));
        }
        Applied {
            void: false,
            replies,
            events: turn.events,
        }
    }

    /// Handles what is due, in order, up to the bound.
    fn expire_due(&mut self, turn: &mut Turn) {
        for _ in 0..self.bounds.expiries_per_entry {
            match self.deadlines.due_by(self.clock) {
                Some(Due::Session(session)) => self.expire(session, turn),
                Some(Due::Wait(ticket, lock)) => self.time_out_at(&lock, ticket, turn),
                Some(Due::Ring(ring)) => self.wake_ring(&ring, turn),
                None => return,
            }
        }
    }

    /// Settles what is overdue and would matter to this command.
    fn expire_touched(&mut self, command: &Command, turn: &mut Turn) {
        // Nearly always nothing is left over, and one look says so.
        if self.deadlines.due_by(self.clock).is_none() {
            return;
        }
        let opened = command.request.and_then(|r| self.sessions.opened_by(r));
        match &command.op {
            Op::Open(_) => self.expire_if_due(opened, turn),
            Op::Renew { sessions } => {
                for session in sessions {
                    self.expire_if_due(Some(*session), turn);
                }
            }
            Op::Close { session } => self.expire_if_due(Some(*session), turn),
            Op::Acquire { by, lock, .. } => {
                let session = match by {
                    Acquirer::Session(session) => Some(*session),
                    Acquirer::OneLease(_) => opened,
                };
                self.expire_if_due(session, turn);
                self.time_out_if_due(session, lock, turn);
                self.expire_if_due(self.holder(lock), turn);
            }
            Op::Abandon { session, lock, .. } => {
                self.expire_if_due(Some(*session), turn);
                self.time_out_if_due(Some(*session), lock, turn);
            }
            Op::Release { session, lock, .. } => {
                self.expire_if_due(Some(*session), turn);
                self.expire_if_due(self.holder(lock), turn);
            }
            Op::AcquireAll { .. }
            | Op::AbandonAll { .. }
            | Op::SetValue { .. }
            | Op::Transfer { .. }
            | Op::Revoke { .. }
            | Op::Break { .. }
            | Op::EndSession { .. } => {}
            Op::Ring(op) => self.expire_touched_by_ring(op, turn),
        }
    }

    /// The switchboard.
    fn run(&mut self, command: &Command, turn: &mut Turn) -> Reply {
        self.revision += 1;
        let call = Call {
            request: command.request,
            digest: command.op.digest(),
        };
        let answer = match &command.op {
            Op::Open(new) => self.open(new, call, turn),
            Op::Renew { sessions } => self.renew(sessions),
            Op::Close { session } => self.close(*session, call, turn),
            Op::Acquire {
                by, lock, wait_ms, ..
            } => match by {
                Acquirer::Session(session) => self.acquire(*session, lock, *wait_ms, call, turn),
                Acquirer::OneLease(new) => self.acquire_alone(new, lock, *wait_ms, call, turn),
            },
            Op::Abandon {
                session,
                lock,
                attachment,
            } => self.abandon(*session, lock, *attachment, turn),
            Op::Release {
                session,
                lock,
                fence,
            } => self.release(*session, lock, *fence, call, turn),
            // No door lets these through yet.
            Op::AcquireAll { .. }
            | Op::AbandonAll { .. }
            | Op::SetValue { .. }
            | Op::Transfer { .. }
            | Op::Revoke { .. }
            | Op::Break { .. }
            | Op::EndSession { .. } => Answer::refusal(Refusal::KeyReused),
            Op::Ring(op) => self.ask_ring(op, turn),
        };
        self.end_owed(turn);
        Reply {
            revision: self.revision,
            replayed: answer.replayed,
            outcome: answer.outcome,
        }
    }

    fn tell(&self, what: What, turn: &mut Turn) {
        turn.events.push(Event {
            revision: self.revision,
            at: self.clock,
            wall_ms: turn.wall_ms,
            what,
        });
    }

    fn holder(&self, lock: &LockName) -> Option<SessionId> {
        self.locks.get(lock).map(|lock| lock.lease.session)
    }

    /// Cluster time of the newest entry that counted.
    #[must_use]
    pub fn clock(&self) -> ClusterTime {
        self.clock
    }

    /// How many changes have been applied: one a command, one a thing that fell due.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When the next thing falls due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.deadlines.next()
    }

    /// Leaves out 2³² fences, and as many epochs of each ring, for a cluster that is restored from a backup: what it granted after
    /// the backup is forgotten, and its resources may have seen those fences (I2).
    ///
    /// This is not an apply. It is done once, to the restored state, before any node has it.
    pub fn skip_fences_after_restore(&mut self) {
        self.mint.skip(limits::FENCES_SKIPPED_BY_RESTORE);
        self.rings.skip_epochs(limits::EPOCHS_SKIPPED_BY_RESTORE);
    }
}
