//! The cluster: its nodes and its leader.

use lockring_core::NodeId;
use tokio::task::spawn_blocking;

use super::{Answer, Service, ServiceError};
use crate::consensus::MemberStatus;

/// The cluster as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Its id.
    pub cluster: String,
    /// Who leads, if known.
    pub leader: Option<NodeId>,
    /// The term of that leadership.
    pub term: u64,
    /// In the order of ids.
    pub nodes: Vec<NodeView>,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Where it is and what.
    pub status: MemberStatus,
    /// The version that it runs; a node knows only its own.
    pub version: Option<&'static str>,
}

impl Service {
    /// The cluster as this node knows it, with or without a leader.
    #[must_use]
    pub fn cluster(&self) -> Answer<ClusterView> {
        let replica = &self.inner.replica;
        let status = replica.status();
        let own = |id| (id == replica.id()).then_some(env!("CARGO_PKG_VERSION"));
        let mut nodes = status.members;
        nodes.sort_by_key(|member| member.id);
        let nodes = nodes
            .into_iter()
            .map(|status| NodeView {
                version: own(status.id),
                status,
            })
            .collect();
        Answer {
            revision: self.revision(),
            replayed: false,
            body: ClusterView {
                cluster: self.inner.settings.cluster.clone(),
                leader: status.leader,
                term: status.term,
                nodes,
            },
        }
    }

    /// One number for all that this node has applied, which all nodes at that revision share.
    pub async fn digest(&self) -> Answer<u64> {
        let replica = self.inner.replica.clone();
        let read = spawn_blocking(move || replica.digest()).await;
        let (revision, body) = read.expect("a frozen machine is read without panics");
        Answer {
            revision,
            replayed: false,
            body,
        }
    }

    /// Brings a node in, or back in the place of a member whose directory was lost.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn join(
        &self,
        id: NodeId,
        api: String,
        peer: String,
    ) -> Result<Answer<ClusterView>, ServiceError> {
        self.inner.replica.join(id, api, peer).await?;
        Ok(self.cluster())
    }

    /// Takes a node out.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] if it is not a member, and the rest of [`ServiceError`].
    pub async fn remove(&self, id: NodeId) -> Result<Answer<ClusterView>, ServiceError> {
        self.inner.replica.remove(id).await?;
        Ok(self.cluster())
    }

    /// Hands leadership over; answers who leads now.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn transfer(&self, to: Option<NodeId>) -> Result<Answer<NodeId>, ServiceError> {
        let leader = self.inner.replica.transfer(to).await?;
        Ok(Answer {
            revision: self.revision(),
            replayed: false,
            body: leader,
        })
    }

    /// The API address of the leader, if both are known.
    #[must_use]
    pub fn api_of(&self, node: NodeId) -> Option<String> {
        self.inner.replica.api_of(node)
    }
}
