//! Seeded random logs, applied to the machine and to the naive one: every outcome and every event
//! must agree, and the audit must pass after every entry.
//!
//! The logs are nasty on purpose: few sessions, locks and request ids, so that everything meets
//! everything; small bounds, so that all are reached and overdue things are left over; clocks
//! that stand still, jump and go back; stamps of another term.

use std::format;
use std::string::String;
use std::vec::Vec;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::naive::Naive;
use super::{bytes, lock, session};
use crate::machine::Bounds;
use crate::*;

/// How many seeds one run takes, unless `SEEDS` says otherwise; and how many entries a seed.
const SEEDS: u64 = 120;
const ENTRIES: usize = 400;

/// Draws logs, from what has been answered so far.
struct Log {
    chance: StdRng,
    at: u64,
    sessions: u128,
    drawn: u128,
    sent: Vec<Command>,
    attachments: Vec<(SessionId, LockName, u64)>,
    leases: Vec<(SessionId, LockName, Fence)>,
}

impl Log {
    fn new(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        Self {
            sessions: chance.random_range(1..8),
            chance,
            at: 0,
            drawn: 100,
            sent: Vec::new(),
            attachments: Vec::new(),
            leases: Vec::new(),
        }
    }

    fn bounds(&mut self) -> Bounds {
        let mut bounds = Bounds::default();
        let chance = &mut self.chance;
        if chance.random_bool(0.5) {
            bounds.expiries_per_entry = chance.random_range(0..3);
        }
        if chance.random_bool(0.5) {
            bounds.sessions = chance.random_range(1..6);
            bounds.locks = chance.random_range(1..4);
            bounds.waiters_per_lock = chance.random_range(1..3);
            bounds.leases_per_session = chance.random_range(1..3);
        }
        bounds
    }

    /// The next entry, and the term that the log holds it under.
    fn entry(&mut self) -> (u64, Entry) {
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
        match self.chance.random_range(0..100) {
            0..13 => {
                let id = self.session();
                Op::Open(self.new_session(id))
            }
            13..20 => {
                let rows = self.chance.random_range(0..4);
                let sessions = (0..rows).map(|_| self.session()).collect();
                Op::Renew { sessions }
            }
            20..24 => Op::Close {
                session: self.session(),
            },
            24..58 => Op::Acquire {
                by: Acquirer::Session(self.session()),
                lock: self.lock(),
                mode: Mode::Exclusive,
                wait_ms: self.wait(),
                max_hold_ms: None,
                value: String::new(),
            },
            58..72 => {
                self.drawn += 1;
                let id = session(self.drawn);
                Op::Acquire {
                    by: Acquirer::OneLease(self.new_session(id)),
                    lock: self.lock(),
                    mode: Mode::Exclusive,
                    wait_ms: self.wait(),
                    max_hold_ms: None,
                    value: String::new(),
                }
            }
            72..85 => self.abandon(),
            _ => self.release(),
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
        let known = self.recent(self.leases.len());
        let off = u64::from(self.chance.random_bool(0.15));
        let (session, lock, fence) = match known {
            Some(at) => {
                let (session, lock, fence) = self.leases[at].clone();
                (session, lock, Fence::claimed(fence.number() + off))
            }
            None => (self.session(), self.lock(), Fence::claimed(1)),
        };
        Op::Release {
            session,
            lock,
            fence,
        }
    }

    /// One of the newest rows of a list, most of the time.
    fn recent(&mut self, len: usize) -> Option<usize> {
        let known = len > 0 && self.chance.random_bool(0.9);
        known.then(|| self.chance.random_range(len.saturating_sub(3)..len))
    }

    fn session(&mut self) -> SessionId {
        let alone = self.drawn > 100 && self.chance.random_bool(0.15);
        session(if alone {
            self.chance
                .random_range(self.drawn.saturating_sub(4)..=self.drawn)
        } else {
            self.chance.random_range(0..=self.sessions)
        })
    }

    fn new_session(&mut self, session: SessionId) -> NewSession {
        let chance = &mut self.chance;
        let owner = ["", "a", "b"][chance.random_range(0..3)];
        NewSession {
            session,
            ttl: Ttl::parse(chance.random_range(5..15) * 100).unwrap(),
            owner: Owner::parse(owner).unwrap(),
            lock_delay_ms: 0,
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
    fn learn(&mut self, entry: &Entry, applied: &Applied) {
        for (command, reply) in entry.commands.iter().zip(&applied.replies) {
            if let (Op::Acquire { lock, .. }, Outcome::Queued(queued)) =
                (&command.op, &reply.outcome)
            {
                let lock = lock.clone();
                self.attachments
                    .push((queued.session, lock, queued.attachment));
            }
        }
        for event in &applied.events {
            if let What::Granted { lock, grant, .. } = &event.what {
                self.leases.push((grant.session, lock.clone(), grant.fence));
            }
        }
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("SEED");
    let count = number("SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(1);
    first..first + count
}

fn reproduce(seed: u64, test: &str) -> String {
    format!("REPRODUCE SEED={seed} cargo test -p lockring-core {test}")
}

#[test]
fn agrees_with_the_naive_machine() {
    for seed in seeds() {
        let mut log = Log::new(seed);
        let bounds = log.bounds();
        let mut naive = Naive::new(bounds);
        let mut machine = Machine::new();
        machine.bounds = bounds;
        for number in 0..ENTRIES {
            let (term, entry) = log.entry();
            let before = (machine.clock(), machine.mint.last());
            let applied = machine.apply(term, &entry);
            let expected = naive.apply(term, &entry);
            let story = || format!("entry {number}: {entry:#?}\n{}", reproduce(seed, "naive"));
            assert_eq!(applied, expected, "{}", story());
            assert_eq!(machine.revision(), naive.revision, "{}", story());
            assert_eq!(machine.audit(), Ok(()), "{}", story());
            let after = (machine.clock(), machine.mint.last());
            assert!(before.0 <= after.0, "I6: the clock fell; {}", story());
            assert!(before.1 <= after.1, "I2: fences fell; {}", story());
            log.learn(&entry, &applied);
        }
    }
}

/// I9, and that a snapshot has everything: a machine thawed anywhere on the way goes on as the
/// one that applied all, and a third that got the same log writes the same bytes.
#[test]
fn snapshot_and_tail_equal_full_replay() {
    for seed in seeds().take(60) {
        let mut log = Log::new(seed);
        let bounds = log.bounds();
        let with_bounds = |mut machine: Machine| {
            machine.bounds = bounds;
            machine
        };
        let mut whole = with_bounds(Machine::new());
        let mut twin = with_bounds(Machine::new());
        let mut thawed = with_bounds(Machine::new());
        for number in 0..ENTRIES {
            let (term, entry) = log.entry();
            let applied = whole.apply(term, &entry);
            let story = || format!("entry {number}\n{}", reproduce(seed, "full_replay"));
            assert_eq!(thawed.apply(term, &entry), applied, "{}", story());
            assert_eq!(twin.apply(term, &entry), applied, "{}", story());
            assert_eq!(thawed.next_deadline(), whole.next_deadline(), "{}", story());
            if log.chance.random_bool(0.1) {
                let bytes_of_whole = bytes(&whole);
                assert_eq!(bytes(&thawed), bytes_of_whole, "I9: {}", story());
                assert_eq!(bytes(&twin), bytes_of_whole, "I9: {}", story());
                let digest = whole.freeze().digest();
                assert_eq!(thawed.freeze().digest(), digest, "I9: {}", story());
                thawed = with_bounds(Machine::thaw(&bytes_of_whole).unwrap());
                assert_eq!(thawed.counts(), whole.counts(), "{}", story());
            }
            log.learn(&entry, &applied);
        }
    }
}

/// The logs must reach every corner, else agreement on them says little.
#[test]
fn random_logs_reach_every_outcome() {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for seed in 1..60 {
        let mut log = Log::new(seed);
        let mut machine = Machine::new();
        machine.bounds = log.bounds();
        for _ in 0..ENTRIES {
            let (term, entry) = log.entry();
            let applied = machine.apply(term, &entry);
            for reply in &applied.replies {
                let mut kind = super::scripts::kind_of(&reply.outcome);
                if reply.replayed {
                    kind.insert_str(0, "replayed ");
                }
                *seen.entry(kind).or_default() += 1;
            }
            log.learn(&entry, &applied);
        }
    }
    for kind in [
        "opened",
        "renewed",
        "closed",
        "granted",
        "queued",
        "released",
        "abandoned place",
        "abandoned lease",
        "abandoned nothing",
        "held",
        "session_gone",
        "fence_stale",
        "key_reused",
        "limit Sessions",
        "limit Locks",
        "limit WaitersPerLock",
        "limit LeasesPerSession",
        "replayed opened",
        "replayed closed",
        "replayed granted",
        "replayed queued",
        "replayed released",
        "replayed held",
        "replayed wait_timeout",
        "replayed fence_stale",
    ] {
        let times = seen.get(kind).copied().unwrap_or(0);
        assert!(times > 0, "{kind} never came up: {seen:#?}");
    }
}
