//! When a ring stands still: by an operator's word, or because too much is lost at once.
//!
//! *The problem.* A network that breaks, or an operator's mistake, takes many members at once. To
//! give their slots to those who are left would crush these with a load that they were never
//! sized for, empty every cache on the way, and move everything back a minute later.
//!
//! *The answer.* When more than a third of the members, and more than one, are lost within 60
//! seconds, nothing is reassigned: not to interim owners, not for good, not to members that join.
//! A lost member's slots wait for it. That ends when nothing more was lost for 60 seconds, when
//! nobody is missing any longer, or when an operator says so.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Ring;
use super::member::Member;
use crate::event::RingChange;
use crate::limits::{MEMBERS_PER_RING_MAX, STORM_MS};
use crate::name::MemberName;
use crate::time::{ClusterTime, Deadline};

/// Losses that are remembered: more than any ring survives.
pub(super) const LOSSES_KEPT: usize = 2 * MEMBERS_PER_RING_MAX;

/// What holds a ring still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// An operator's reason.
    pub(crate) frozen: Option<String>,
    /// The last loss of a storm.
    pub(crate) braked: Option<ClusterTime>,
    /// Who was lost lately and is not back, and when, oldest first.
    pub(crate) losses: Vec<(MemberName, ClusterTime)>,
}

impl Hold {
    /// Whether nothing may be reassigned.
    pub(crate) const fn is_on(&self) -> bool {
        self.frozen.is_some() || self.braked.is_some()
    }

    /// When the brake ends unless something more is lost.
    pub(crate) fn ends_at(&self) -> Option<Deadline> {
        self.braked.map(|loss| loss.plus_ms(STORM_MS))
    }
}

impl Ring {
    /// A member was just lost: brakes if it is one too many.
    pub(super) fn brake(&mut self, name: &MemberName, clock: ClusterTime) {
        let losses = &mut self.hold.losses;
        losses.retain(|(lost, at)| lost != name && clock.ms_since(*at) < STORM_MS);
        if losses.len() == LOSSES_KEPT {
            losses.remove(0);
        }
        losses.push((name.clone(), clock));
        let lost = losses.len();
        let left = self.members.values().filter(|m| m.is_planned()).count();
        if self.hold.braked.is_some() {
            self.hold.braked = Some(clock);
        } else if lost > 1 && lost * 3 > lost + left {
            self.hold.braked = Some(clock);
            self.changes.push(RingChange::Braked);
        }
    }

    /// Lets go of the brake when the storm is over.
    pub(super) fn calm(&mut self, clock: ClusterTime) {
        let Some(ends_at) = self.hold.ends_at() else {
            return;
        };
        let all_back = !self.members.values().any(Member::is_down);
        if ends_at <= clock || all_back {
            self.hold.braked = None;
            self.hold.losses.clear();
            self.replan = true;
            self.changes.push(RingChange::Calm);
        }
    }
}
