//! What a ring is asked to be.

use serde::{Deserialize, Serialize};

use crate::command::Placement;
use crate::limits;
use crate::slot::RingHash;

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
