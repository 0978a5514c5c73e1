//! What really happened, by revision: the events of all replicas, laid over each other.
//!
//! A committed revision is the same on every replica for ever. So the first replica that tells the
//! events of a revision says what is true, and every other one, in every life of it, must say the
//! same; if one does not, an acknowledged past was lost, or replicas have parted.

use std::collections::BTreeMap;

use lockring::consensus::News;
use lockring_core::{Event, LockName, Mode, NodeId, SessionId, What};

/// One revision.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Its events, in order.
    pub events: Vec<Event>,
    /// When a replica first applied it, in the world's milliseconds.
    pub seen_ms: u64,
    by: NodeId,
}

/// All revisions that had events.
#[derive(Debug, Default)]
pub struct Truth {
    /// By their numbers.
    pub moments: BTreeMap<u64, Moment>,
    /// The highest revision that any replica was seen at.
    pub newest: u64,
}

/// One lease in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub session: SessionId,
    /// How it is shared.
    pub mode: Mode,
    /// Its number.
    pub fence: u64,
}

impl Truth {
    /// A replica applied something.
    ///
    /// # Errors
    /// Another replica, or this one before, applied something else under that number.
    pub fn hear(&mut self, node: NodeId, now_ms: u64, news: &News) -> Result<(), String> {
        self.newest = self.newest.max(news.revision);
        let mut rest = news.events.as_slice();
        while let Some(first) = rest.first() {
            let revision = first.revision;
            let count = rest.partition_point(|event| event.revision == revision);
            let (events, later) = rest.split_at(count);
            rest = later;
            let Some(known) = self.moments.get(&revision) else {
                let moment = Moment {
                    events: events.to_vec(),
                    seen_ms: now_ms,
                    by: node,
                };
                self.moments.insert(revision, moment);
                continue;
            };
            if known.events != events {
                return Err(format!(
                    "revision {revision} is {:?} on node {} and {events:?} on node {node}",
                    known.events, known.by
                ));
            }
        }
        Ok(())
    }

    /// Who holds which lock after this revision.
    #[must_use]
    pub fn holders_at(&self, revision: u64) -> BTreeMap<LockName, Vec<Held>> {
        let mut holders = BTreeMap::new();
        for (_, moment) in self.moments.range(..=revision) {
            for event in &moment.events {
                turn(&mut holders, &event.what);
            }
        }
        holders
    }
}

/// Moves the holders on by one event.
pub fn turn(holders: &mut BTreeMap<LockName, Vec<Held>>, what: &What) {
    match what {
        What::Granted { lock, grant, .. } => {
            let held = Held {
                session: grant.session,
                mode: grant.mode,
                fence: grant.fence.number(),
            };
            holders.entry(lock.clone()).or_default().push(held);
        }
        What::Ended { lock, fence, .. } => {
            if let Some(rows) = holders.get_mut(lock) {
                rows.retain(|held| held.fence != fence.number());
                if rows.is_empty() {
                    holders.remove(lock);
                }
            }
        }
        _ => {}
    }
}
