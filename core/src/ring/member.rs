//! A ring's member, from its joining to its going.
//!
//! ```text
//! joining ─▶ ready ─▶ active ─▶ draining ─▶ (left)
//!    └─────────┴────────┴──▶ down ─▶ (removed)
//! ```
//! *joining*: it is on the ring, and the plan has not given it slots yet, because the ring is
//! frozen or braked. *ready*: the plan counts on it, and slots are on their way. *active*: it has
//! what the plan gives it. *draining*: the plan has given its slots to others, and it hands them
//! over. *down*: its session has ended; others serve its slots, and keep them if it does not
//! return in time. What has left or was removed is no longer on the ring.
//!
//! A member is bound to a session: there is no second heartbeat, and no ghost to forget by hand.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::point::Points;
use crate::name::SessionId;
use crate::name::{Addresses, MemberName, Weight, Zone};
use crate::time::{ClusterTime, Deadline};

/// What a member is to the ring at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// On the ring, not in the plan: the ring is frozen or braked.
    Joining,
    /// In the plan, and not yet owner of all that it gives it.
    Ready,
    /// Owner of all that the plan gives it.
    Active,
    /// Handing over what it has.
    Draining,
    /// Its session has ended; its slots are kept for it for a while.
    Down,
    /// It is gone, and the ring is frozen or braked before its slots found new owners.
    Removed,
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    Joining,
    Ready,
    Active,
    /// `at_once`: not in batches, for it does not wait.
    Draining {
        at_once: bool,
    },
    /// `quiet_at`: when its client, told of nothing, stops serving by its own count.
    Down {
        since: ClusterTime,
        quiet_at: Option<Deadline>,
    },
    Gone {
        quiet_at: Option<Deadline>,
    },
}

/// One member. It is in the table under its seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: MemberName,
    /// Whose life is this member's.
    pub(crate) session: SessionId,
    /// The epoch in which it joined with that session.
    pub(crate) incarnation: u64,
    pub(crate) weight: Weight,
    pub(crate) zone: Zone,
    pub(crate) addresses: Addresses,
    pub(crate) life: Life,
    /// Its points; they follow from its name and weight.
    #[serde(skip, default = "no_points")]
    pub(crate) points: Points,
}

fn no_points() -> Points {
    Arc::new([])
}

impl Member {
    pub(crate) const fn state(&self) -> MemberState {
        match self.life {
            Life::Joining => MemberState::Joining,
            Life::Ready => MemberState::Ready,
            Life::Active => MemberState::Active,
            Life::Draining { .. } => MemberState::Draining,
            Life::Down { .. } => MemberState::Down,
            Life::Gone { .. } => MemberState::Removed,
        }
    }

    /// Whether its session is alive.
    pub(crate) const fn is_alive(&self) -> bool {
        match self.life {
            Life::Joining | Life::Ready | Life::Active | Life::Draining { .. } => true,
            Life::Down { .. } | Life::Gone { .. } => false,
        }
    }

    /// Until when it may serve although its session is gone.
    pub(crate) const fn quiet_at(&self) -> Option<Deadline> {
        match self.life {
            Life::Down { quiet_at, .. } | Life::Gone { quiet_at } => quiet_at,
            Life::Joining | Life::Ready | Life::Active | Life::Draining { .. } => None,
        }
    }

    /// Whether it may be serving what it owned.
    pub(crate) const fn may_serve(&self) -> bool {
        self.is_alive() || self.quiet_at().is_some()
    }

    /// Whether the plan gives it slots.
    pub(crate) const fn is_planned(&self) -> bool {
        match self.life {
            Life::Joining | Life::Ready | Life::Active => true,
            Life::Draining { .. } | Life::Down { .. } | Life::Gone { .. } => false,
        }
    }

    /// Whether slots are kept for it.
    pub(crate) const fn is_down(&self) -> bool {
        matches!(self.life, Life::Down { .. })
    }

    /// When it went down.
    pub(crate) const fn down_since(&self) -> Option<ClusterTime> {
        match self.life {
            Life::Down { since, .. } => Some(since),
            Life::Joining
            | Life::Ready
            | Life::Active
            | Life::Draining { .. }
            | Life::Gone { .. } => None,
        }
    }
}
