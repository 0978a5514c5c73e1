//! One node for a test, with everything but the command line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lockring::clock::ClusterClock;
use lockring::consensus::{Founder, Options, Replica, Timing};
use lockring::http::{self, Api};
use lockring::network::{Identity, Limits, Memory};
use lockring::service::{Service, Settings};
use lockring::storage::Poison;
use lockring::storage::disk::{Disk, RealDisk};
use lockring::storage::history::{self, History};
use lockring::storage::snapshots::Snapshots;
use lockring::storage::wal::{self, FileCare, Wal};
use lockring_core::{NodeId, Ttl};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::raw::{Answer, raw, request};

/// Streams that a node of these tests serves at a time.
pub(crate) const STREAMS_MAX: usize = 20;

/// A node and where it is reached.
pub(crate) struct Node {
    pub(crate) at: SocketAddr,
    pub(crate) service: Service,
    replica: Replica,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    _directory: TempDir,
}

impl Node {
    /// A node that is a cluster of its own, and leads it.
    pub(crate) async fn alone() -> Self {
        Self::with(http::Options::default(), Duration::from_secs(25)).await
    }

    /// The same with a history that keeps only so many events.
    pub(crate) async fn forgetful(events_max: u64) -> Self {
        let keeps = history::Options {
            events_max,
            lock_events_max: events_max,
            ..history::Options::default()
        };
        let window = Duration::from_secs(25);
        let network = Memory::new();
        let node = Self::keeping(keeps, 1, &[1], &network, http::Options::default(), window).await;
        node.leads().await;
        node
    }

    /// The same with other options and another poll window.
    pub(crate) async fn with(options: http::Options, poll_window: Duration) -> Self {
        let node = Self::of(1, &[1], &Memory::new(), options, poll_window).await;
        node.leads().await;
        node
    }

    /// A node of a cluster of these founders, which may not have begun.
    pub(crate) async fn of(
        id: NodeId,
        founders: &[NodeId],
        network: &Memory,
        options: http::Options,
        poll_window: Duration,
    ) -> Self {
        let keeps = history::Options::default();
        Self::keeping(keeps, id, founders, network, options, poll_window).await
    }

    async fn keeping(
        keeps: history::Options,
        id: NodeId,
        founders: &[NodeId],
        network: &Memory,
        options: http::Options,
        poll_window: Duration,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("history");
        let history = History::open(&path, keeps).unwrap();
        let history = Arc::new(history);
        let replica = replica(id, founders, network, at, &directory, &history).await;
        let settings = Settings {
            cluster: "test".into(),
            ttl_min: Ttl::parse(500).unwrap(),
            ttl_max: Ttl::parse(60_000).unwrap(),
            ttl_default: Ttl::parse(10_000).unwrap(),
            poll_window,
            history: Some(history),
            streams_max: STREAMS_MAX,
        };
        let service = Service::start(replica.clone(), settings);
        let stop = CancellationToken::new();
        let api = Api::new(service.clone(), options);
        let serving = tokio::spawn(http::serve(listener, None, api, stop.clone()));
        Self {
            at,
            service,
            replica,
            serving,
            stop,
            _directory: directory,
        }
    }

    pub(crate) async fn leads(&self) {
        let mut role = self.replica.role();
        role.wait_for(|role| role.leads).await.unwrap();
    }

    /// Stops it in order: callers first, the log last.
    pub(crate) async fn stop(self) {
        self.service.send_away();
        self.stop.cancel();
        self.serving.await.unwrap();
        self.service.stop().await;
        self.replica.shutdown().await;
    }

    /// Its peers no longer hear of it; it still answers.
    pub(crate) async fn fall_silent(&self) {
        self.replica.shutdown().await;
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        raw(self.at, &request(method, path, "", body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, body).await
    }

    /// A call under a key.
    pub(crate) async fn keyed(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let header = format!("idempotency-key: {key}\r\n");
        raw(self.at, &request(method, path, &header, body)).await
    }

    /// The id of a new session.
    pub(crate) async fn session(&self, owner: &str) -> String {
        let body = format!(r#"{{"owner":"{owner}"}}"#);
        let opened = self.post("/v1/sessions", &body).await.success(201);
        opened["session"].as_str().unwrap().to_owned()
    }

    /// A lease of a lock for a session that is opened for it: the session and the fence.
    pub(crate) async fn hold(&self, lock: &str) -> (String, u64) {
        let path = format!("/v1/locks/{lock}/acquire");
        let lease = self.post(&path, "").await.success(200);
        let session = lease["session"].as_str().unwrap().to_owned();
        (session, lease["fence"].as_u64().unwrap())
    }

    pub(crate) async fn release(&self, lock: &str, session: &str, fence: u64) -> Answer {
        let body = format!(r#"{{"session":"{session}","fence":{fence}}}"#);
        self.post(&format!("/v1/locks/{lock}/release"), &body).await
    }

    /// Looks at a lock until it is as wanted.
    pub(crate) async fn lock_until(&self, lock: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut revision = 0;
        let look = async {
            loop {
                let path = format!("/v1/locks/{lock}?min_revision={revision}");
                let answer = self.get(&path).await;
                let seen = answer.success(200);
                if wanted(&seen) {
                    return seen;
                }
                revision = answer.revision();
                tokio::task::yield_now().await;
            }
        };
        let seen = tokio::time::timeout(super::raw::SOON, look).await;
        seen.expect("the lock becomes as wanted in time")
    }
}

async fn replica(
    id: NodeId,
    founders: &[NodeId],
    network: &Memory,
    at: SocketAddr,
    directory: &TempDir,
    history: &Arc<History>,
) -> Replica {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let options = wal::Options {
        segment_bytes: 1 << 20,
        files: FileCare::Inline,
        ..wal::Options::default()
    };
    let snapshots = directory.path().join("snapshots");
    let snapshots = Snapshots::open(Arc::clone(&disk), &snapshots).unwrap();
    let path = directory.path().join("wal");
    let (wal, recovered) = Wal::open(disk, &path, options, Poison::new()).unwrap();
    let peer = |id: &NodeId| format!("peer-{id}");
    let founder = |founder: &NodeId| Founder {
        id: *founder,
        api: match *founder == id {
            true => format!("http://{at}"),
            false => format!("http://node-{founder}"),
        },
        peer: peer(founder),
    };
    let options = Options {
        identity: Arc::new(Identity {
            cluster: "test".into(),
            fingerprint: 1,
            id,
            incarnation: rand::random(),
        }),
        timing: Timing::default(),
        founders: founders.iter().map(founder).collect(),
        wal,
        recovered,
        snapshots,
        history: Some(Arc::clone(history)),
        transport: Arc::new(network.clone()),
        limits: Limits::default(),
        clock: ClusterClock::default(),
        listen: peer(&id),
    };
    Replica::open(options).await.unwrap()
}
