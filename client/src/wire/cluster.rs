//! The cluster: its nodes and its leader.

use serde::{Deserialize, Serialize};

/// 200 to `GET /v1/cluster`, and to the calls that add and remove a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cluster {
    /// The cluster's id.
    pub cluster: String,
    /// The id of the leading node, if this node knows one.
    pub leader: Option<u64>,
    /// The term of that leadership.
    pub term: u64,
    /// The nodes in the order of their ids.
    pub nodes: Vec<Node>,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Its id.
    pub id: u64,
    /// Where it serves clients, such as `http://127.0.0.1:7420`.
    pub api: String,
    /// Where it serves its peers, such as `127.0.0.1:7421`.
    pub peer: String,
    /// What it is in the cluster.
    pub role: NodeRole,
    /// The newest log index known to be on it; only the leader knows.
    #[serde(default)]
    pub matched: Option<u64>,
    /// How many log entries it lacks; only the leader knows.
    #[serde(default)]
    pub lag: Option<u64>,
    /// The version of lockring that it runs, if known.
    #[serde(default)]
    pub version: Option<String>,
}

/// What a node is in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NodeRole {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It follows the log without a vote.
    Learner,
}

/// Body of `POST /v1/cluster/nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AddNode {
    /// Its id; that of a member whose directory was lost replaces it.
    pub id: u64,
    /// Where it serves clients.
    pub api: String,
    /// Where it serves its peers.
    pub peer: String,
}

/// Body of `POST /v1/cluster/transfer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransferLeader {
    /// To which node; the voter that is furthest if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// 200 to `GET /v1/cluster/digest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Digest {
    /// One number for all that the asked node has applied at the revision of the answer, in
    /// hexadecimal digits. Two nodes that tell another one at one revision have parted.
    pub digest: String,
}

/// 200 to `POST /v1/cluster/transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaderIs {
    /// The id of the node that leads now.
    pub leader: u64,
}
