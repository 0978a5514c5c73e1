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
//! the sessions it speaks for, the places it speaks for, and what is overdue of the lock it wants.
//! And a lock that is handed on passes by whoever is overdue: those waits end in that same
//! revision.
//!
//! *One revision, step by step.* First what was asked for happens, or falls due. Whatever ends on
//! the way leaves locks free for others. Afterwards those sessions end that lived for what is
//! over, and then the locks are handed on, in the order in which they came to be free.
//!
//! *The tables do not know each other.* Sessions, locks and deadlines meet only here and in the
//! files below, one for each noun: that is where "a session ends" becomes "its leases end, and
//! each lock goes to the next".

mod acquire;
mod deadlock;
mod due;
mod grants;
mod holder;
mod multi;
mod operator;
mod places;
mod rings;
mod sessions;
mod upgrade;
mod view;

pub(crate) use multi::due as multi_due;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::command::{Acquirer, Command, Entry, Op};
use crate::deadlines::Deadlines;
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
    pub(crate) holders_per_lock: usize,
    pub(crate) leases_per_session: usize,
    pub(crate) expiries_per_entry: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            sessions: limits::SESSIONS_MAX,
            locks: limits::LOCKS_MAX,
            waiters_per_lock: limits::WAITERS_PER_LOCK_MAX,
            holders_per_lock: limits::HOLDERS_PER_LOCK_MAX,
            leases_per_session: limits::LEASES_PER_SESSION_MAX,
            expiries_per_entry: limits::EXPIRIES_PER_ENTRY_MAX,
        }
    }
}

/// What one apply has to tell, and the endings that it still owes.
struct Turn {
    wall_ms: u64,
    events: Vec<Event>,
    /// Locks of which something ended: others may be granted them.
    freed: VecDeque<LockName>,
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
            freed: VecDeque::new(),
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

    /// One command, whatever it brings about, and the reply to it.
    fn run(&mut self, command: &Command, turn: &mut Turn) -> Reply {
        self.revision += 1;
        let call = Call {
            request: command.request,
            digest: command.op.digest(),
        };
        let answer = self.operate(&command.op, call, turn);
        self.settle(turn);
        Reply {
            revision: self.revision,
            replayed: answer.replayed,
            outcome: answer.outcome,
        }
    }

    /// The switchboard.
    fn operate(&mut self, op: &Op, call: Call, turn: &mut Turn) -> Answer {
        match op {
            Op::Open(new) => self.open(new, call, turn),
            Op::Renew { sessions } => self.renew(sessions),
            Op::Close { session } => self.close(*session, call, turn),
            Op::Acquire {
                by,
                lock,
                mode,
                wait_ms,
                max_hold_ms,
                value,
            } => {
                let ask = grants::ask_of(*mode, *max_hold_ms, value);
                match by {
                    Acquirer::Session(id) => self.acquire(*id, lock, ask, *wait_ms, call, turn),
                    Acquirer::OneLease(new) => {
                        self.acquire_alone(new, lock, ask, *wait_ms, call, turn)
                    }
                }
            }
            Op::AcquireAll {
                session,
                wants,
                wait_ms,
                max_hold_ms,
            } => self.acquire_all(*session, wants, *wait_ms, *max_hold_ms, call, turn),
            Op::Abandon {
                session,
                lock,
                attachment,
            } => self.abandon(*session, lock, *attachment, turn),
            Op::AbandonAll {
                session,
                wants,
                attachment,
            } => self.abandon_all(*session, wants, *attachment, turn),
            Op::Release { .. } if planted::is(Plant::PanicInApply) => {
                panic!("planted: this release cannot be applied")
            }
            Op::Release {
                session,
                lock,
                fence,
            } => self.release(*session, lock, *fence, call, turn),
            Op::SetValue {
                session,
                lock,
                fence,
                value,
            } => self.set_value(*session, lock, *fence, value, call, turn),
            Op::Transfer {
                session,
                lock,
                fence,
                to,
            } => self.transfer(*session, lock, *fence, *to, call, turn),
            Op::Revoke {
                lock,
                reason,
                deadline_ms,
            } => self.revoke(lock, reason, *deadline_ms, call, turn),
            Op::Break { lock, reason } => self.break_lock(lock, reason, call, turn),
            Op::EndSession { session, reason } => self.end_session(*session, reason, call, turn),
            Op::Ring(op) => self.ask_ring(op, turn),
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

    /// Leaves out 2³² fences, and as many epochs of each ring, for a cluster that is restored from
    /// a backup: what it granted after the backup is forgotten, and its resources may have seen
    /// those fences (I2).
    ///
    /// This is not an apply. It is done once, to the restored state, before any node has it.
    pub fn skip_fences_after_restore(&mut self) {
        self.mint.skip(limits::FENCES_SKIPPED_BY_RESTORE);
        self.rings.skip_epochs(limits::EPOCHS_SKIPPED_BY_RESTORE);
    }
}
