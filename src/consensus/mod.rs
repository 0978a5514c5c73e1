//! (skeleton: signatures that the floors above build on; the consensus builder replaces the bodies)

use std::sync::Arc;
use std::time::Duration;

use lockring_core::{ClusterTime, Command, Event, Machine, NodeId, Reply};
use tokio::sync::{broadcast, watch};

/// One replica of the machine: the only door to the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replica {}

/// What this node is in the cluster at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub members: Vec<MemberStatus>,
}

/// Why a change of the membership did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

impl Replica {
    /// Commits one command; the reply is seen in this node's own apply. On a follower it travels
    /// to the leader first. Void entries are proposed again as long as `within` allows.
    pub async fn propose(
        &self,
        _command: Command,
        _within: Duration,
    ) -> Result<Reply, ProposeError> {
        unimplemented!()
    }

    /// On the leader: proposes an entry without commands, so that what is due falls due.
    pub async fn tick(&self) -> Result<(), ProposeError> {
        unimplemented!()
    }

    /// Waits until this replica has applied all that was committed when the call was made
    /// (ReadIndex; barriers that arrive together share one round), and tells the leader's cluster
    /// time then. After it, `view` is linearizable.
    pub async fn read_barrier(&self, _within: Duration) -> Result<ClusterTime, ProposeError> {
        unimplemented!()
    }

    /// Waits until this replica has applied this revision.
    pub async fn wait_applied(
        &self,
        _revision: u64,
        _within: Duration,
    ) -> Result<(), ProposeError> {
        unimplemented!()
    }

    /// Looks at the machine as this replica has applied it. Keep it short: apply waits meanwhile.
    pub fn view<R>(&self, _look: impl FnOnce(&Machine) -> R) -> R {
        unimplemented!()
    }

    /// Cluster time now, as well as this node can tell (exact on the leader, a lower bound else).
    pub fn now(&self) -> ClusterTime {
        unimplemented!()
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        unimplemented!()
    }

    /// Changes of leadership.
    pub fn role(&self) -> watch::Receiver<Role> {
        unimplemented!()
    }

    /// Events of each apply from now on. A subscriber that lags is told so and looks at the machine.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<News>> {
        unimplemented!()
    }

    pub fn status(&self) -> ClusterStatus {
        unimplemented!()
    }

    /// The API address of a member, if known.
    pub fn api_of(&self, _id: NodeId) -> Option<String> {
        unimplemented!()
    }

    /// Brings a node into the cluster: learner, caught up, voter. If `id` is a member whose
    /// directory was lost, the old incarnation is removed first (a replacement).
    pub async fn join(
        &self,
        _id: NodeId,
        _api: String,
        _peer: String,
    ) -> Result<(), MembershipError> {
        unimplemented!()
    }

    /// Takes a node out of the cluster.
    pub async fn remove(&self, _id: NodeId) -> Result<(), MembershipError> {
        unimplemented!()
    }

    /// Hands leadership over, to `to` or to the voter that is furthest; answers the new leader.
    pub async fn transfer(&self, _to: Option<NodeId>) -> Result<NodeId, MembershipError> {
        unimplemented!()
    }
}
