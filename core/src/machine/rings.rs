//! Where rings meet sessions, deadlines and readers.

use alloc::vec::Vec;

use super::{Answer, Machine, Turn};
use crate::deadlines::Due;
use crate::event::What;
use crate::limits;
use crate::name::SessionId;
use crate::outcome::{Gone, Outcome};
use crate::ring::{
    Loss, MemberName, PlanChange, PlanError, RingDiff, RingEvent, RingName, RingOp, RingPlan,
    RingView,
};
use crate::time::Deadline;

impl Machine {
    /// Settles what is overdue and would matter to a ring's call: time on the ring itself, the
    /// session that speaks, and the one that the member's name is bound to.
    pub(super) fn expire_touched_by_ring(&mut self, op: &RingOp, turn: &mut Turn) {
        let (member, session) = op.member();
        self.expire_if_due(session, turn);
        let bound = member.and_then(|name| {
            let ring = self.rings.get(op.ring())?;
            Some(ring.members[&ring.seat_of(name)?].session)
        });
        self.expire_if_due(bound, turn);
        let alarm = self.rings.get(op.ring()).and_then(|ring| ring.alarm());
        if alarm.is_some_and(|at| at <= self.clock) {
            self.wake_ring(op.ring(), turn);
        }
    }

    /// Does what a ring's call asks.
    pub(super) fn ask_ring(&mut self, op: &RingOp, turn: &mut Turn) -> Answer {
        if let (_, Some(session)) = op.member()
            && self.sessions.get(session).is_none()
        {
            return Answer::refusal(self.gone(session));
        }
        let alarm = self.alarm_of(op.ring());
        let turned = self.rings.run(op, self.clock);
        self.move_alarm(op.ring(), alarm);
        match turned {
            Ok(turned) => {
                self.tell_ring(turned.event, turn);
                Answer::new(Outcome::Ring(turned.outcome))
            }
            Err(refusal) => Answer::refusal(refusal),
        }
    }

    /// Time alone changes a ring.
    pub(super) fn wake_ring(&mut self, ring: &RingName, turn: &mut Turn) {
        self.revision += 1;
        let alarm = self.alarm_of(ring);
        let event = self.rings.wake(ring, self.clock);
        self.move_alarm(ring, alarm);
        self.tell_ring(event, turn);
    }

    /// A session has ended, and its members with it. A client that did not close its session
    /// itself, and whose time is not over, serves on until it is.
    pub(super) fn lose_members(
        &mut self,
        session: SessionId,
        cause: Gone,
        expires_at: Deadline,
        turn: &mut Turn,
    ) {
        let quiet_at = match cause {
            Gone::EndedByOperator => Some(expires_at).filter(|at| *at > self.clock),
            Gone::NeverExisted | Gone::Closed | Gone::Expired => None,
        };
        let at = self.clock;
        for ring in self.rings.rings_of(session) {
            let alarm = self.alarm_of(&ring);
            let event = self.rings.lose(session, &ring, Loss { at, quiet_at });
            self.move_alarm(&ring, alarm);
            self.tell_ring(event, turn);
        }
    }

    fn tell_ring(&self, event: Option<RingEvent>, turn: &mut Turn) {
        if let Some(event) = event {
            self.tell(What::Ring(event), turn);
        }
    }

    fn alarm_of(&self, ring: &RingName) -> Option<Deadline> {
        self.rings.get(ring).and_then(|ring| ring.alarm())
    }

    /// Keeps the deadlines true when a ring's alarm may have changed from `before`.
    fn move_alarm(&mut self, ring: &RingName, before: Option<Deadline>) {
        let after = self.alarm_of(ring);
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.deadlines.remove(at, Due::Ring(ring.clone()));
        }
        if let Some(at) = after {
            self.deadlines.insert(at, Due::Ring(ring.clone()));
        }
    }

    /// One ring.
    #[must_use]
    pub fn ring(&self, ring: &RingName) -> Option<RingView> {
        self.rings.get(ring).map(|ring| ring.view())
    }

    /// Every ring and its epoch, in the order of the names.
    #[must_use]
    pub fn rings(&self) -> Vec<(RingName, u64)> {
        let rows = self.rings.rows.iter();
        rows.map(|(name, ring)| (name.clone(), ring.epoch))
            .collect()
    }

    /// A ring's epoch, which tells whether anything of it has changed.
    #[must_use]
    pub fn ring_epoch(&self, ring: &RingName) -> Option<u64> {
        self.rings.get(ring).map(|ring| ring.epoch)
    }

    /// The slots of these keys on a ring, and whom to ask for each, at most `wanted` members.
    #[must_use]
    pub fn ring_lookup(
        &self,
        ring: &RingName,
        keys: &[&[u8]],
        wanted: usize,
    ) -> Option<Vec<(u16, Vec<MemberName>)>> {
        let ring = self.rings.get(ring)?;
        let slots: Vec<u16> = keys.iter().map(|key| ring.spec.hash.slot(key)).collect();
        let lists = ring.lists(&slots, wanted.min(limits::REPLICAS_MAX));
        Some(slots.into_iter().zip(lists).collect())
    }

    /// A dry run of changes to a ring; nothing if there is no such ring.
    ///
    /// # Errors
    /// [`PlanError`] when the changes cannot be made.
    pub fn ring_plan(
        &self,
        ring: &RingName,
        changes: &[PlanChange],
    ) -> Option<Result<RingPlan, PlanError>> {
        Some(self.rings.get(ring)?.forecast(changes))
    }

    /// What moved on a ring from one epoch to another; nothing if there is no such ring.
    ///
    /// # Errors
    /// The oldest epoch that is kept, if one of these is older.
    pub fn ring_diff(&self, ring: &RingName, from: u64, to: u64) -> Option<Result<RingDiff, u64>> {
        let ring = self.rings.get(ring)?;
        Some(ring.diff(from, to).ok_or(ring.oldest()))
    }
}
