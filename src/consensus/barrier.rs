//! Linearizable reads on every node, without the log.
//!
//! Before a replica answers a read, it must have applied everything that was committed when the
//! read began. Only the leader can say up to where that is, and only after it has made sure that
//! it still leads (ReadIndex: a round of heartbeats to a majority). Then the replica waits for its
//! own apply, and looks.
//!
//! **The round is our own.** openraft has one, but it also believes replies on the log stream: a
//! reply that covers an entry counts for a later message without entries that ends at the same
//! index, at that message's sending time. Such a reply may have been given before another leader
//! was elected, and arrive after; a deposed leader then answered with the past. Here a peer counts
//! only if it accepts, after the read began, a heartbeat of this very term.
//!
//! One round serves all reads that were waiting when it began: those that arrive during a round
//! share the next one. So the number of rounds depends on their length, not on the number of
//! reads, and a follower asks the leader once for all of its readers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::linearizable_read::LinearizerOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Role;
use super::applier::Raft;
use super::links::Links;
use super::raft::{Types, Vote};
use super::wire::{self, ReadPoint};
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
        // What it makes sure of is not relied on: only which entry the round has to cover.
        let linearizer = self
            .raft
            .get_read_linearizer(LinearizerOption::new(None, true));
        let linearizer = linearizer.await.ok()?;
        let read = linearizer.read_log_id();
        let term = read.committed_leader_id().term;
        if !self.still_leads(term).await {
            return None;
        }
        let now = self.clock.now(term)?;
        let next_index = read.index() + 1;
        Some(ReadPoint { next_index, now })
    }

    /// Whether a majority accepts a heartbeat of this node as the leader of `term`, which it is
    /// sent now: then nobody was elected in a later term before.
    async fn still_leads(&self, term: u64) -> bool {
        let Some(membership) = self.links.membership() else {
            return false;
        };
        let own = self.links.id();
        let mut accepted = BTreeSet::from([own]);
        let quorum = |accepted: &BTreeSet<u64>| {
            let configs = membership.membership().get_joint_config();
            let mut counts = configs
                .iter()
                .map(|voters| (voters.intersection(accepted).count(), voters.len()));
            counts.all(|(count, voters)| count * 2 > voters)
        };
        let voters = membership.voter_ids().filter(|voter| *voter != own);
        let mut asked: FuturesUnordered<_> =
            voters.map(|voter| self.accepts(voter, term)).collect();
        while !quorum(&accepted) {
            match asked.next().await {
                Some(answer) => accepted.extend(answer),
                None => return false,
            }
        }
        true
    }

    /// This voter, if it accepts a heartbeat.
    async fn accepts(&self, voter: u64, term: u64) -> Option<u64> {
        let member = self.links.member(voter)?;
        let heartbeat = AppendEntriesRequest::<Types> {
            vote: Vote::new_committed(term, self.links.id()),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        let calls = self.links.calls(voter, &member, wire::CONTROL);
        let body = wire::encode(&heartbeat);
        let reply = calls.call(wire::HEARTBEAT, body, ROUND_WITHIN).await.ok()?;
        let reply: Result<AppendEntriesResponse<Types>, String> = wire::decode(&reply).ok()?;
        match reply.ok()? {
            AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_) => {
                Some(voter)
            }
            // It knows this leader as its own, whatever its log is like.
            AppendEntriesResponse::Conflict => Some(voter),
            AppendEntriesResponse::HigherVote(_) => None,
        }
    }
}
