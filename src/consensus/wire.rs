//! What nodes say to each other: kinds of calls, kinds of streams, and their bodies.
//!
//! A body is a version byte and postcard. Nodes of a cluster may run neighbouring versions during
//! an upgrade, so a body of an unknown version is refused in words, never guessed at.

use bytes::Bytes;
use lockring_core::{ClusterTime, Command, NodeId};
use serde::{Deserialize, Serialize};

use super::raft::Origin;

/// Connections for calls that keep the cluster together: votes, heartbeats.
pub(super) const CONTROL: u8 = 1;
/// Connections for calls that carry its work: proposals, read barriers, changes of membership.
pub(super) const WORK: u8 = 2;

/// Calls.
pub(super) const VOTE: u8 = 1;
pub(super) const PRE_VOTE: u8 = 2;
pub(super) const HEARTBEAT: u8 = 3;
pub(super) const TRANSFER: u8 = 4;
pub(super) const PROPOSE: u8 = 5;
pub(super) const READ_POINT: u8 = 6;
pub(super) const CHANGE: u8 = 7;

/// Streams.
pub(super) const APPEND: u8 = 1;
pub(super) const SNAPSHOT: u8 = 2;

const VERSION: u8 = 2;

/// A follower's batches for the leader's log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Runs(pub(super) Vec<(Origin, Vec<Command>)>);

/// Up to where a replica must have applied for a linearizable read, and the leader's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadPoint {
    /// The log index after the newest entry that the read must see.
    pub(super) next_index: u64,
    pub(super) now: ClusterTime,
}

/// A change of the membership or of the leader, for the leader to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    Join {
        id: NodeId,
        api: String,
        peer: String,
    },
    Remove {
        id: NodeId,
    },
    Transfer {
        to: Option<NodeId>,
    },
}

pub(super) fn encode(content: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(64);
    bytes.push(VERSION);
    let bytes = postcard::to_extend(content, bytes)
        .expect("these types serialize without fail into a growing buffer");
    bytes.into()
}

pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|error| error.to_string()),
        Some((version, _)) => Err(format!(
            "body has version {version}, this node has {VERSION}"
        )),
        None => Err("body is empty".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_another_version_is_refused_in_words() {
        let change = Change::Remove { id: 3 };
        let body = encode(&change);
        assert_eq!(decode::<Change>(&body), Ok(change));
        let mut other = body.to_vec();
        other[0] = 9;
        assert!(decode::<Change>(&other).unwrap_err().contains("version 9"));
        assert!(decode::<Change>(&[]).is_err());
    }
}
