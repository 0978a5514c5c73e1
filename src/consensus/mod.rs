//! The replicated log: one door, [`Replica`], behind which many nodes behave as one.
//!
//! **What.** Commands go in at any node; they are ordered into one log, made durable on a majority,
//! applied by every replica's machine, and answered where they came in. Reads are answered by any
//! node, as of now. The members can change while all of that goes on.
//!
//! **How a command travels:** `propose` → `desk` (it gets a tag, and a place to wait at) →
//! `dispatch` (a batch becomes an entry here, or travels to the leader) → openraft → `journal` (our
//! write-ahead log) and `peers` (the other nodes) → `applier` (the machine) → `desk` (the answer).
//!
//! **What is certain.** An answer is seen in this node's own apply, after the commit. Without one,
//! the error says which of two things is true: surely nothing happened, or nobody knows. A command
//! with a request id is repeated under it as long as its caller has time, whatever happens to
//! leaders meanwhile.
//!
//! **What it does not do.** It does not know what the commands mean, and no clock reaches the
//! machine but through the stamps of `clock.rs`. openraft is named nowhere outside this folder.
//!
//! Reading order: `raft`, `runtime`, `desk`, `propose`, `dispatch`, `journal`, `applier`, `role`,
//! `barrier`, `wire`, `links`, `peers`, `serve`, `admission`, `founding`, `membership`, `snapshot`.

use std::sync::Arc;
use std::time::Duration;

use lockring_core::{ClusterTime, Command, Event, Machine, NodeId, Reply};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

mod raft;
mod runtime;
mod desk;
mod propose;
mod dispatch;
mod journal;
mod applier;
mod role;
mod barrier;
mod wire;
mod links;
mod peers;
mod pace;
mod serve;
mod admission;
mod founding;
mod membership;
mod snapshot;
mod snapshot_stream;
mod open;

pub use founding::{Founder, Standing};
pub use open::{OpenError, Options, Timing};
pub use raft::Member;

use dispatch::{Fate, Job};
use propose::Proposer;
use wire::Change;

use crate::clock;
use crate::watch;

/// One replica of the machine: the only door to the log. Cheap to clone.
#[derive(Clone)]
pub struct Replica {
    inner: Arc<open::Inner>,
}

/// What this node is in the cluster at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// The current term.
    pub term: u64,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Whether that is this node, and it has anchored cluster time in this term (may stamp).
    pub leads: bool,
}

/// Why a command has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing happened: no leader, or it is not ready, or the deadline passed before it was sent.
    #[error("no leader can take commands at the moment")]
    Unready { leader: Option<NodeId> },
    /// It may have happened or may yet; repeat it under the same request id.
    #[error("the outcome is not known")]
    Indeterminate,
    /// This replica has stopped (its disk failed, or it is shutting down).
    #[error("this node has stopped")]
    Stopped,
}

/// What one apply made, as told to subscribers: replies are for proposers, events for everybody.
#[derive(Clone, Debug)]
pub struct News {
    /// The revision after the apply.
    pub revision: u64,
    /// In the order of revisions.
    pub events: Vec<Event>,
    /// Whether events before this one were skipped, because the replica was brought up to date by
    /// a snapshot: look at the machine, as after a lag.
    pub gap: bool,
}

impl AsRef<[Event]> for News {
    fn as_ref(&self) -> &[Event] {
        &self.events
    }
}

/// One member of the cluster, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: NodeId,
    pub api: String,
    pub peer: String,
    pub role: MemberRole,
    /// Log index known to be on that member; known on the leader only.
    pub matched: Option<u64>,
    /// How many entries it lacks; known on the leader only.
    pub lag: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRole {
    Leader,
    Voter,
    Learner,
}

/// The cluster as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    pub leader: Option<NodeId>,
    pub term: u64,
    pub applied_index: u64,
    /// Whether a change of voters is halfway: the old ones and the new ones have to agree.
    pub changing: bool,
    pub members: Vec<MemberStatus>,
}

/// Numbers for the metrics page. Indexes are of log entries; `None` before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub term: u64,
    pub leads: bool,
    pub last_log_index: Option<u64>,
    pub committed_index: Option<u64>,
    pub applied_index: Option<u64>,
    pub snapshot_index: Option<u64>,
    pub purged_index: Option<u64>,
    pub revision: u64,
}

/// Why a change of the membership did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MembershipError {
    #[error("node {0} is not a member")]
    NotFound(NodeId),
    #[error("{0}")]
    Refused(String),
    #[error("no leader can take the change at the moment")]
    Unready,
    #[error("the change may have happened or may yet: {0}")]
    Indeterminate(String),
}

/// The pause before a read barrier is tried again.
const BARRIER_PAUSE: Duration = Duration::from_millis(5);

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replica of node {}", self.inner.id)
    }
}

fn deadline_after(within: Duration) -> Instant {
    Instant::from_std(clock::instant() + within)
}

impl Replica {
    /// Commits one command; the reply is seen in this node's own apply. On a follower it travels
    /// to the leader first. Void entries are proposed again as long as `within` allows.
    ///
    /// Dropping the future gives the command up: it surely has no effect only if nobody had taken
    /// it to the log yet.
    pub async fn propose(&self, command: Command, within: Duration) -> Result<Reply, ProposeError> {
        let proposer = Proposer {
            desk: &self.inner.applied.desk,
            role: &self.inner.role,
            breaks: &self.inner.applied.breaks,
        };
        proposer.propose(command, within).await
    }

    /// On the leader: proposes an entry without commands, so that what is due falls due.
    pub async fn tick(&self) -> Result<(), ProposeError> {
        let (reply, fate) = oneshot::channel();
        let sent = self.inner.jobs.send(Job::Tick(reply)).await;
        sent.map_err(|_| ProposeError::Stopped)?;
        match fate.await {
            Ok(Fate::Taken) => Ok(()),
            Ok(Fate::Refused) => Err(self.unready()),
            Ok(Fate::Unknown) => Err(ProposeError::Indeterminate),
            Err(_) => Err(ProposeError::Stopped),
        }
    }

    /// Waits until this replica has applied all that was committed when the call was made
    /// (ReadIndex; barriers that arrive together share one round), and tells the leader's cluster
    /// time then. After it, `view` is linearizable.
    pub async fn read_barrier(&self, within: Duration) -> Result<ClusterTime, ProposeError> {
        let deadline = deadline_after(within);
        loop {
            let point = timeout_at(deadline, self.inner.barrier.point()).await;
            if let Ok(Some(point)) = point {
                let applied = self
                    .wait_progress(deadline, |progress| progress.next_index >= point.next_index);
                return applied.await.map(|()| point.now);
            }
            if self.inner.role.has_changed().is_err() {
                return Err(ProposeError::Stopped);
            }
            let again_at = Instant::from_std(clock::instant() + BARRIER_PAUSE);
            if again_at >= deadline {
                return Err(self.unready());
            }
            sleep_until(again_at).await;
        }
    }

    /// Waits until this replica has applied this revision.
    pub async fn wait_applied(&self, revision: u64, within: Duration) -> Result<(), ProposeError> {
        let deadline = deadline_after(within);
        self.wait_progress(deadline, |progress| progress.revision >= revision)
            .await
    }

    async fn wait_progress(
        &self,
        deadline: Instant,
        reached: impl Fn(&applier::Progress) -> bool,
    ) -> Result<(), ProposeError> {
        if reached(&self.inner.applied.progress.borrow()) {
            return Ok(());
        }
        let mut progress = self.inner.applied.progress.subscribe();
        match timeout_at(deadline, progress.wait_for(|now| reached(now))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ProposeError::Stopped),
            Err(_) => Err(self.unready()),
        }
    }

    fn unready(&self) -> ProposeError {
        let leader = self.inner.role.borrow().leader;
        ProposeError::Unready { leader }
    }

    /// Looks at the machine as this replica has applied it. Keep it short: apply waits meanwhile.
    pub fn view<R>(&self, look: impl FnOnce(&Machine) -> R) -> R {
        look(&self.inner.applied.machine.read())
    }

    /// One number that all replicas at the same revision agree on, and that revision. It reads all
    /// of the machine, though not under its lock: call it from a thread that may block.
    pub fn digest(&self) -> (u64, u64) {
        let frozen = self.view(Machine::freeze);
        (frozen.revision(), frozen.digest())
    }

    /// Cluster time now, as well as this node can tell (exact on the leader, a lower bound else).
    pub fn now(&self) -> ClusterTime {
        let role = self.inner.role.borrow().clone();
        let counted = match role.leads {
            true => self.inner.applied.clock.now(role.term),
            false => None,
        };
        counted.unwrap_or_else(|| self.view(Machine::clock))
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.inner.id
    }

    /// Changes of leadership.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.inner.role.clone()
    }

    /// Where this node stands with its cluster: founding it, outside of it, or a member.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.inner.standing.clone()
    }

    /// Events of each apply from now on. A subscriber that lags is told so and looks at the
    /// machine.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<News>> {
        self.inner.applied.news.subscribe()
    }

    /// Resolves with the reason when this replica has failed and takes part no more (its disk, most
    /// likely). Whatever is in memory may be ahead of the disk then: the process must end.
    pub async fn on_fatal(&self) -> String {
        let mut stopped = self.inner.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().expect("the wait above was for a reason"),
            // Stopped by a call of `shutdown`, which is no failure.
            Err(_) => std::future::pending().await,
        }
    }

    /// The cluster as this node knows it.
    pub fn status(&self) -> ClusterStatus {
        self.inner.changes.status()
    }

    /// Numbers for the metrics page.
    pub fn figures(&self) -> Figures {
        self.inner.figures()
    }

    /// The API address of a member, if known.
    pub fn api_of(&self, id: NodeId) -> Option<String> {
        self.inner.links.member(id).map(|member| member.api)
    }

    /// Brings a node into the cluster: learner, caught up, voter. If `id` is a member whose
    /// directory was lost, the old incarnation is removed first (a replacement).
    pub async fn join(&self, id: NodeId, api: String, peer: String) -> Result<(), MembershipError> {
        let change = Change::Join { id, api, peer };
        self.inner.changes.make(change).await.map(drop)
    }

    /// Takes a node out of the cluster.
    pub async fn remove(&self, id: NodeId) -> Result<(), MembershipError> {
        self.inner
            .changes
            .make(Change::Remove { id })
            .await
            .map(drop)
    }

    /// Hands leadership over, to `to` or to the voter that is furthest; answers the new leader.
    pub async fn transfer(&self, to: Option<NodeId>) -> Result<NodeId, MembershipError> {
        self.inner.changes.make(Change::Transfer { to }).await
    }

    /// Stops: callers are sent away, peers no longer served, and the log is closed in order.
    pub async fn shutdown(&self) {
        self.inner.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
