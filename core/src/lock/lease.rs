//! One grant of a lock.

use serde::{Deserialize, Serialize};

use crate::fence::Fence;
use crate::name::SessionId;
use crate::time::ClusterTime;

/// One grant of a lock to a session. It ends when it is released or its session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Who holds it.
    pub(crate) session: SessionId,
    /// Its number.
    pub(crate) fence: Fence,
    /// When it was granted.
    pub(crate) since: ClusterTime,
    /// The attachment of the waiter that it was granted to; 0 if nobody had to wait.
    pub(crate) attachment: u64,
}

impl Lease {
    /// Whether it was granted to the caller that attached so to a place.
    pub(crate) const fn was_attached(&self, attachment: u64) -> bool {
        self.attachment != 0 && self.attachment == attachment
    }
}
