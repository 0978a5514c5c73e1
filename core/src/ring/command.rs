//! What may be asked of rings, what comes back, and what the world is told.
//!
//! Each call describes a state to reach, so repeating one reaches it once: rings remember no
//! request ids. What a repetition answers is the state of the ring then.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::name::{Addresses, MemberName, RingName, Weight, Zone};
use super::slot::{RingHash, SlotRange};
use super::spec::Placement;
use crate::digest::Digest;
use crate::name::SessionId;

/// The operations on rings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RingOp {
    /// Makes a ring, or changes one; what is not said stays as it is.
    Configure {
        /// Which.
        ring: RingName,
        /// How keys become slots; it can change only while the ring has no members.
        hash: Option<RingHash>,
        /// How slots become members.
        placement: Option<Placement>,
        /// How many members a preference list has, from 1 to 16.
        replicas: Option<u8>,
        /// How long a lost member's slots are kept for it, in milliseconds.
        reassign_delay_ms: Option<u64>,
    },
    /// Brings a member onto a ring, or changes what it is listed with. A member that was draining
    /// stays.
    Join {
        /// Which ring.
        ring: RingName,
        /// Who joins.
        member: MemberName,
        /// The session whose life is the member's.
        session: SessionId,
        /// Its weight.
        weight: Weight,
        /// Where it is.
        zone: Zone,
        /// Where it is reached.
        addresses: Addresses,
    },
    /// Takes a member's slots away in batches; it has left when it has handed over the last.
    Drain {
        /// Which ring.
        ring: RingName,
        /// Who.
        member: MemberName,
    },
    /// Takes a member off the ring. If it is alive, all of its slots move at once, and each waits
    /// for its release; if it is down, nothing is kept for it any longer.
    Leave {
        /// Which ring.
        ring: RingName,
        /// Who.
        member: MemberName,
    },
    /// A member no longer serves these slots: whoever they move to may.
    Release {
        /// Which ring.
        ring: RingName,
        /// Who.
        member: MemberName,
        /// Its session.
        session: SessionId,
        /// Which slots; those that do not move away from it are passed over.
        ranges: Vec<SlotRange>,
        /// The epoch of the table that it followed; a move of a later epoch is another move.
        epoch: u64,
    },
    /// Nothing moves from now on, whoever comes or goes; moves under way are finished.
    Freeze {
        /// Which ring.
        ring: RingName,
        /// Why, at most 256 bytes.
        reason: String,
    },
    /// Ends a freeze, and the storm brake.
    Unfreeze {
        /// Which ring.
        ring: RingName,
        /// Why, at most 256 bytes.
        reason: String,
    },
}

impl RingOp {
    /// Which ring it is about.
    #[must_use]
    pub const fn ring(&self) -> &RingName {
        match self {
            Self::Configure { ring, .. }
            | Self::Join { ring, .. }
            | Self::Drain { ring, .. }
            | Self::Leave { ring, .. }
            | Self::Release { ring, .. }
            | Self::Freeze { ring, .. }
            | Self::Unfreeze { ring, .. } => ring,
        }
    }

    /// Which member it is about, and the session that speaks for it.
    pub(crate) const fn member(&self) -> (Option<&MemberName>, Option<SessionId>) {
        match self {
            Self::Configure { .. } | Self::Freeze { .. } | Self::Unfreeze { .. } => (None, None),
            Self::Drain { member, .. } | Self::Leave { member, .. } => (Some(member), None),
            Self::Join {
                member, session, ..
            }
            | Self::Release {
                member, session, ..
            } => (Some(member), Some(*session)),
        }
    }

    pub(crate) fn write_to(&self, digest: &mut Digest) {
        digest.write_number(self.number());
        digest.write_text(self.ring().as_str());
        let (member, session) = self.member();
        if let Some(member) = member {
            digest.write_text(member.as_str());
        }
        if let Some(session) = session {
            digest.write_session(session);
        }
    }

    const fn number(&self) -> u64 {
        match self {
            Self::Configure { .. } => 1,
            Self::Join { .. } => 2,
            Self::Drain { .. } => 3,
            Self::Leave { .. } => 4,
            Self::Release { .. } => 5,
            Self::Freeze { .. } => 6,
            Self::Unfreeze { .. } => 7,
        }
    }
}

/// What a ring's call came to: it is done, or was done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingOutcome {
    /// The ring's epoch after it.
    pub epoch: u64,
    /// How many slots the call released; 0 for calls other than a release.
    pub released: u32,
}

/// Why a ring's call was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RingRefusal {
    /// There is no such ring.
    NoRing,
    /// There is no such member on it.
    NoMember,
    /// The member's name is bound to another session, which is alive or may still be serving.
    MemberTaken {
        /// Which; show only its first digits.
        session: SessionId,
    },
    /// The session that speaks is not the member's.
    NotTheMember,
    /// The hash cannot change while the ring has members.
    HashInUse {
        /// The one in use.
        hash: RingHash,
    },
}

/// What happened to a ring, in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingEvent {
    /// Which ring.
    pub ring: RingName,
    /// The epoch that it made.
    pub epoch: u64,
    /// What, in order.
    pub changes: Vec<RingChange>,
}

/// One thing that happened to a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RingChange {
    /// It was made, or asked to be otherwise.
    Configured,
    /// A member joined, or came back with another session.
    Joined(MemberName),
    /// A member's weight, zone or addresses changed.
    Updated(MemberName),
    /// The plan counts on a member that it did not count on before.
    Ready(MemberName),
    /// A member owns all that the plan gives it.
    Active(MemberName),
    /// A member hands over what it has.
    Draining(MemberName),
    /// A member has handed over what it had, and is gone.
    Left(MemberName),
    /// A member's session ended.
    Down(MemberName),
    /// A lost member did not come back in time, and is gone.
    Removed(MemberName),
    /// So many slots began to move, or changed hands at once because nobody was serving them.
    Moved(u32),
    /// So many slots arrived: whoever served them before no longer does.
    Arrived(u32),
    /// An operator froze it, and why.
    Frozen(String),
    /// An operator thawed it, and why.
    Unfrozen(String),
    /// Too many members were lost together: nothing is reassigned until it is calm.
    Braked,
    /// The storm is over.
    Calm,
}
