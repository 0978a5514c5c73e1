//! The fence: the number of a grant, and what makes a lock safe to use.
//!
//! A paused client may believe in its lease after it has ended. So each grant carries a number
//! that rises for ever, over the whole cluster, and the resource that the lock protects refuses
//! a number lower than one it has seen. Only the machine mints; everybody else compares.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The number of a grant: strictly rising across the cluster, over deletion, snapshot and restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence(u64);

impl Fence {
    /// A fence that a caller claims to hold. It proves nothing: the machine compares it.
    #[must_use]
    pub const fn claimed(number: u64) -> Self {
        Self(number)
    }

    /// The number itself, from 1 up.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Hands out fences. There is one in the machine, and it never goes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mint {
    last: u64,
}

impl Mint {
    /// The next fence, higher than every one before.
    pub(crate) fn mint(&mut self) -> Fence {
        self.last = self
            .last
            .checked_add(1)
            .expect("2^64 grants take longer than the sun has");
        Fence(self.last)
    }

    /// One that goes on from a number that somebody else chose: what a planted bug does.
    pub(crate) const fn at(last: u64) -> Self {
        Self { last }
    }

    /// Leaves out the next so many: none of them is ever minted.
    pub(crate) fn skip(&mut self, fences: u64) {
        self.last = self.last.saturating_add(fences);
    }

    /// The highest fence minted so far; 0 before the first.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }
}
