//! The only clock in the server: a count of milliseconds that runs only while a leader leads.
//!
//! **Problem.** A lease ends when its time is over, and every replica must agree when that is.
//! Wall clocks step, differ and can be set; a lease that ends early lets two clients into one
//! critical section.
//!
//! **Answer.** The leader alone measures time, and it measures only how long it has been leading.
//! When it applies the first entry of its own term it takes an *anchor*: the machine's clock at
//! that point, and the monotonic instant at which it looked. From then on it stamps each entry
//! with `anchor + elapsed`. So between two stamps of one leader exactly the real time has passed
//! that the stamps say, and between the last stamp of one leader and the first of the next no
//! cluster time passes at all: **cluster time never runs faster than real time**, whatever
//! happens to leaders, wall clocks and virtual machines. A failover lengthens every lease by the
//! gap; nothing shortens one.
//!
//! Two rules make it true. The anchor is of one term, and a stamp is made only for the term of
//! the anchor: a leader that comes back in a later term takes a new one, for in between others
//! have moved the clock. And the stamp carries its term, so that the machine can refuse an entry
//! that one leader stamped and another put into the log.
//!
//! What this file does not do: it does not decide who leads, and `apply` never asks it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockring_core::{ClusterTime, Stamp};
use parking_lot::Mutex;

use crate::planted::{self, Plant};

/// The point from which a leader counts.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    term: u64,
    clock: ClusterTime,
    at: Instant,
}

/// Cluster time as the leader of a term counts it.
///
/// Its clones are one clock.
#[derive(Clone, Debug)]
pub struct ClusterClock {
    anchor: Arc<Mutex<Option<Anchor>>>,
    /// Where the time for people is read.
    wall: Wall,
}

#[derive(Clone)]
struct Wall(Arc<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wall")
    }
}

impl Default for ClusterClock {
    fn default() -> Self {
        Self::with_wall(wall_ms)
    }
}

impl ClusterClock {
    /// A clock that reads the time for people somewhere else: a simulation's can be wrong.
    #[must_use]
    pub fn with_wall(wall_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            anchor: Arc::default(),
            wall: Wall(Arc::new(wall_ms)),
        }
    }

    /// Anchors the clock of `term`, unless it is anchored in this or a later term: only the first
    /// call in a term counts, for a later anchor would give back time that has been stamped.
    ///
    /// Answers whether the anchor was taken.
    pub fn anchor(&self, term: u64, clock: ClusterTime) -> bool {
        let mut anchor = self.anchor.lock();
        if anchor.is_some_and(|taken| taken.term >= term) {
            return false;
        }
        let fresh = Anchor {
            term,
            clock,
            at: instant(),
        };
        let kept = anchor.filter(|_| planted::is(Plant::KeptAnchor));
        *anchor = Some(kept.map_or(fresh, |old| Anchor { term, ..old }));
        true
    }

    /// The term of the newest anchor.
    #[must_use]
    pub fn anchored_term(&self) -> Option<u64> {
        self.anchor.lock().map(|anchor| anchor.term)
    }

    /// Cluster time now, for the leader of `term`; nothing if that term is not the anchor's.
    #[must_use]
    pub fn now(&self, term: u64) -> Option<ClusterTime> {
        let anchor = (*self.anchor.lock())?;
        if anchor.term != term {
            return None;
        }
        Some(anchor.clock.plus_ms(whole_ms(instant() - anchor.at)))
    }

    /// What the leader of `term` writes on an entry; nothing if that term is not the anchor's.
    #[must_use]
    pub fn stamp(&self, term: u64) -> Option<Stamp> {
        let at = self.now(term)?;
        Some(Stamp {
            term,
            at,
            wall_ms: (self.wall.0)(),
        })
    }
}

/// The monotonic instant. Everything that measures real time in the server asks here.
///
/// It is asked for by way of tokio, whose clock a simulation holds still; in a build that is not
/// for tests that is the clock of the operating system and nothing else.
#[must_use]
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock in milliseconds since 1970, for people to read; nothing may depend on it.
#[must_use]
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, whole_ms)
}

/// Rounds down: cluster time may lag behind real time, never lead it.
fn whole_ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_stamp_before_it_is_anchored_or_for_another_term() {
        let clock = ClusterClock::default();
        assert_eq!(clock.stamp(1), None);
        assert!(clock.anchor(2, ClusterTime(500)));
        assert_eq!(clock.stamp(1), None);
        assert_eq!(clock.stamp(3), None);
        assert!(clock.stamp(2).unwrap().at >= ClusterTime(500));
    }

    #[test]
    fn only_the_first_anchor_of_a_term_counts() {
        let clock = ClusterClock::default();
        assert!(clock.anchor(4, ClusterTime(1_000)));
        assert!(!clock.anchor(4, ClusterTime(9_000)));
        assert!(!clock.anchor(3, ClusterTime(9_000)));
        assert!(clock.now(4).unwrap() < ClusterTime(9_000));
        assert!(clock.anchor(5, ClusterTime(9_000)));
        assert!(clock.now(5).unwrap() >= ClusterTime(9_000));
    }
}
