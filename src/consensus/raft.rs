//! What openraft is told about this system: the types of the log, and how fast it beats.

use std::fmt;
use std::sync::Arc;

use lockring_core::{Entry, NodeId};
use openraft::impls::leader_id_std;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Timing;

openraft::declare_raft_types!(
    /// The log holds [`Proposal`]s; replies take their own way (see `desk.rs`), so there is no `R`.
    pub(super) Types:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = super::runtime::Drawn,
);

pub(super) type LogId = openraft::alias::LogIdOf<Types>;
pub(super) type Vote = openraft::alias::VoteOf<Types>;
pub(super) type LogEntry = openraft::alias::EntryOf<Types>;
pub(super) type Membership = openraft::alias::StoredMembershipOf<Types>;
pub(super) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;

/// A node as the membership records it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where its HTTP interface is, as a URL.
    pub api: String,
    /// Where its peers reach it.
    pub peer: String,
    /// The random number of its data directory: a node that answers with another one has lost
    /// its disk, and with it its vote.
    pub incarnation: u64,
}

/// A run of commands in an entry that one node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The node that waits.
    pub(super) node: NodeId,
    /// Which life of it: a node that restarted does not wait for what it asked before.
    pub(super) boot: u64,
    /// The tag of the first command; the others follow it one by one.
    pub(super) first: u64,
    /// How many commands.
    pub(super) count: u32,
}

/// The payload of one log entry. Cheap to clone: the log, the streams to the peers and the
/// applier share it, and it is encoded once, when it is made.
#[derive(Clone)]
pub(super) struct Proposal(Arc<Body>);

struct Body {
    entry: Entry,
    origins: Vec<Origin>,
    bytes: Vec<u8>,
}

impl Proposal {
    /// An entry, and who waits for which of its commands, in the order of the commands.
    pub(super) fn new(entry: Entry, origins: Vec<Origin>) -> Self {
        let bytes = postcard::to_allocvec(&(&entry, &origins))
            .expect("these types serialize without fail into a growing buffer");
        Self(Arc::new(Body {
            entry,
            origins,
            bytes,
        }))
    }

    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (entry, origins) = postcard::from_bytes(bytes)?;
        let bytes = bytes.to_vec();
        Ok(Self(Arc::new(Body {
            entry,
            origins,
            bytes,
        })))
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.0.entry
    }

    pub(super) fn origins(&self) -> &[Origin] {
        &self.0.origins
    }

    /// How much of the log it takes, near enough.
    pub(super) fn size(&self) -> usize {
        self.0.bytes.len()
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.entry().commands.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0.bytes)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&'de [u8]>::deserialize(from)?;
        Self::decode(bytes).map_err(serde::de::Error::custom)
    }
}

/// The configuration of openraft for this timing.
///
/// A follower of openraft campaigns when the leader's lease (`election_timeout_max`) *and* its
/// own timeout (between the two bounds) have passed in silence. The bounds are halved here, so
/// that the silence after which this system's followers campaign is what `Timing` says.
pub(super) fn config(timing: &Timing) -> Result<openraft::Config, String> {
    let lease = (timing.election_ms_max / 2).max(timing.heartbeat_ms + 2);
    let shortest = (timing.election_ms_min / 2)
        .max(timing.heartbeat_ms + 1)
        .min(lease - 1);
    openraft::Config {
        cluster_name: "lockring".into(),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: shortest,
        election_timeout_max: lease,
        // A deposed leader that hears nobody must fall silent, or its heartbeats could keep the
        // one node that still hears it from ever voting for another.
        quorum_loss_probe_interval: Some(lease * 4),
        enable_pre_vote: Some(true),
        // A restarted leader has an empty machine until the log is applied again: it must ask.
        enable_leader_restore: Some(false),
        max_payload_entries: 256,
        snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(timing.snapshot_entries),
        max_in_snapshot_log_to_keep: timing.kept_entries,
        purge_batch_size: 64,
        replication_lag_threshold: timing.snapshot_entries.max(timing.kept_entries),
        install_snapshot_timeout: timing.snapshot_transfer_ms,
        backoff: "20ms 40ms 80ms ...200ms".into(),
        broadcast_submitted_on_append: Some(true),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use lockring_core::{Command, Op, SessionId, Stamp};

    use super::*;

    #[test]
    fn a_proposal_survives_the_log() {
        let command = Command {
            request: None,
            op: Op::Close {
                session: SessionId::from_bits(7),
            },
        };
        let entry = Entry {
            stamp: Stamp::default(),
            commands: vec![command],
        };
        let origin = Origin {
            node: 2,
            boot: 3,
            first: 4,
            count: 1,
        };
        let proposal = Proposal::new(entry, vec![origin]);
        let bytes = postcard::to_allocvec(&proposal).unwrap();
        let back: Proposal = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(back, proposal);
        assert_eq!(back.entry(), proposal.entry());
        assert_eq!(back.origins(), proposal.origins());
    }

    #[test]
    fn the_default_timing_leaves_room_for_an_election_within_a_second() {
        let config = config(&Timing::default()).unwrap();
        let silence = config.election_timeout_max * 2;
        assert!(silence <= 600, "{silence}");
    }
}
