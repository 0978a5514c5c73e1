//! What must hold of one ring, from its rows alone.

use alloc::collections::BTreeSet;

use super::Ring;
use super::member::{Life, Member};
use super::slots::NOBODY;
use super::storm::LOSSES_KEPT;
use crate::command::Placement;
use crate::limits;
use crate::slot::SLOTS;
use crate::time::ClusterTime;

impl Ring {
    /// The first thing that does not hold.
    pub(crate) fn audit(&self, clock: ClusterTime) -> Result<(), &'static str> {
        self.audit_members(clock)?;
        self.audit_slots()?;
        self.audit_rest(clock)?;
        self.journal.audit(self.epoch)
    }

    fn audit_members(&self, clock: ClusterTime) -> Result<(), &'static str> {
        let names: BTreeSet<_> = self.members.values().map(|member| &member.name).collect();
        check(
            names.len() == self.members.len(),
            "two members have one name",
        )?;
        let fits = self.members.len() <= limits::MEMBERS_PER_RING_MAX;
        check(fits, "it has too many members")?;
        let last = self.members.last_key_value();
        let seated = last.is_none_or(|(seat, _)| usize::from(*seat) < limits::MEMBERS_PER_RING_MAX);
        check(seated, "a seat is beyond the last")?;
        let weights = self.members.values().map(|m| u64::from(m.weight.units()));
        let fits = weights.sum::<u64>() <= limits::WEIGHT_PER_RING_MAX;
        check(fits, "its members weigh too much")?;
        for member in self.members.values() {
            check(member.incarnation <= self.epoch, "a member joined later")?;
            let past = member.down_since().is_none_or(|since| since <= clock);
            check(past, "I6: a member was lost in the future")?;
        }
        let held = self.hold.is_on();
        let joining = self.members.values().any(|m| m.life == Life::Joining);
        check(!joining || held, "a member waits to be planned for nothing")?;
        check(!self.replan || held, "the plan waits for nothing")
    }

    /// I10 and I11, as far as one state can show them.
    fn audit_slots(&self) -> Result<(), &'static str> {
        let known = |seat| seat == NOBODY || self.members.contains_key(&seat);
        let held = self.hold.is_on();
        for slot in 0..SLOTS {
            let slots = &self.slots;
            let (owner, from) = (slots.owner[slot], slots.from[slot]);
            let (target, claim) = (slots.target[slot], slots.claim[slot]);
            let all = [owner, from, target, claim].into_iter().all(known);
            check(all, "a slot names a seat that is empty")?;
            check(
                slots.epoch[slot] <= self.epoch,
                "I11: a slot is ahead of its ring",
            )?;
            let owned = owner == NOBODY || slots.epoch[slot] > 0;
            check(owned, "I11: a slot has an owner and no epoch")?;
            let apart = from == NOBODY || from != owner;
            check(apart, "I10: a slot moves to whom it moves from")?;
            let serves = self.members.get(&from).is_none_or(Member::may_serve);
            check(serves, "I10: a slot waits for somebody who cannot serve it")?;
            if held {
                continue;
            }
            let planned = self.members.get(&target).is_none_or(Member::is_planned);
            check(planned, "the plan counts on somebody who is not there")?;
            let served = owner == target || self.serving(slot).is_some();
            check(served, "a slot that nobody serves is kept from its owner")?;
            let claimed = self.members.get(&claim).is_none_or(Member::is_down);
            check(claimed, "a slot is kept for somebody who is not lost")?;
        }
        Ok(())
    }

    fn audit_rest(&self, clock: ClusterTime) -> Result<(), &'static str> {
        let replicas = usize::from(self.spec.replicas);
        let fits = (1..=limits::REPLICAS_MAX).contains(&replicas);
        check(fits, "its preference lists are out of bounds")?;
        let fits = self.spec.reassign_delay_ms <= limits::REASSIGN_DELAY_MS_MAX;
        check(fits, "its reassign delay is out of bounds")?;
        let past = self.hold.braked.is_none_or(|loss| loss <= clock);
        check(past, "I6: it was braked in the future")?;
        let past = self.hold.losses.iter().all(|(_, at)| *at <= clock);
        check(past, "I6: a loss is in the future")?;
        let fits = self.hold.losses.len() <= LOSSES_KEPT;
        check(fits, "it remembers too many losses")?;
        if self.hold.is_on() || self.spec.placement == Placement::Points {
            return Ok(());
        }
        let (planned, total) = (self.planned(), self.weight());
        for (seat, member) in &planned {
            let slots = self.slots.target.iter().filter(|t| *t == seat).count() as u64;
            let due = SLOTS as u64 * u64::from(member.weight.units());
            let near = (slots * total).abs_diff(due) < total;
            check(near, "a member is a slot or more from its exact share")?;
        }
        Ok(())
    }

    /// What the members weigh that the plan counts on.
    fn weight(&self) -> u64 {
        let planned = self.members.values().filter(|member| member.is_planned());
        planned.map(|m| u64::from(m.weight.units())).sum()
    }
}

const fn check(holds: bool, why: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(why) }
}
