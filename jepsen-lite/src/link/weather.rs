//! What a link does to the bytes that cross it.

use std::time::Duration;

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    #[default]
    Clear,
    /// They pass late: after `delay` and up to `jitter` more, in their order.
    Late {
        /// At least so long.
        delay: Duration,
        /// And at random up to so long more.
        jitter: Duration,
    },
    /// They pass, but no more than so many a second.
    Narrow {
        /// So many.
        bytes_per_second: u64,
    },
    /// They are kept until the link is mended, as TCP does over a short outage.
    Stalled,
    /// They are lost. A connection that lost some is reset when the link is mended, because
    /// nobody can go on behind a gap.
    Lost,
}

/// What happens to connections as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doors {
    /// They open and close as their ends want.
    #[default]
    Open,
    /// Those that are there are reset, and new ones are reset as soon as they are opened.
    Reset,
    /// The far end is cut off without a word: the near end goes on to believe in the connection.
    HalfOpen,
    /// That one end closed is told to the other only after so long.
    SlowClose(Duration),
}

/// Everything about a link at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// From who dials to who is dialed.
    pub there: Flow,
    /// From who is dialed to who dials.
    pub back: Flow,
    /// What happens to connections.
    pub doors: Doors,
}

impl Flow {
    pub(super) const fn holds(self) -> bool {
        matches!(self, Self::Stalled)
    }

    pub(super) const fn loses(self) -> bool {
        matches!(self, Self::Lost)
    }
}

impl Weather {
    /// Whether this is a link without faults.
    #[must_use]
    pub fn is_fair(&self) -> bool {
        *self == Self::default()
    }

    /// The same in both directions.
    #[must_use]
    pub const fn both(flow: Flow) -> Self {
        Self {
            there: flow,
            back: flow,
            doors: Doors::Open,
        }
    }

    pub(super) fn lets_connect(self) -> bool {
        let passes = |flow: Flow| !flow.holds() && !flow.loses();
        passes(self.there) && passes(self.back) && self.doors != Doors::HalfOpen
    }
}
