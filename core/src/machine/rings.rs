//! Where rings meet sessions, deadlines and readers.

use alloc::vec::Vec;

use super::{Answer, Machine, Turn};
use crate::command::RingOp;
use crate::deadlines::Due;
use crate::event::RingEvent;
use crate::event::What;
use crate::name::RingName;
use crate::name::SessionId;
use crate::outcome::{Gone, Outcome};
use crate::ring::{Loss, RingState};
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

    /// One ring's state. Taking it costs next to nothing, whatever is then made of it.
    #[must_use]
    pub fn ring(&self, ring: &RingName) -> Option<RingState> {
        self.rings.rows.get(ring).cloned().map(RingState::new)
    }

    /// Every ring and its epoch, in the order of the names.
    #[must_use]
    pub fn rings(&self) -> Vec<(RingName, u64)> {
        let rows = self.rings.rows.iter();
        rows.map(|(name, ring)| (name.clone(), ring.epoch))
            .collect()
    }
}
