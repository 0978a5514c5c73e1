//! What a ring's call comes back with.

use serde::{Deserialize, Serialize};

use crate::name::SessionId;
use crate::slot::RingHash;

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
    /// The session that speaks, or the incarnation that is meant, is not the member's.
    NotTheMember,
    /// The hash cannot change while the ring has members.
    HashInUse {
        /// The one in use.
        hash: RingHash,
    },
}
