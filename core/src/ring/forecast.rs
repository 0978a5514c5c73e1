//! A dry run: what changes of members would move, before anybody makes them.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Join;
use super::Ring;
use super::journal::{self, RingMove};
use super::member::Life;
use super::table;
use super::view::Balance;
use crate::name::SessionId;
use crate::name::{Addresses, MemberName, Weight, Zone};
use crate::outcome::Refusal;

/// One change of a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlanChange {
    /// A member joins.
    Join {
        /// Who.
        member: MemberName,
        /// With which weight.
        weight: Weight,
        /// Where it is.
        zone: Zone,
    },
    /// A member is drained.
    Drain {
        /// Who.
        member: MemberName,
    },
    /// A member leaves, or is lost for good.
    Leave {
        /// Who.
        member: MemberName,
    },
    /// A member's weight changes.
    Weight {
        /// Whose.
        member: MemberName,
        /// To what.
        weight: Weight,
    },
}

/// What changes would come to, when all is moved that they move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingPlan {
    /// How many slots move.
    pub moved_slots: usize,
    /// Which, from whom and to whom.
    pub moves: Vec<RingMove>,
    /// How even the plan in force is.
    pub before: Balance,
    /// How even it would be.
    pub after: Balance,
    /// The digest that the ring's table would have; see [`super::RingTable::digest`].
    pub digest: u64,
}

/// Why a dry run cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// A change is about a member that is not on the ring.
    NoMember(MemberName),
    /// A member would join that is on the ring.
    OnTheRing(MemberName),
    /// The changes would break a bound.
    Refused(Refusal),
}

impl Ring {
    /// What these changes would come to. It supposes that nothing holds the ring still, and that
    /// who is down now does not return.
    pub(crate) fn forecast(&self, changes: &[PlanChange]) -> Result<RingPlan, PlanError> {
        let mut ring = self.clone();
        for change in changes {
            ring.suppose(change)?;
        }
        let before = self.named(&self.slots.target);
        ring.slots.target = super::slots::PerSlot(ring.place(&ring.base()));
        let after = ring.named(&ring.slots.target);
        let diff = journal::diff(&before, &after);
        Ok(RingPlan {
            moved_slots: diff.moved_slots,
            moves: diff.moves,
            before: self.balance(&self.slots.target),
            after: ring.balance(&ring.slots.target),
            digest: table::digest(&after),
        })
    }

    fn suppose(&mut self, change: &PlanChange) -> Result<(), PlanError> {
        let named = match change {
            PlanChange::Join { member, .. }
            | PlanChange::Drain { member }
            | PlanChange::Leave { member }
            | PlanChange::Weight { member, .. } => member,
        };
        let seat = self.seat_of(named);
        let known = || PlanError::NoMember(named.clone());
        match change {
            PlanChange::Join {
                member,
                weight,
                zone,
            } => {
                if seat.is_some_and(|seat| self.members[&seat].is_planned()) {
                    return Err(PlanError::OnTheRing(member.clone()));
                }
                let join = Join {
                    member,
                    session: SessionId::from_bits(0),
                    weight: *weight,
                    zone,
                    addresses: &Addresses::default(),
                };
                match seat {
                    Some(seat) => self.join_again(seat, &join),
                    None => self.join(&join).map_err(PlanError::Refused)?,
                }
            }
            PlanChange::Drain { .. } | PlanChange::Leave { .. } => {
                let member = self.members.get_mut(&seat.ok_or_else(known)?);
                member.expect("it has that seat").life = Life::Gone { quiet_at: None };
            }
            PlanChange::Weight { member, weight } => {
                let seat = seat.ok_or_else(known)?;
                let row = &self.members[&seat];
                let (session, zone) = (row.session, row.zone.clone());
                let addresses = row.addresses.clone();
                let join = Join {
                    member,
                    session,
                    weight: *weight,
                    zone: &zone,
                    addresses: &addresses,
                };
                let life = row.life.clone();
                self.join_again(seat, &join);
                self.members.get_mut(&seat).expect("it has that seat").life = life;
            }
        }
        Ok(())
    }
}
