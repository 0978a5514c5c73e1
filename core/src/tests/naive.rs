//! The rules again, as plainly as they can be said: a second opinion for the machine.
//!
//! It shares the vocabulary with the machine (commands, outcomes, events) and no code. There are
//! four lists (clients, leases, waits, delays and revocations beside them) and loops, no index, no
//! page, no digest; a queue is whoever of all the waits wants the lock, in the order of arrival.
//! Whatever it needs it looks for. Where the two disagree, one of them has misread the rules.

mod asks;
mod calls;
mod endings;
mod holders;
mod many;
mod stuck;
mod tidings;

use std::string::String;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use crate::machine::Bounds;
use crate::*;

type Request = (RequestId, Op);
/// Who ends, why, and by which call.
type Doomed = (SessionId, Gone, Option<(Request, Outcome)>);

#[derive(Clone)]
struct Client {
    id: SessionId,
    owner: Owner,
    ttl: Ttl,
    delay_ms: u64,
    /// Of a client that waits for the one lock it lives for, this is not looked at.
    expires_at: Deadline,
    lives_for: Option<LockName>,
    opened_by: Option<Request>,
    outcomes: Vec<(Request, Outcome)>,
}

#[derive(Clone)]
struct Held {
    lock: LockName,
    client: SessionId,
    fence: u64,
    since: ClusterTime,
    attachment: u64,
    mode: Mode,
    hold_until: Option<Deadline>,
    value: Option<Arc<str>>,
    asked: bool,
}

/// One call's wait, for one lock or for many.
#[derive(Clone)]
struct Wait {
    client: SessionId,
    ticket: u64,
    attachment: u64,
    until: Deadline,
    /// What it has places for.
    wants: Vec<(LockName, Mode)>,
    /// All that was asked for, if it was many.
    all: Option<Wants>,
    upgrades: bool,
    hold_ms: Option<u64>,
    value: String,
    asked_by: Vec<Request>,
}

#[derive(Clone)]
struct Dead {
    id: SessionId,
    cause: Gone,
    ended_by: Option<(Request, Outcome)>,
}

/// The naive machine.
pub(super) struct Naive {
    bounds: Bounds,
    pub(super) revision: u64,
    clock: ClusterTime,
    wall_ms: u64,
    fence: u64,
    clients: Vec<Client>,
    /// In the order of the grants.
    leases: Vec<Held>,
    /// In the order of arrival.
    waits: Vec<Wait>,
    delays: Vec<(LockName, Deadline)>,
    revocations: Vec<(LockName, Deadline, Reason)>,
    dead: Vec<Dead>,
    operators: Vec<(Request, Outcome)>,
    events: Vec<Event>,
    /// Locks that others may be granted before this revision is over.
    freed: Vec<LockName>,
    /// Clients that have to end before this revision is over.
    doomed: Vec<Doomed>,
}

/// A call without what may differ from one repetition to the next.
fn plain(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Open(new)
        | Op::Acquire {
            by: Acquirer::OneLease(new),
            ..
        } => new.session = SessionId::from_bits(0),
        _ => {}
    }
    op
}

impl Naive {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            revision: 0,
            clock: ClusterTime(0),
            wall_ms: 0,
            fence: 0,
            clients: vec![],
            leases: vec![],
            waits: vec![],
            delays: vec![],
            revocations: vec![],
            dead: vec![],
            operators: vec![],
            events: vec![],
            freed: vec![],
            doomed: vec![],
        }
    }

    pub(super) fn apply(&mut self, term: u64, entry: &Entry) -> Applied {
        if entry.stamp.term != term {
            return Applied {
                void: true,
                replies: vec![],
                events: vec![],
            };
        }
        if entry.stamp.at > self.clock {
            self.clock = entry.stamp.at;
        }
        self.wall_ms = entry.stamp.wall_ms;
        self.events = vec![];
        let mut left = self.bounds.expiries_per_entry;
        while left > 0 && self.first_due() {
            left -= 1;
        }
        let mut replies = vec![];
        for command in &entry.commands {
            self.overdue_before(command);
            self.revision += 1;
            let request = command.request.map(|id| (id, plain(&command.op)));
            let (replayed, outcome) = self.command(&command.op, request);
            self.finish();
            replies.push(Reply {
                revision: self.revision,
                replayed,
                outcome,
            });
        }
        Applied {
            void: false,
            replies,
            events: self.events.clone(),
        }
    }

    fn client(&self, id: SessionId) -> Option<&Client> {
        self.clients.iter().find(|c| c.id == id)
    }

    fn client_mut(&mut self, id: SessionId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|c| c.id == id)
    }

    fn of(&self, lock: &LockName) -> Vec<&Held> {
        self.leases.iter().filter(|l| l.lock == *lock).collect()
    }

    fn lease(&self, id: SessionId, lock: &LockName) -> Option<&Held> {
        let of = |l: &&Held| l.client == id && l.lock == *lock;
        self.leases.iter().find(of)
    }

    /// Who waits for a lock: an upgrader first, the others as they came.
    fn queue(&self, lock: &LockName) -> Vec<&Wait> {
        let wants = |w: &&Wait| w.wants.iter().any(|(name, _)| name == lock);
        let (first, others): (Vec<_>, Vec<_>) =
            self.waits.iter().filter(wants).partition(|w| w.upgrades);
        [first, others].concat()
    }

    fn position(&self, wait: &Wait, lock: &LockName) -> u32 {
        let queue = self.queue(lock);
        let at = queue.iter().position(|w| w.ticket == wait.ticket);
        u32::try_from(at.unwrap()).unwrap()
    }

    fn wait_of(&self, id: SessionId, lock: &LockName) -> Option<&Wait> {
        self.queue(lock).into_iter().find(|w| w.client == id)
    }

    fn wait(&self, ticket: u64) -> Option<&Wait> {
        self.waits.iter().find(|w| w.ticket == ticket)
    }

    fn delay(&self, lock: &LockName) -> Option<Deadline> {
        let delay = self.delays.iter().find(|(name, _)| name == lock);
        delay.map(|(_, until)| *until)
    }

    fn delayed(&self, lock: &LockName) -> bool {
        self.delay(lock).is_some()
    }

    /// The names of all locks that are held, waited for or delayed.
    fn in_use(&self) -> Vec<LockName> {
        let wanted = self.waits.iter().flat_map(|w| &w.wants);
        let mut names: Vec<_> = self.leases.iter().map(|l| l.lock.clone()).collect();
        names.extend(wanted.map(|(name, _)| name.clone()));
        names.extend(self.delays.iter().map(|(name, _)| name.clone()));
        names.sort();
        names.dedup();
        names
    }

    /// Whether the leases of a lock leave room for one more.
    fn room(&self, lock: &LockName, mode: Mode, most: usize) -> bool {
        let leases = self.of(lock);
        if leases.is_empty() {
            return true;
        }
        let mut taken = 0;
        for lease in &leases {
            match (lease.mode, mode) {
                (Mode::Shared, Mode::Shared) => {}
                (Mode::Permits { count, .. }, Mode::Permits { .. }) => taken += count,
                _ => return false,
            }
        }
        let fits = match mode {
            Mode::Permits { count, of } => taken + count <= of,
            _ => true,
        };
        fits && leases.len() < most
    }

    /// Whether somebody who comes now is granted at once.
    fn open_for(&self, lock: &LockName, mode: Mode, most: usize) -> bool {
        self.queue(lock).is_empty() && !self.delayed(lock) && self.room(lock, mode, most)
    }

    /// Whether it is this wait's turn at this lock, and the lock admits it.
    fn turn(&self, wait: &Wait, lock: &LockName, mode: Mode) -> bool {
        let next = self.queue(lock)[0].ticket == wait.ticket;
        let room = match wait.upgrades {
            true => self.of(lock).iter().all(|l| l.client == wait.client),
            false => self.room(lock, mode, self.bounds.holders_per_lock),
        };
        next && room && !self.delayed(lock)
    }

    /// The wait that a client lives for, while it has no lease yet.
    fn life_wait(&self, client: &Client) -> Option<&Wait> {
        let lock = client.lives_for.as_ref()?;
        if self.lease(client.id, lock).is_some() {
            return None;
        }
        self.wait_of(client.id, lock)
    }

    fn ends_at(&self, client: &Client) -> Deadline {
        let wait = self.life_wait(client);
        wait.map_or(client.expires_at, |wait| wait.until)
    }

    fn overdue(&self, id: SessionId) -> bool {
        let client = self.client(id);
        client.is_none_or(|client| self.ends_at(client) <= self.clock)
    }

    fn opened_by(&self, id: RequestId) -> Option<SessionId> {
        let of = |request: &Option<Request>| request.as_ref().is_some_and(|r| r.0 == id);
        let alive = self.clients.iter().find(|c| of(&c.opened_by));
        let dead = self.dead.iter().find(|d| {
            d.ended_by.as_ref().is_some_and(|((request, _), outcome)| {
                *request == id && matches!(outcome, Outcome::Refused(_))
            })
        });
        alive.map(|c| c.id).or(dead.map(|d| d.id))
    }

    fn cause(&self, id: SessionId) -> Gone {
        let dead = self.dead.iter().find(|d| d.id == id);
        dead.map_or(Gone::NeverExisted, |d| d.cause)
    }

    fn uses(&self, id: SessionId) -> usize {
        let leases = self.leases.iter().filter(|l| l.client == id).count();
        let waits = self.waits.iter().filter(|w| w.client == id);
        leases + waits.map(|w| w.wants.len()).sum::<usize>()
    }

    fn tell(&mut self, what: What) {
        self.events.push(Event {
            revision: self.revision,
            at: self.clock,
            wall_ms: self.wall_ms,
            what,
        });
    }
}
