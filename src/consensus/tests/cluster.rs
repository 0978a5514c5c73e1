//! A cluster for a test, and the few calls that tests make of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockring_core::{
    Acquirer, Command, Grant, LockName, Mode, NewSession, NodeId, Op, Outcome, Owner, Reply,
    RequestId, SessionId, Ttl,
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::clock::{self, ClusterClock};
use crate::consensus::{Founder, MembershipError, Options, ProposeError, Replica, Timing};
use crate::network::{Identity, Limits, Memory};
use crate::storage::Poison;
use crate::storage::disk::{Disk, FaultDisk, RealDisk};
use crate::storage::snapshots::Snapshots;
use crate::storage::wal::{self, FileCare, Wal};

/// Nothing in these tests may take longer.
pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<NodeId, Replica>,
    directories: BTreeMap<NodeId, (TempDir, u64)>,
    founders: Vec<NodeId>,
    timing: Timing,
    pub(super) network: Memory,
    /// Disks of nodes that do not use the real one.
    disks: BTreeMap<NodeId, FaultDisk>,
}

fn peer(id: NodeId) -> String {
    format!("peer-{id}")
}

fn api(id: NodeId) -> String {
    format!("http://node-{id}")
}

impl Cluster {
    /// A cluster of these founders, begun.
    pub(super) async fn begin(founders: &[NodeId], timing: Timing) -> Self {
        Self::begin_on(founders, timing, BTreeMap::new()).await
    }

    async fn begin_on(
        founders: &[NodeId],
        timing: Timing,
        disks: BTreeMap<NodeId, FaultDisk>,
    ) -> Self {
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            directories: BTreeMap::new(),
            founders: founders.to_vec(),
            timing,
            network: Memory::new(),
            disks,
        };
        for id in founders {
            cluster.start(*id).await;
        }
        cluster.leader().await;
        cluster
    }

    pub(super) async fn three() -> Self {
        Self::begin(&[1, 2, 3], Timing::default()).await
    }

    /// Three nodes, one of which has this disk.
    pub(super) async fn three_with_disk(id: NodeId, disk: FaultDisk) -> Self {
        let disks = BTreeMap::from([(id, disk)]);
        Self::begin_on(&[1, 2, 3], Timing::default(), disks).await
    }

    /// Starts a node, on its directory if it has one.
    pub(super) async fn start(&mut self, id: NodeId) {
        let (directory, incarnation) = self
            .directories
            .entry(id)
            .or_insert_with(|| (TempDir::new().unwrap(), rand::random()));
        let disk: Arc<dyn Disk> = match self.disks.get(&id) {
            Some(disk) => Arc::new(disk.clone()),
            None => Arc::new(RealDisk),
        };
        let options = wal::Options {
            segment_bytes: 1 << 20,
            files: FileCare::Inline,
            ..wal::Options::default()
        };
        let snapshots = directory.path().join("snapshots");
        let snapshots = Snapshots::open(Arc::clone(&disk), &snapshots).unwrap();
        let path = directory.path().join("wal");
        let (wal, recovered) = Wal::open(disk, &path, options, Poison::new()).unwrap();
        let identity = Identity {
            cluster: "test".into(),
            fingerprint: 1,
            id,
            incarnation: *incarnation,
        };
        let founder = |id: &NodeId| Founder {
            id: *id,
            api: api(*id),
            peer: peer(*id),
        };
        let options = Options {
            identity: Arc::new(identity),
            timing: self.timing,
            founders: self.founders.iter().map(founder).collect(),
            wal,
            recovered,
            snapshots,
            history: None,
            transport: Arc::new(self.network.clone()),
            limits: Limits::default(),
            clock: ClusterClock::default(),
            listen: peer(id),
        };
        let replica = Replica::open_on_own_thread(options).await.unwrap();
        self.nodes.insert(id, replica);
    }

    pub(super) async fn stop(&mut self, id: NodeId) {
        let replica = self.nodes.remove(&id).unwrap();
        replica.shutdown().await;
    }

    /// The node's directory is lost; the next start finds an empty one.
    pub(super) fn wipe(&mut self, id: NodeId) {
        assert!(!self.nodes.contains_key(&id));
        self.directories.remove(&id);
    }

    pub(super) async fn stop_all(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            self.stop(id).await;
        }
    }

    /// Has a member bring a node in.
    pub(super) async fn join(&self, by: NodeId, id: NodeId) {
        let started = clock::instant();
        // While nobody leads, nobody can take the change; it is safe to ask again.
        while let Err(error) = self.nodes[&by].join(id, api(id), peer(id)).await {
            assert_eq!(error, MembershipError::Unready);
            assert!(started.elapsed() < SOON);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The node that leads and is ready, as all running nodes see it.
    pub(super) async fn leader(&self) -> NodeId {
        eventually("a leader that all agree on", || {
            let roles: Vec<_> = self
                .nodes
                .values()
                .map(|replica| (replica.id(), replica.role().borrow().clone()))
                .collect();
            let (leader, _) = roles.iter().find(|(_, role)| role.leads)?;
            let agreed = roles.iter().all(|(_, role)| role.leader == Some(*leader));
            agreed.then_some(*leader)
        })
        .await
    }

    pub(super) async fn follower(&self) -> NodeId {
        let leader = self.leader().await;
        *self.nodes.keys().find(|id| **id != leader).unwrap()
    }

    /// All running nodes have applied the same, and their machines agree.
    pub(super) async fn agree(&self) {
        let digest = eventually("equal digests", || {
            let mut digests = self.nodes.values().map(Replica::digest);
            let first = digests.next()?;
            digests.all(|digest| digest == first).then_some(first)
        });
        digest.await;
        for replica in self.nodes.values() {
            replica.view(|machine| machine.audit()).unwrap();
        }
    }
}

/// Looks until it sees something, for a while.
pub(super) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = timeout(SOON, looking).await;
    seen.unwrap_or_else(|_| panic!("not seen in {SOON:?}: {what}"))
}

/// A client that repeats under the same request id until it has an answer.
pub(super) async fn certain(replica: &Replica, op: Op) -> Reply {
    let request = Some(RequestId::from_bits(rand::random()));
    let command = Command { request, op };
    let started = clock::instant();
    loop {
        match replica.propose(command.clone(), SOON / 4).await {
            Ok(reply) => return reply,
            Err(ProposeError::Stopped) => panic!("the replica has stopped"),
            Err(error) => assert!(started.elapsed() < SOON, "no answer: {error}"),
        }
    }
}

pub(super) fn lock(name: &str) -> LockName {
    LockName::parse(name).unwrap()
}

pub(super) async fn open_session(replica: &Replica, ttl_ms: u64) -> SessionId {
    let session = SessionId::from_bits(rand::random());
    let new = NewSession {
        session,
        ttl: Ttl::parse(ttl_ms).unwrap(),
        owner: Owner::default(),
        lock_delay_ms: 0,
        metadata: String::new(),
    };
    match certain(replica, Op::Open(new)).await.outcome {
        Outcome::Opened { session, .. } => session,
        other => panic!("expected an open session, got {other:?}"),
    }
}

pub(super) async fn acquire(replica: &Replica, session: SessionId, name: &str) -> Outcome {
    let op = Op::Acquire {
        by: Acquirer::Session(session),
        lock: lock(name),
        mode: Mode::Exclusive,
        wait_ms: 0,
        max_hold_ms: None,
        value: String::new(),
    };
    certain(replica, op).await.outcome
}

pub(super) async fn granted(replica: &Replica, session: SessionId, name: &str) -> Grant {
    match acquire(replica, session, name).await {
        Outcome::Granted(grant) => grant,
        other => panic!("expected a grant, got {other:?}"),
    }
}
