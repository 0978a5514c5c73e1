//! Calls about the cluster.

use super::{About, CHANGES_THE_CLUSTER, plain};

pub(super) fn get_cluster() -> About {
    plain(
        "cluster",
        "Get the cluster",
        "Its nodes and its leader, as the asked node knows them, also when nobody leads.",
    )
    .ok("Cluster", "The cluster.")
}

pub(super) fn add_node() -> About {
    plain(
        "cluster",
        "Add or replace a node",
        "The node must be running and empty. It learns the log first and votes once it has caught \
         up. The id of a member whose directory was lost replaces that member.",
    )
    .has("AddNode")
    .ok("Cluster", "The cluster with the node.")
    .problems(CHANGES_THE_CLUSTER)
}

pub(super) fn remove_node() -> About {
    plain(
        "cluster",
        "Remove a node",
        "It no longer votes, and is no longer sent the log.",
    )
    .ok("Cluster", "The cluster without the node.")
    .problems(CHANGES_THE_CLUSTER)
}

pub(super) fn transfer_leader() -> About {
    plain(
        "cluster",
        "Hand leadership over",
        "To the node `to`, or to the voter that is furthest.",
    )
    .may_have("TransferLeader")
    .ok("LeaderIs", "Who leads now.")
    .problems(CHANGES_THE_CLUSTER)
}

pub(super) fn get_digest() -> About {
    plain(
        "cluster",
        "Get the digest of a node's state",
        "One number for all that the asked node has applied, at the revision of the answer, \
         without asking the others. All nodes tell the same at the same revision; it reads the \
         whole state, so it is for checks and not for every second.",
    )
    .ok("Digest", "The digest.")
}
