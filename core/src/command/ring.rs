//! What may be asked of rings.
//!
//! Each call describes a state to reach, so repeating one reaches it once: rings remember no
//! request ids. What a repetition answers is the state of the ring then.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::{Addresses, MemberName, RingName, SessionId, Weight, Zone};
use crate::slot::{RingHash, SlotRange};

/// How slots become members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placement {
    /// Classic consistent hashing: a pure function of who is on the ring.
    #[default]
    Points,
    /// A plan that keeps everybody within one slot of its share by the fewest possible moves.
    Exact,
}

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
        /// In which of its lives; whichever it is in, if not said.
        incarnation: Option<u64>,
    },
    /// Takes a member off the ring. If it is alive, all of its slots move at once, and each waits
    /// for its release; if it is down, nothing is kept for it any longer.
    Leave {
        /// Which ring.
        ring: RingName,
        /// Who.
        member: MemberName,
        /// In which of its lives; whichever it is in, if not said.
        incarnation: Option<u64>,
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
        if let Self::Drain { incarnation, .. } | Self::Leave { incarnation, .. } = self {
            digest.write_number(incarnation.map_or(0, |number| number.saturating_add(1)));
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
