//! What the world is told of rings.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::name::{MemberName, RingName};

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
