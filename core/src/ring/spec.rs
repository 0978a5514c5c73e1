//! What a ring is asked to be.

use serde::{Deserialize, Serialize};

use super::slot::RingHash;
use crate::limits;

/// How slots become members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placement {
    /// Classic consistent hashing: a pure function of who is on the ring.
    #[default]
    Points,
    /// A plan that keeps everybody within one slot of its share by the fewest possible moves.
    Exact,
}

/// What a ring is asked to be; see [`crate::RingOp::Configure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingSpec {
    /// How a key becomes a slot.
    pub hash: RingHash,
    /// How slots become members.
    pub placement: Placement,
    /// How many members a preference list has, from 1 to 16.
    pub replicas: u8,
    /// How long a lost member's slots are kept for it, in milliseconds.
    pub reassign_delay_ms: u64,
}

impl Default for RingSpec {
    fn default() -> Self {
        Self {
            hash: RingHash::default(),
            placement: Placement::default(),
            replicas: 1,
            reassign_delay_ms: limits::REASSIGN_DELAY_MS_DEFAULT,
        }
    }
}
