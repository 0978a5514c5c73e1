//! Linearizable reads on every node, without the log.
//!
//! Before a replica answers a read, it must have applied everything that was committed when the
//! read began. Only the leader can say up to where that is, and only after it has made sure that
//! it still leads (ReadIndex: a round of heartbeats to a majority). Then the replica waits for its
//! own apply, and looks.
//!
//! One round serves all reads that were waiting when it began: those that arrive during a round
//! share the next one. So the number of rounds depends on their length, not on the number of
//! reads, and a follower asks the leader once for all of its readers.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Role;
use super::applier::Raft;
use super::links::Links;
use super::wire::ReadPoint;
use crate::clock::ClusterClock;
use crate::planted::{self, Plant};
use crate::watch;

/// After this long a round has failed, and the next may find another leader.
const ROUND_WITHIN: Duration = Duration::from_millis(500);

type Waiter = oneshot::Sender<Option<ReadPoint>>;

/// Where readers wait for a round.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    waiting: Mutex<Vec<Waiter>>,
    bell: Notify,
}

impl Barrier {
    /// A point that covers everything committed before this call; nothing if no leader could be
    /// made sure of.
    pub(super) async fn point(&self) -> Option<ReadPoint> {
        let (sender, point) = oneshot::channel();
        self.waiting.lock().push(sender);
        self.bell.notify_one();
        point.await.ok()?
    }
}

/// The one task that makes rounds.
pub(super) struct Rounds {
    pub(super) barrier: Arc<Barrier>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) raft: Raft,
    pub(super) clock: Arc<ClusterClock>,
    pub(super) links: Arc<Links>,
}

impl Rounds {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        loop {
            self.barrier.bell.notified().await;
            let waiting = std::mem::take(&mut *self.barrier.waiting.lock());
            if waiting.is_empty() {
                continue;
            }
            let point = timeout(ROUND_WITHIN, self.round()).await.ok().flatten();
            for waiter in waiting {
                // A reader that went away needs no point.
                let _ = waiter.send(point);
            }
        }
    }

    async fn round(&self) -> Option<ReadPoint> {
        let role = self.role.borrow().clone();
        let leader = role.leader?;
        if leader != self.links.id() {
            return self.links.read_point(leader, ROUND_WITHIN).await;
        }
        if planted::is(Plant::StaleLeaderRead) {
            let applied = self.raft.metrics().borrow_watched().last_applied;
            let (next_index, now) = (applied?.index() + 1, self.clock.now(role.term)?);
            return Some(ReadPoint { next_index, now });
        }
        let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
        let linearizer = linearizer.ok()?;
        let read = linearizer.read_log_id();
        let now = self.clock.now(read.committed_leader_id().term)?;
        let next_index = read.index() + 1;
        Some(ReadPoint { next_index, now })
    }
}
