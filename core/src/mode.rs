//! How the leases of one lock share it.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::PERMITS_MAX;

/// What a lease leaves to others.
///
/// A mode from the log may be out of its bounds: the machine looks ([`Mode::fits`]) and refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Nothing.
    #[default]
    Exclusive,
    /// As many more shared leases as there is room for.
    Shared,
    /// The other permits of a semaphore. `of` stays while the lock is in use.
    Permits {
        /// How many this lease has, from 1 to `of`.
        count: u32,
        /// How many there are in all, at most [`PERMITS_MAX`].
        of: u32,
    },
}

impl Mode {
    /// Whether its numbers are within their bounds.
    #[must_use]
    pub const fn fits(self) -> bool {
        match self {
            Self::Exclusive | Self::Shared => true,
            Self::Permits { count, of } => 1 <= count && count <= of && of <= PERMITS_MAX,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str("exclusive"),
            Self::Shared => f.write_str("shared"),
            Self::Permits { count, of } => write!(f, "{count} of {of} permits"),
        }
    }
}
