//! From the plan to the table: who serves a slot, and when that may change.
//!
//! *The promise* (I10). At most one member serves a slot at any moment of real time, over pauses,
//! partitions and deaths.
//!
//! *The means.* A slot has an owner, and while it moves also a `from`. The owner of a slot that
//! does not move may serve it, as long as its session lives by its own count. A slot that moves is
//! served by `from` alone, until `from` has released it in the log or its session has ended there;
//! only then may the owner serve. A session ends in the log not before it has ended by its
//! client's count, so between the old server's last answer and the new one's first there is always
//! a commit. (A session that an operator ended was not counted down by its client; its slots stay
//! `from` it until it would have expired.)
//!
//! *The fence of a slot* (I11). Each change of owner gives the slot the ring's new epoch. It
//! travels with whatever the owner writes elsewhere, and a lower one is refused. A release names
//! the epoch of the table that it followed; if the slot has moved otherwise since, that release
//! was for another move and does not count.
//!
//! *Planned* moves go in batches: a member hands over at most 1024 slots at a time, so that no
//! slot waits longer than one hand-over. A *lost* member's slots get an interim owner at once: the
//! one that the plan would give them to without it, which for points is the next member on the
//! circle. If it returns in time they go back to it, else they are already where they belong.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::member::{Life, Member};
use super::plan::{self, Share};
use super::point::{self, Circle};
use super::slots::NOBODY;
use super::{Ring, Seat};
use crate::command::Placement;
use crate::event::RingChange;
use crate::limits::SLOTS_PER_BATCH;
use crate::planted::{self, Plant};
use crate::slot::{SLOTS, SlotRange};
use crate::time::{ClusterTime, Deadline};

/// What one settling did to the table.
#[derive(Debug, Default)]
struct Moves {
    begun: u32,
    arrived: u32,
}

impl Ring {
    /// Brings the ring to where it can be by now: what is due is done, the plan follows the
    /// members, the table follows the plan as far as it may. Doing it again changes nothing.
    pub(super) fn settle(&mut self, clock: ClusterTime) {
        self.quieten(clock);
        self.calm(clock);
        if !self.hold.is_on() {
            self.remove_overdue(clock);
            if self.replan {
                self.plan();
                self.replan = false;
            }
        }
        let moves = self.follow();
        if moves.begun > 0 {
            self.changes.push(RingChange::Moved(moves.begun));
        }
        if moves.arrived > 0 {
            self.changes.push(RingChange::Arrived(moves.arrived));
        }
        self.promote();
        self.free_seats();
    }

    /// When time alone next changes the ring.
    pub(crate) fn alarm(&self) -> Option<Deadline> {
        let quiet = self.members.values().filter_map(Member::quiet_at).min();
        let calm = self.hold.ends_at();
        let overdue = match self.hold.is_on() {
            true => None,
            false => self.overdue_at(),
        };
        [quiet, calm, overdue].into_iter().flatten().min()
    }

    /// When the first lost member is lost for good.
    fn overdue_at(&self) -> Option<Deadline> {
        let since = self.members.values().filter_map(Member::down_since).min()?;
        Some(since.plus_ms(self.spec.reassign_delay_ms))
    }

    /// Members whose clients have stopped by their own count serve no longer.
    fn quieten(&mut self, clock: ClusterTime) {
        for member in self.members.values_mut() {
            match &mut member.life {
                Life::Down { quiet_at, .. } | Life::Gone { quiet_at } => {
                    *quiet_at = quiet_at.filter(|at| *at > clock);
                }
                Life::Joining | Life::Ready | Life::Active | Life::Draining { .. } => {}
            }
        }
    }

    /// Gives up on those who did not come back in time.
    fn remove_overdue(&mut self, clock: ClusterTime) {
        let delay = self.spec.reassign_delay_ms;
        for member in self.members.values_mut() {
            let Life::Down { since, quiet_at } = member.life else {
                continue;
            };
            if since.plus_ms(delay) <= clock {
                member.life = Life::Gone { quiet_at };
                self.changes.push(RingChange::Removed(member.name.clone()));
                self.replan = true;
            }
        }
    }

    /// Members that the plan counts on, in the order of their names.
    pub(super) fn planned(&self) -> Vec<(Seat, &Member)> {
        let mut planned: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.is_planned())
            .map(|(seat, member)| (*seat, member))
            .collect();
        planned.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        planned
    }

    /// The circle of the members that the plan counts on.
    pub(super) fn circle(&self) -> Circle {
        let planned = self.planned();
        Circle::new(planned.iter().map(|(seat, member)| (*seat, &member.points)))
    }

    /// Where the plan begins: what it gave, but what was kept for members that are back is theirs.
    pub(super) fn base(&self) -> Vec<Seat> {
        let back = |seat: Seat| self.members.get(&seat).is_some_and(Member::is_planned);
        (0..SLOTS)
            .map(|slot| match self.slots.claim[slot] {
                claim if claim != NOBODY && back(claim) => claim,
                _ => self.slots.target[slot],
            })
            .collect()
    }

    /// Who gets each slot, by the ring's placement.
    pub(super) fn place(&self, base: &[Seat]) -> Vec<Seat> {
        match self.spec.placement {
            Placement::Points => {
                let planned = self.planned();
                point::owners(planned.iter().map(|(seat, member)| (*seat, &member.points)))
            }
            Placement::Exact => {
                let shares: Vec<Share> = self
                    .planned()
                    .into_iter()
                    .map(|(seat, member)| (seat, u64::from(member.weight.units())))
                    .collect();
                plan::exact(base, &shares)
            }
        }
    }

    /// Plans anew, and keeps what lost members had for them.
    fn plan(&mut self) {
        let target = self.place(&self.base());
        let down: BTreeSet<Seat> = self
            .members
            .iter()
            .filter(|(_, member)| member.is_down())
            .map(|(seat, _)| *seat)
            .collect();
        for (slot, target) in target.into_iter().enumerate() {
            let claim = self.slots.claim[slot];
            let was = self.slots.target[slot];
            self.slots.claim[slot] = match (down.contains(&claim), down.contains(&was)) {
                (true, _) => claim,
                (false, true) => was,
                (false, false) => NOBODY,
            };
            self.slots.target[slot] = target;
        }
        for member in self.members.values_mut() {
            if member.life == Life::Joining {
                member.life = Life::Ready;
                self.changes.push(RingChange::Ready(member.name.clone()));
            }
        }
    }

    fn may_serve(&self, seat: Seat) -> bool {
        self.members.get(&seat).is_some_and(Member::may_serve)
    }

    /// Lets the table follow the plan.
    fn follow(&mut self) -> Moves {
        let mut moves = Moves::default();
        let serving: BTreeSet<Seat> = self
            .members
            .iter()
            .filter(|(_, member)| member.may_serve())
            .map(|(seat, _)| *seat)
            .collect();
        let epoch = self.epoch + 1;
        let held = self.hold.is_on();
        let slots = &mut self.slots;
        // By who serves them: slots that could begin to move, and how many are moving.
        let mut pending: BTreeMap<Seat, Vec<usize>> = BTreeMap::new();
        let mut moving: BTreeMap<Seat, usize> = BTreeMap::new();
        for slot in 0..SLOTS {
            let from = slots.from[slot];
            if from != NOBODY && !serving.contains(&from) {
                slots.from[slot] = NOBODY;
                moves.arrived += 1;
            }
            let (from, owner, target) = (slots.from[slot], slots.owner[slot], slots.target[slot]);
            if owner == target || held {
                if from != NOBODY {
                    *moving.entry(from).or_default() += 1;
                }
                continue;
            }
            let server = slots.server(slot);
            if from == NOBODY && serving.contains(&server) {
                pending.entry(server).or_default().push(slot);
                continue;
            }
            // Nobody serves it, or it moves already and shall move elsewhere.
            slots.owner[slot] = target;
            slots.epoch[slot] = epoch;
            moves.begun += 1;
            if !serving.contains(&server) || server == target {
                slots.from[slot] = NOBODY;
            } else {
                *moving.entry(server).or_default() += 1;
            }
        }
        for (server, pending) in pending {
            let waits = moving.get(&server).is_some_and(|moving| *moving > 0);
            let batch = match self.members[&server].life {
                // Nobody is there to release them, or nobody who waits for others.
                Life::Draining { at_once: true } | Life::Down { .. } | Life::Gone { .. } => SLOTS,
                Life::Joining | Life::Ready | Life::Active | Life::Draining { .. } if waits => 0,
                Life::Joining | Life::Ready | Life::Active | Life::Draining { .. } => {
                    SLOTS_PER_BATCH
                }
            };
            for slot in pending.into_iter().take(batch) {
                self.slots.from[slot] = if planted::is(Plant::TwoOwnersInAMove) {
                    NOBODY
                } else {
                    server
                };
                self.slots.owner[slot] = self.slots.target[slot];
                self.slots.epoch[slot] = epoch;
                moves.begun += 1;
            }
        }
        moves
    }

    /// A member that owns all that the plan gives it is active; one that has handed over all that
    /// it had has left.
    fn promote(&mut self) {
        let mut lacking = BTreeSet::new();
        let mut serving = BTreeSet::new();
        for slot in 0..SLOTS {
            let (owner, from) = (self.slots.owner[slot], self.slots.from[slot]);
            let target = self.slots.target[slot];
            if owner != target || from != NOBODY {
                lacking.insert(target);
            }
            serving.extend([owner, from]);
        }
        for (seat, member) in &mut self.members {
            match member.life {
                Life::Ready if !lacking.contains(seat) => {
                    member.life = Life::Active;
                    self.changes.push(RingChange::Active(member.name.clone()));
                }
                Life::Draining { .. } if !serving.contains(seat) => {
                    member.life = Life::Gone { quiet_at: None };
                    self.changes.push(RingChange::Left(member.name.clone()));
                }
                Life::Joining
                | Life::Ready
                | Life::Active
                | Life::Draining { .. }
                | Life::Down { .. }
                | Life::Gone { .. } => {}
            }
        }
    }

    /// Forgets members that are gone, once no slot remembers them.
    fn free_seats(&mut self) {
        let slots = &self.slots;
        self.members.retain(|seat, member| match member.life {
            Life::Gone { quiet_at } => quiet_at.is_some() || slots.name(*seat),
            Life::Joining
            | Life::Ready
            | Life::Active
            | Life::Draining { .. }
            | Life::Down { .. } => true,
        });
    }

    /// A member's release; answers how many slots it was for.
    pub(super) fn release_slots(&mut self, seat: Seat, ranges: &[SlotRange], epoch: u64) -> u32 {
        let mut released = 0;
        for slot in ranges.iter().flat_map(|range| range.indexes()) {
            if self.slots.from[slot] == seat && self.slots.epoch[slot] <= epoch {
                self.slots.from[slot] = NOBODY;
                released += 1;
            }
        }
        if released > 0 {
            self.changes.push(RingChange::Arrived(released));
        }
        released
    }

    /// The owner of these slots is another incarnation than before: whatever the last one wrote
    /// is fenced.
    pub(super) fn reincarnate(&mut self, seat: Seat) {
        let epoch = self.epoch + 1;
        for slot in 0..SLOTS {
            if self.slots.owner[slot] == seat && self.slots.from[slot] == NOBODY {
                self.slots.epoch[slot] = epoch;
            }
        }
    }

    /// Whether somebody alive serves a slot.
    pub(crate) fn serving(&self, slot: usize) -> Option<Seat> {
        let server = self.slots.server(slot);
        self.may_serve(server).then_some(server)
    }
}
