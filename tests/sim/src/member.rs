//! A client that is a member of a ring, and serves the slots that are its own.
//!
//! It does what a service has to do. It serves a slot that a table gives it and that does not
//! move, and goes on with one that moves away until it releases it; it counts its session's time
//! itself, from the sending of the last renewal that was acknowledged, and serves nothing beyond.
//! It looks at the table now and then, at any node, which may be behind. What it served and when is
//! noted for a few slots, and the checker wants no moment in which a slot is served twice.

use std::collections::BTreeMap;

use lockring_core::{
    Addresses, MemberName, NewSession, Op, Outcome, Owner, Placement, Reason, Refusal, Renewal,
    RequestId, RingName, RingOp, RingRefusal, RingView, SessionId, SlotRange, Ttl, Weight, Zone,
};

use crate::clients::Mind;
use crate::dice::Dice;
use crate::history::{Ask, Call, Fresh, Lease, Told};
use crate::node::Tray;

/// The slots that are looked at: every so manieth of all.
const EVERY: u16 = 128;
const SLOTS: u16 = 16_384;

/// A time in which a member served a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which slot.
    pub slot: u16,
    /// Who, and in which life.
    pub by: (MemberName, SessionId),
    /// Since when, in the world's milliseconds.
    pub from_ms: u64,
    /// Until when it certainly did.
    pub until_ms: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Member {
    name: MemberName,
    ring: RingName,
    session: Option<(SessionId, u64)>,
    /// It serves nothing from this time on, unless it renews.
    certain_until_ms: u64,
    renewed_ms: u64,
    joined: bool,
    /// There is no such ring yet.
    must_configure: bool,
    /// The epoch of the newest table that it has seen in this life.
    epoch: u64,
    /// What it serves of the slots that are looked at, and since when.
    serves: BTreeMap<u16, u64>,
    /// What it released, by the epoch of the table that it followed then.
    released: BTreeMap<u16, u64>,
    /// What moves away from it.
    moving: Vec<SlotRange>,
    spans: Tray<Span>,
}

impl Member {
    /// One that has not joined.
    #[must_use]
    pub fn new(number: usize, spans: Tray<Span>) -> Self {
        Self {
            name: MemberName::parse(&format!("member-{number}")).expect("a short name"),
            ring: RingName::parse("ring").expect("a short name"),
            session: None,
            certain_until_ms: 0,
            renewed_ms: 0,
            joined: false,
            must_configure: false,
            epoch: 0,
            serves: BTreeMap::new(),
            released: BTreeMap::new(),
            moving: Vec::new(),
            spans,
        }
    }

    /// Stops serving what it can no longer be certain of.
    fn count_down(&mut self, now_ms: u64) {
        if now_ms >= self.certain_until_ms {
            self.stop(now_ms, |_| true);
        }
    }

    fn stop(&mut self, now_ms: u64, which: impl Fn(u16) -> bool) {
        let Some((session, _)) = self.session else {
            return;
        };
        let until_ms = now_ms.min(self.certain_until_ms);
        let over = self.serves.extract_if(.., |slot, _| which(*slot));
        self.spans.lock().extend(over.map(|(slot, from_ms)| Span {
            slot,
            by: (self.name.clone(), session),
            from_ms,
            until_ms,
        }));
    }

    fn is_gone(&mut self, now_ms: u64) {
        self.stop(now_ms, |_| true);
        self.session = None;
        self.joined = false;
    }

    fn choose(&mut self, session: SessionId, now_ms: u64, dice: &mut Dice) -> Option<Op> {
        let (ring, member) = (self.ring.clone(), self.name.clone());
        if self.must_configure {
            self.must_configure = false;
            return Some(Op::Ring(configure(ring, dice)));
        }
        if !self.joined {
            return Some(Op::Ring(RingOp::Join {
                ring,
                member,
                session,
                weight: Weight::parse(dice.between(1, 4)).expect("within the bounds"),
                zone: Zone::default(),
                addresses: Addresses::default(),
            }));
        }
        if !self.moving.is_empty() && dice.hits(700_000) {
            let (ranges, epoch) = (std::mem::take(&mut self.moving), self.epoch);
            let moves = |slot: u16| {
                ranges
                    .iter()
                    .any(|range| range.indexes().contains(&usize::from(slot)))
            };
            self.stop(now_ms, moves);
            for slot in probes().filter(|slot| moves(*slot)) {
                self.released.insert(slot, epoch);
            }
            return Some(Op::Ring(RingOp::Release {
                ring,
                member,
                session,
                ranges,
                epoch,
            }));
        }
        let reason = "to see what happens".to_owned();
        Some(match dice.between(0, 99) {
            0..3 => Op::Ring(RingOp::Drain {
                ring,
                member,
                incarnation: None,
            }),
            3..5 => Op::Ring(RingOp::Leave {
                ring,
                member,
                incarnation: None,
            }),
            5..6 => Op::Ring(RingOp::Freeze { ring, reason }),
            6..10 => Op::Ring(RingOp::Unfreeze { ring, reason }),
            // Its session is over from here on, whether or not it hears the answer: a table that is
            // behind may still have it.
            10..11 => {
                self.is_gone(now_ms);
                Op::Close { session }
            }
            11..12 => {
                self.is_gone(now_ms);
                Op::EndSession {
                    session,
                    reason: Reason::parse(&reason).expect("a short reason"),
                }
            }
            12..13 => Op::Ring(configure(ring, dice)),
            _ => return None,
        })
    }

    fn learn(&mut self, call: &Call, op: &Op, outcome: &Outcome, now_ms: u64) {
        match outcome {
            Outcome::Opened { session, ttl, .. } => {
                self.session = Some((*session, ttl.ms()));
                self.certain_until_ms = call.asked_ms + ttl.ms() * 99 / 100;
                self.renewed_ms = call.asked_ms;
                (self.joined, self.epoch) = (false, 0);
                self.released.clear();
                self.moving.clear();
            }
            Outcome::Renewed(rows) => match (rows[0].1, self.session) {
                (Renewal::Until(_), Some((_, ttl_ms))) => {
                    let until_ms = call.asked_ms + ttl_ms * 99 / 100;
                    self.certain_until_ms = self.certain_until_ms.max(until_ms);
                }
                _ => self.is_gone(now_ms),
            },
            Outcome::Closed { .. } => self.is_gone(now_ms),
            Outcome::Ring(_) => {
                if matches!(op, Op::Ring(RingOp::Join { .. })) {
                    self.joined = true;
                }
            }
            Outcome::Refused(Refusal::SessionGone { .. }) => self.is_gone(now_ms),
            Outcome::Refused(Refusal::Ring(RingRefusal::NoRing)) => self.must_configure = true,
            Outcome::Refused(Refusal::Ring(RingRefusal::NoMember)) => self.joined = false,
            _ => {}
        }
    }

    /// Follows a table, unless it has a newer one.
    fn follow(&mut self, view: &RingView, now_ms: u64) {
        let Some((session, _)) = self.session else {
            return;
        };
        if view.epoch < self.epoch {
            return;
        }
        self.epoch = view.epoch;
        let mut members = view.members.iter();
        if !members.any(|row| row.member == self.name && row.session == session) {
            self.stop(now_ms, |_| true);
            self.moving.clear();
            self.joined = false;
            return;
        }
        let me = Some(&self.name);
        let is_mine = |slot: u16, released: Option<&u64>| {
            let moved_since = released.is_none_or(|at| view.table.slot_epoch(slot) > *at);
            match view.table.moving_from(slot) {
                None => view.table.owner(slot) == me && moved_since,
                from => from == me && released.is_none(),
            }
        };
        let mine = |slot| is_mine(slot, self.released.get(&slot));
        let mine: Vec<u16> = probes().filter(|slot| mine(*slot)).collect();
        self.stop(now_ms, |slot| mine.binary_search(&slot).is_err());
        for slot in mine {
            self.released.remove(&slot);
            if now_ms < self.certain_until_ms {
                self.serves.entry(slot).or_insert(now_ms);
            }
        }
        let moving = view.table.moving();
        let away = moving.iter().filter(|row| row.from == self.name);
        self.moving = away.map(|row| row.range).collect();
    }
}

impl Mind for Member {
    fn next(&mut self, now_ms: u64, dice: &mut Dice, _: &[Lease]) -> Option<Ask> {
        self.count_down(now_ms);
        let request = RequestId::from_bits(dice.number());
        let Some((session, ttl_ms)) = self.session else {
            let ttl = Ttl::parse(dice.between(800, 2_500)).expect("within the bounds");
            let new = NewSession {
                session: SessionId::from_bits(dice.number()),
                ttl,
                owner: Owner::default(),
                lock_delay_ms: 0,
                metadata: String::new(),
            };
            return Some(Ask::Use(request, Op::Open(new)));
        };
        if now_ms > self.renewed_ms + ttl_ms / 3 {
            // Now and then it is late.
            self.renewed_ms = now_ms + if dice.hits(50_000) { ttl_ms } else { 0 };
            let sessions = vec![session];
            return Some(Ask::Use(request, Op::Renew { sessions }));
        }
        match self.choose(session, now_ms, dice) {
            Some(op) => Some(Ask::Use(request, op)),
            None => {
                let fresh = match dice.coin() {
                    true => Fresh::Linearizable,
                    false => Fresh::Stale,
                };
                Some(Ask::Table(self.ring.clone(), fresh))
            }
        }
    }

    fn hear(&mut self, call: &Call, told: &Told, now_ms: u64, dice: &mut Dice) -> u64 {
        self.count_down(now_ms);
        if let (Some((_, op)), Told::Reply(reply)) = (call.ask.command(), told) {
            self.learn(call, op, &reply.outcome, now_ms);
        }
        if let Told::Table(_, table) = told {
            self.follow(&table.0, now_ms);
        }
        dice.between(10, 150)
    }

    fn end(&mut self, now_ms: u64) {
        self.stop(now_ms, |_| true);
    }
}

fn probes() -> impl Iterator<Item = u16> {
    (0..SLOTS).step_by(usize::from(EVERY))
}

fn configure(ring: RingName, dice: &mut Dice) -> RingOp {
    let placement = match dice.coin() {
        true => Placement::Points,
        false => Placement::Exact,
    };
    RingOp::Configure {
        ring,
        hash: None,
        placement: Some(placement),
        replicas: Some(dice.between(1, 3) as u8),
        reassign_delay_ms: Some(dice.between(100, 1_500)),
    }
}
