//! Who serves a slot, seen from outside: random lives of a ring, watched by an observer that knows
//! only what clients are told, who released what, and whose session is over.
//!
//! After every entry: a slot goes from one server to another only by the first one's release or the
//! end of its session, and not before its client has stopped by its own count (I10); the epoch of a
//! slot rises with each change of its owner and never falls (I11); a client that is sent what has
//! changed has the table that it would have been sent whole.

use std::collections::BTreeMap;
use std::format;
use std::string::ToString;
use std::vec::Vec;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{bytes, entry, open, session};
use crate::*;

/// How many seeds one run takes, unless `SEEDS` says otherwise; and how many entries a seed.
const SEEDS: u64 = 4;
const ENTRIES: usize = 80;

/// Whoever serves: a member in one of its lives, and the session of that life.
type Server = (MemberName, u64, SessionId);

#[derive(Default)]
struct Seen {
    servers: Vec<Option<Server>>,
    owners: Vec<Option<(MemberName, u64)>>,
    view: Option<RingView>,
    /// Sessions that an operator ended, and when their clients stop by their own count.
    ended: BTreeMap<SessionId, ClusterTime>,
}

struct Life {
    machine: Machine,
    chance: StdRng,
    ring: RingName,
    at: u64,
    drawn: u128,
    seen: Seen,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            machine: Machine::new(),
            chance: StdRng::seed_from_u64(seed),
            ring: RingName::parse("r").unwrap(),
            at: 0,
            drawn: 0,
            seen: Seen::default(),
        }
    }

    /// A member of the ring, if it has any.
    fn pick(&mut self) -> Option<MemberView> {
        let members = &self.seen.view.as_ref()?.members;
        let count = members.len();
        (count > 0).then(|| members[self.chance.random_range(0..count)].clone())
    }

    fn configure(&mut self) -> Op {
        let placement = match self.chance.random_bool(0.5) {
            true => Placement::Points,
            false => Placement::Exact,
        };
        Op::Ring(RingOp::Configure {
            ring: self.ring.clone(),
            hash: None,
            placement: Some(placement),
            replicas: Some(self.chance.random_range(1..3)),
            reassign_delay_ms: Some(self.chance.random_range(0..4_000)),
        })
    }

    fn join(&mut self) -> [Op; 2] {
        self.drawn += 1;
        let id = session(self.drawn);
        let number = self.chance.random_range(0..6);
        let join = Op::Ring(RingOp::Join {
            ring: self.ring.clone(),
            member: MemberName::parse(&format!("m{number}")).unwrap(),
            session: id,
            weight: Weight::parse(self.chance.random_range(1..4)).unwrap(),
            zone: Zone::parse(&format!("z{}", number % 2)).unwrap(),
            addresses: Addresses::default(),
        });
        [open(id, self.chance.random_range(500..6_000)), join]
    }

    fn release(&mut self, of: &MemberView) -> Op {
        let epoch = self.machine.ring(&self.ring).unwrap().epoch();
        let half = SlotRange::new(0, self.chance.random_range(0..16_384)).unwrap();
        let whole = self.chance.random_bool(0.8);
        Op::Ring(RingOp::Release {
            ring: self.ring.clone(),
            member: of.member.clone(),
            session: of.session,
            ranges: [if whole { SlotRange::ALL } else { half }].to_vec(),
            // Sometimes of a table that is no longer the newest.
            epoch: epoch - self.chance.random_range(0..=epoch.min(2)) / 2,
        })
    }

    fn ops(&mut self) -> Vec<Op> {
        let ring = self.ring.clone();
        if self.seen.view.is_none() {
            return [self.configure()].to_vec();
        }
        let why = || "because".to_string();
        let Some(member) = self.pick() else {
            return self.join().to_vec();
        };
        let name = member.member.clone();
        let incarnation = Some(member.incarnation);
        match self.chance.random_range(0..100) {
            0..20 => self.join().to_vec(),
            20..60 => [self.release(&member)].to_vec(),
            60..75 => {
                let members = &self.seen.view.as_ref().unwrap().members;
                let sessions = members.iter().map(|member| member.session).collect();
                [Op::Renew { sessions }].to_vec()
            }
            75..80 => [Op::Ring(RingOp::Drain {
                ring,
                member: name,
                incarnation,
            })]
            .to_vec(),
            80..83 => [Op::Ring(RingOp::Leave {
                ring,
                member: name,
                incarnation: None,
            })]
            .to_vec(),
            83..86 => [Op::Close {
                session: member.session,
            }]
            .to_vec(),
            86..89 => {
                let session = member.session;
                if let Ok(view) = self.machine.session(session) {
                    self.seen.ended.insert(session, view.expires_at);
                }
                let reason = Reason::parse("because").unwrap();
                [Op::EndSession { session, reason }].to_vec()
            }
            89..91 => [Op::Ring(RingOp::Freeze {
                ring,
                reason: why(),
            })]
            .to_vec(),
            91..94 => [Op::Ring(RingOp::Unfreeze {
                ring,
                reason: why(),
            })]
            .to_vec(),
            94..96 => [self.configure()].to_vec(),
            _ => Vec::new(),
        }
    }

    fn step(&mut self) {
        let pause = [0, 0, 10, 300, 300, 2_000, 70_000][self.chance.random_range(0..7)];
        self.at += self.chance.random_range(0..=pause);
        let ops = self.ops();
        let applied = self.machine.apply(1, &entry(self.at, ops.clone()));
        let mut released: Vec<(SessionId, SlotRange)> = Vec::new();
        for (op, reply) in ops.iter().zip(&applied.replies) {
            if let (
                Op::Ring(RingOp::Release {
                    session, ranges, ..
                }),
                Outcome::Ring(_),
            ) = (op, &reply.outcome)
            {
                released.extend(ranges.iter().map(|range| (*session, *range)));
            }
        }
        assert_eq!(self.machine.audit(), Ok(()));
        if let Some(ring) = self.machine.ring(&self.ring) {
            self.look(ring.view(), &released);
        }
    }

    /// Compares what is seen now with what was seen before.
    fn look(&mut self, view: RingView, released: &[(SessionId, SlotRange)]) {
        let alive = |name: &MemberName| {
            let member = view.members.iter().find(|row| row.member == *name)?;
            let gone = matches!(member.state, MemberState::Down | MemberState::Removed);
            (!gone).then(|| (name.clone(), member.incarnation, member.session))
        };
        let table = &view.table;
        let (mut servers, mut owners) = (Vec::new(), Vec::new());
        for slot in 0..16_384u16 {
            let server = table.moving_from(slot).or(table.owner(slot));
            servers.push(server.and_then(alive));
            let owner = table.owner(slot).and_then(alive);
            owners.push(owner.map(|(name, life, _)| (name, life)));
        }
        let is_over = |session: &SessionId| {
            let quiet = self
                .seen
                .ended
                .get(session)
                .is_none_or(|until| until.0 <= self.at);
            self.machine.session(*session).is_err() && quiet
        };
        for (slot, (was, is)) in self.seen.servers.iter().zip(&servers).enumerate() {
            let (Some(was), Some(is)) = (was, is) else {
                continue;
            };
            let by_release = released
                .iter()
                .any(|(session, range)| *session == was.2 && range.indexes().contains(&slot));
            let fine = was == is || by_release || is_over(&was.2);
            assert!(fine, "I10: slot {slot} went from {was:?} to {is:?}");
        }
        if let Some(RingView { table: before, .. }) = &self.seen.view {
            for slot in 0..16_384u16 {
                let (was, is) = (before.slot_epoch(slot), table.slot_epoch(slot));
                assert!(was <= is, "I11: slot {slot} fell from {was} to {is}");
                let at = usize::from(slot);
                let (old, new) = (&self.seen.owners[at], &owners[at]);
                let changed = new.is_some() && old != new;
                assert!(
                    !changed || was < is,
                    "I11: slot {slot} has {new:?} and had {old:?}"
                );
            }
            let next = before.changed(table.epoch(), &table.since(before)).unwrap();
            assert_eq!(next, *table);
            let same = before == table;
            assert!(
                same || before.epoch() < table.epoch(),
                "an epoch has two tables"
            );
        }
        self.seen.servers = servers;
        self.seen.owners = owners;
        self.seen.view = Some(view);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a failure must name its seed")]
fn one_member_at_most_serves_a_slot_and_its_epoch_rises() {
    let seeds = std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        std::eprintln!("seed {seed}");
        let mut life = Life::new(seed);
        for step in 0..ENTRIES {
            life.step();
            if step % 50 == 0 {
                let bytes = bytes(&life.machine);
                let thawed = Machine::thaw(&bytes).unwrap();
                assert_eq!(super::bytes(&thawed), bytes, "seed {seed} step {step}");
                assert_eq!(thawed.audit(), Ok(()));
            }
        }
    }
}
