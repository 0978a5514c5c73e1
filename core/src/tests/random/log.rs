//! Logs as they might be, only nastier.

use std::string::String;
use std::vec::Vec;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::{lock, session};
use crate::machine::Bounds;
use crate::*;

/// Draws logs, from what has been answered so far.
pub(in crate::tests) struct Log {
    pub(super) chance: StdRng,
    at: u64,
    /// Of ten modes, how many are exclusive, and how many more are shared.
    modes: (u32, u32),
    /// How many sessions there should be at a time, and those that are open.
    sessions: usize,
    open: Vec<SessionId>,
    drawn: u128,
    sent: Vec<Command>,
    attachments: Vec<(SessionId, LockName, u64)>,
    many: Vec<(SessionId, Wants, u64)>,
    leases: Vec<(SessionId, LockName, Fence)>,
}

impl Log {
    pub(in crate::tests) fn new(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        Self {
            modes: [(10, 0), (3, 7), (2, 2), (4, 4)][chance.random_range(0..4)],
            sessions: chance.random_range(2..8),
            open: Vec::new(),
            chance,
            at: 0,
            drawn: 100,
            sent: Vec::new(),
            attachments: Vec::new(),
            many: Vec::new(),
            leases: Vec::new(),
        }
    }

    pub(in crate::tests) fn bounds(&mut self) -> Bounds {
        let mut bounds = Bounds::default();
        let chance = &mut self.chance;
        if chance.random_bool(0.5) {
            bounds.expiries_per_entry = chance.random_range(0..3);
        }
        if chance.random_bool(0.5) {
            bounds.sessions = chance.random_range(1..6);
            bounds.locks = chance.random_range(1..4);
            bounds.waiters_per_lock = chance.random_range(1..3);
            bounds.holders_per_lock = chance.random_range(1..4);
            bounds.leases_per_session = chance.random_range(1..4);
        }
        bounds
    }

    /// The next entry, and the term that the log holds it under.
    pub(in crate::tests) fn entry(&mut self) -> (u64, Entry) {
        let step = match self.chance.random_range(0..10) {
            0 => 3_000,
            1..=3 => 400,
            4..=6 => 30,
            _ => 0,
        };
        self.at += self.chance.random_range(0..=step);
        let back = self.chance.random_bool(0.1);
        let at = self.at.saturating_sub(if back { 300 } else { 0 });
        let commands = self.chance.random_range(0..4);
        let commands = (0..commands).map(|_| self.command()).collect();
        let term = 7;
        let stamped = if self.chance.random_bool(0.03) { 6 } else { 7 };
        let entry = Entry {
            commands,
            ..Entry::tick(stamped, ClusterTime(at), at + 1)
        };
        (term, entry)
    }

    fn command(&mut self) -> Command {
        if !self.sent.is_empty() && self.chance.random_bool(0.2) {
            return self.retry();
        }
        let request = self.chance.random_bool(0.6).then(|| {
            let ids = if self.chance.random_bool(0.7) {
                6
            } else {
                1000
            };
            RequestId::from_bits(self.chance.random_range(0..ids))
        });
        let op = self.op();
        self.sent.push(Command { request, op });
        self.sent.last().expect("it was just pushed").clone()
    }

    /// One of the newest commands again, as a client repeats it: a call that opens a session
    /// proposes another id each time.
    fn retry(&mut self) -> Command {
        let newest = self.sent.len().saturating_sub(8)..self.sent.len();
        let mut command = self.sent[self.chance.random_range(newest)].clone();
        self.drawn += 1;
        match &mut command.op {
            Op::Open(new)
            | Op::Acquire {
                by: Acquirer::OneLease(new),
                ..
            } => new.session = session(self.drawn),
            _ => {}
        }
        command
    }

    fn op(&mut self) -> Op {
        if self.open.len() < self.sessions && self.chance.random_bool(0.5) {
            self.drawn += 1;
            let id = session(self.drawn);
            return Op::Open(self.new_session(id));
        }
        match self.chance.random_range(0..100) {
            0..3 => {
                let id = self.session();
                Op::Open(self.new_session(id))
            }
            3..17 => {
                let rows = self.chance.random_range(0..6);
                let sessions = (0..rows).map(|_| self.session()).collect();
                Op::Renew { sessions }
            }
            17..20 => Op::Close {
                session: self.session(),
            },
            20..46 => {
                let by = Acquirer::Session(self.session());
                self.acquire(by)
            }
            46..55 => {
                self.drawn += 1;
                let id = session(self.drawn);
                let new = self.new_session(id);
                self.acquire(Acquirer::OneLease(new))
            }
            55..65 => Op::AcquireAll {
                session: self.session(),
                wants: self.wants(),
                wait_ms: self.wait(),
                max_hold_ms: self.hold(),
            },
            65..73 => self.abandon(),
            73..76 => self.abandon_all(),
            76..88 => self.release(),
            88..90 => self.set_value(),
            90..94 => self.transfer(),
            94..96 => Op::Revoke {
                lock: self.lock(),
                reason: self.reason(),
                deadline_ms: [0, 300, u64::MAX][self.chance.random_range(0..3)],
            },
            96..98 => Op::Break {
                lock: self.lock(),
                reason: self.reason(),
            },
            _ => Op::EndSession {
                session: self.session(),
                reason: self.reason(),
            },
        }
    }

    fn acquire(&mut self, by: Acquirer) -> Op {
        Op::Acquire {
            by,
            lock: self.lock(),
            mode: self.mode(),
            wait_ms: self.wait(),
            max_hold_ms: self.hold(),
            value: self.value(),
        }
    }

    fn mode(&mut self) -> Mode {
        let (exclusive, shared) = self.modes;
        let chosen = self.chance.random_range(0..10);
        if chosen < exclusive {
            return Mode::Exclusive;
        }
        if chosen < exclusive + shared {
            return Mode::Shared;
        }
        let of = if self.chance.random_bool(0.95) { 3 } else { 2 };
        let least = u32::from(self.chance.random_bool(0.95));
        let count = self.chance.random_range(least..=of);
        Mode::Permits { count, of }
    }

    fn wants(&mut self) -> Wants {
        let names = ["a", "b", "b/1", "c"];
        loop {
            let mut wants = Vec::new();
            for name in names {
                if self.chance.random_bool(0.5) {
                    wants.push(Want {
                        lock: lock(name),
                        mode: self.mode(),
                    });
                }
            }
            if let Ok(wants) = Wants::parse(wants) {
                return wants;
            }
        }
    }

    fn hold(&mut self) -> Option<u64> {
        let hold = [0, 200, 900, u64::MAX][self.chance.random_range(0..4)];
        self.chance.random_bool(0.2).then_some(hold)
    }

    fn value(&mut self) -> String {
        match self.chance.random_range(0..40) {
            0 => "x".repeat(limits::VALUE_BYTES_MAX + 1),
            1..5 => String::from("x"),
            5..9 => String::from("y"),
            _ => String::new(),
        }
    }

    fn reason(&mut self) -> Reason {
        Reason::parse(["why", "because"][self.chance.random_range(0..2)]).unwrap()
    }

    fn abandon_all(&mut self) -> Op {
        let (session, wants, attachment) = match self.recent(self.many.len()) {
            Some(at) => self.many[at].clone(),
            None => (self.session(), self.wants(), 0),
        };
        Op::AbandonAll {
            session,
            wants,
            attachment,
        }
    }

    fn set_value(&mut self) -> Op {
        let (session, lock, fence) = self.lease();
        Op::SetValue {
            session,
            lock,
            fence,
            value: self.value(),
        }
    }

    fn transfer(&mut self) -> Op {
        let (session, lock, fence) = self.lease();
        Op::Transfer {
            session,
            lock,
            fence,
            to: self.session(),
        }
    }

    fn abandon(&mut self) -> Op {
        let known = self.recent(self.attachments.len());
        let (session, lock, attachment) = match known {
            Some(at) => self.attachments[at].clone(),
            None => (self.session(), self.lock(), 0),
        };
        Op::Abandon {
            session,
            lock,
            attachment,
        }
    }

    fn release(&mut self) -> Op {
        let (session, lock, fence) = self.lease();
        Op::Release {
            session,
            lock,
            fence,
        }
    }

    /// A lease that was granted not long ago, more or less.
    fn lease(&mut self) -> (SessionId, LockName, Fence) {
        let known = self.recent(self.leases.len());
        let off = u64::from(self.chance.random_bool(0.15));
        match known {
            Some(at) => {
                let (session, lock, fence) = self.leases[at].clone();
                (session, lock, Fence::claimed(fence.number() + off))
            }
            None => (self.session(), self.lock(), Fence::claimed(1)),
        }
    }

    /// One of the newest rows of a list, most of the time.
    fn recent(&mut self, len: usize) -> Option<usize> {
        let known = len > 0 && self.chance.random_bool(0.9);
        known.then(|| self.chance.random_range(len.saturating_sub(4)..len))
    }

    /// Nearly always one that is open.
    fn session(&mut self) -> SessionId {
        if self.open.is_empty() || self.chance.random_bool(0.05) {
            return session(self.chance.random_range(98..=self.drawn));
        }
        self.open[self.chance.random_range(0..self.open.len())]
    }

    fn new_session(&mut self, session: SessionId) -> NewSession {
        let chance = &mut self.chance;
        let owner = ["", "a", "b"][chance.random_range(0..3)];
        NewSession {
            session,
            ttl: Ttl::parse(chance.random_range(5..40) * 100).unwrap(),
            owner: Owner::parse(owner).unwrap(),
            lock_delay_ms: [0, 0, 0, 300, u64::MAX][chance.random_range(0..5)],
            metadata: String::from(["", "m"][chance.random_range(0..2)]),
        }
    }

    fn lock(&mut self) -> LockName {
        lock(["a", "b", "b/1", "c"][self.chance.random_range(0..4)])
    }

    fn wait(&mut self) -> u64 {
        match self.chance.random_range(0..20) {
            0..6 => 0,
            6..19 => [100, 500, 1500][self.chance.random_range(0..3)],
            _ => u64::MAX,
        }
    }

    /// Learns what may be abandoned and released.
    pub(in crate::tests) fn learn(&mut self, entry: &Entry, applied: &Applied) {
        for (command, reply) in entry.commands.iter().zip(&applied.replies) {
            match (&command.op, &reply.outcome) {
                (Op::Acquire { lock, .. }, Outcome::Queued(queued)) => {
                    let place = (queued.session, lock.clone(), queued.attachment);
                    self.attachments.push(place);
                }
                (Op::AcquireAll { session, wants, .. }, Outcome::Queued(queued)) => {
                    let places = (*session, wants.clone(), queued.attachment);
                    self.many.push(places);
                }
                _ => {}
            }
        }
        for event in &applied.events {
            match &event.what {
                What::SessionOpened { session, .. } => self.open.push(*session),
                What::SessionEnded { session, .. } => self.open.retain(|id| id != session),
                What::Granted { lock, grant, .. } => {
                    self.leases.push((grant.session, lock.clone(), grant.fence));
                }
                // Some who lost a lease do not know it.
                What::Ended { fence, .. } if self.chance.random_bool(0.8) => {
                    self.leases.retain(|(_, _, held)| held != fence);
                }
                _ => {}
            }
        }
    }
}
