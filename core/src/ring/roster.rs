//! Who is on a ring: joining, draining, leaving, being lost.

use super::member::{Life, Member};
use super::{Ring, Seat, point};
use crate::event::RingChange;
use crate::limits;
use crate::name::SessionId;
use crate::name::{Addresses, MemberName, Weight, Zone};
use crate::outcome::RingRefusal;
use crate::outcome::{Limit, Refusal};
use crate::slot::SlotRange;
use crate::time::{ClusterTime, Deadline};

/// A member as it asks to join.
pub(super) struct Join<'a> {
    pub(super) member: &'a MemberName,
    pub(super) session: SessionId,
    pub(super) weight: Weight,
    pub(super) zone: &'a Zone,
    pub(super) addresses: &'a Addresses,
}

/// What a session's end means for its members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// When.
    pub(crate) at: ClusterTime,
    /// When its client stops serving by its own count, if that is still to come.
    pub(crate) quiet_at: Option<Deadline>,
}

impl Ring {
    pub(super) fn join(&mut self, new: &Join<'_>) -> Result<(), Refusal> {
        let seat = self.seat_of(new.member);
        let known = seat.and_then(|seat| self.members.get(&seat));
        if let Some(taken) = known.filter(|m| m.may_serve() && m.session != new.session) {
            let session = taken.session;
            return Err(Refusal::Ring(RingRefusal::MemberTaken { session }));
        }
        let others = |(at, member): (&Seat, &Member)| {
            (Some(*at) != seat).then(|| u64::from(member.weight.units()))
        };
        let weight: u64 = self.members.iter().filter_map(others).sum();
        if weight + u64::from(new.weight.units()) > limits::WEIGHT_PER_RING_MAX {
            let limit = Limit::WeightPerRing;
            return Err(Refusal::Limit { limit });
        }
        match seat {
            None => self.seat(new),
            Some(seat) => {
                self.join_again(seat, new);
                Ok(())
            }
        }
    }

    fn seat(&mut self, new: &Join<'_>) -> Result<(), Refusal> {
        let free =
            (0..limits::MEMBERS_PER_RING_MAX as Seat).find(|s| !self.members.contains_key(s));
        let Some(seat) = free else {
            let limit = Limit::MembersPerRing;
            return Err(Refusal::Limit { limit });
        };
        let member = Member {
            name: new.member.clone(),
            session: new.session,
            incarnation: self.epoch + 1,
            weight: new.weight,
            zone: new.zone.clone(),
            addresses: new.addresses.clone(),
            life: Life::Joining,
            points: point::points(&self.name, new.member, new.weight),
        };
        self.members.insert(seat, member);
        self.replan = true;
        self.changes.push(RingChange::Joined(new.member.clone()));
        Ok(())
    }

    pub(super) fn join_again(&mut self, seat: Seat, new: &Join<'_>) {
        let epoch = self.epoch + 1;
        let member = self.members.get_mut(&seat).expect("it has that seat");
        let back = member.session != new.session || !member.is_alive();
        let stays = matches!(member.life, Life::Draining { .. });
        let heavier = member.weight != new.weight;
        let other = member.zone != *new.zone || member.addresses != *new.addresses;
        member.session = new.session;
        member.zone = new.zone.clone();
        member.addresses = new.addresses.clone();
        if heavier {
            member.weight = new.weight;
            member.points = point::points(&self.name, new.member, new.weight);
        }
        if back || stays {
            member.life = Life::Joining;
            self.changes.push(RingChange::Joined(new.member.clone()));
        } else if heavier || other {
            // What it has may no longer be all that the plan gives it.
            if heavier && member.life == Life::Active {
                member.life = Life::Ready;
            }
            self.changes.push(RingChange::Updated(new.member.clone()));
        }
        if back {
            self.hold.losses.retain(|(lost, _)| lost != new.member);
            member.incarnation = epoch;
            self.reincarnate(seat);
        }
        self.replan |= back || stays || heavier;
    }

    /// A call that names an incarnation is about no other: one that comes late, or again, does not
    /// take off a member that has come back meanwhile.
    pub(super) fn drain(
        &mut self,
        name: &MemberName,
        incarnation: Option<u64>,
        at_once: bool,
    ) -> Result<(), RingRefusal> {
        let seat = self.seat_of(name).ok_or(RingRefusal::NoMember)?;
        let member = self.members.get_mut(&seat).expect("it has that seat");
        if incarnation.is_some_and(|named| named != member.incarnation) {
            return Err(RingRefusal::NotTheMember);
        }
        match member.life {
            Life::Joining | Life::Ready | Life::Active => {
                member.life = Life::Draining { at_once };
                self.changes.push(RingChange::Draining(name.clone()));
                self.replan = true;
            }
            Life::Draining { at_once: was } => {
                member.life = Life::Draining {
                    at_once: was || at_once,
                };
                if at_once && !was {
                    self.changes.push(RingChange::Draining(name.clone()));
                }
            }
            Life::Down { quiet_at, .. } => {
                member.life = Life::Gone { quiet_at };
                self.changes.push(RingChange::Removed(name.clone()));
                self.replan = true;
            }
            Life::Gone { .. } => {}
        }
        Ok(())
    }

    /// A member's session has ended.
    pub(super) fn lose(&mut self, seat: Seat, loss: Loss) {
        let Loss { at, quiet_at } = loss;
        let member = self.members.get_mut(&seat).expect("it has that seat");
        let name = member.name.clone();
        match member.life {
            Life::Joining | Life::Ready | Life::Active => {
                let since = at;
                member.life = Life::Down { since, quiet_at };
                self.replan = true;
                self.brake(&name, at);
                self.changes.push(RingChange::Down(name));
            }
            Life::Draining { .. } => {
                member.life = Life::Gone { quiet_at };
                self.changes.push(RingChange::Left(name));
            }
            Life::Down { .. } | Life::Gone { .. } => {}
        }
    }

    /// A member no longer serves slots; answers how many moved away from it.
    pub(super) fn release(
        &mut self,
        name: &MemberName,
        session: SessionId,
        ranges: &[SlotRange],
        epoch: u64,
    ) -> Result<u32, RingRefusal> {
        let seat = self.seat_of(name).ok_or(RingRefusal::NoMember)?;
        let member = &self.members[&seat];
        if member.session != session || !member.is_alive() {
            return Err(RingRefusal::NotTheMember);
        }
        Ok(self.release_slots(seat, ranges, epoch))
    }
}
