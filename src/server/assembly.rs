//! The floors of one node, put together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lockring_core::Ttl;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::clock::ClusterClock;
use crate::config::{self, ClusterConfig, Config, NodeConfig, Permission, TlsFiles};
use crate::consensus::{self, Founder, OpenError, Replica, Role, Timing};
use crate::http::{self, Api};
use crate::network::tls::{self, TlsError};
use crate::network::{self, Detour, Tcp, Tls, Transport};
use crate::service::{Service, Settings};
use crate::storage::disk::RealDisk;
use crate::storage::history::{self, History};
use crate::storage::snapshots::{SnapshotError, Snapshots};
use crate::storage::wal::{self, Wal, WalError};
use crate::storage::{
    DirectoryLock, Fault, HISTORY_DIR, Identity, IdentityError, LockError, Poison, SNAPSHOTS_DIR,
    WAL_DIR,
};
use crate::watch;

/// How long a waiting call is parked: proxies in between commonly give up after 30 s.
const POLL_WINDOW: Duration = Duration::from_secs(25);
/// Streams of events that a node serves at a time. One that is read costs a wake-up an apply.
const STREAMS_MAX: usize = 4096;
/// How long the hand-over of leadership may take before the node goes without.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(2);

/// Why a node cannot start; the log's one line about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("cannot listen for clients at {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Directory(#[from] LockError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    #[error("no thread for the event history: {0}")]
    History(#[source] io::Error),
    #[error(transparent)]
    Replica(#[from] OpenError),
}

/// A node that runs.
pub(super) struct Node {
    replica: Replica,
    service: Service,
    history: Arc<History>,
    poison: watch::Receiver<Option<Arc<Fault>>>,
    /// The accept loop, and how to end it.
    http: AbortOnDropHandle<()>,
    http_stop: CancellationToken,
    _chronicle: AbortOnDropHandle<()>,
    /// Last, so that the directory is given up when nothing uses it any more.
    _directory: DirectoryLock,
}

impl Node {
    /// Assembles the floors bottom to top. Addresses are bound and files are opened here, so what
    /// is wrong with them is found before anybody is served.
    pub(super) async fn start(config: Config) -> Result<Self, StartError> {
        let Config { cluster, node } = config;
        let listener = listen(node.api_listen).await?;
        let tls = node.tls.as_ref().map(tls_files);
        let acceptor = tls.as_ref().map(tls::for_clients).transpose()?;
        let transport: Arc<dyn Transport> = match &tls {
            None => Arc::new(Tcp),
            Some(files) => Arc::new(Tls::load(files)?),
        };
        let transport: Arc<dyn Transport> = match node.dial.is_empty() {
            true => transport,
            false => Arc::new(Detour::new(transport, node.dial.clone())),
        };

        let directory = DirectoryLock::acquire(&node.data_dir)?;
        let identity = Identity::open(
            &RealDisk,
            &node.data_dir,
            &cluster.id,
            node.id,
            rand::random(),
        )?;
        let poison = Poison::new();
        let (wal, recovered) = open_wal(&node, poison.clone()).await?;
        let snapshots = node.data_dir.join(SNAPSHOTS_DIR);
        let snapshots = Snapshots::open(Arc::new(RealDisk), &snapshots)?;
        let history = History::open(&node.data_dir.join(HISTORY_DIR), kept(&node.history));
        let history = Arc::new(history.map_err(StartError::History)?);

        let replica = open_replica(consensus::Options {
            identity: Arc::new(introduction(&cluster, &identity)),
            timing: timing(&cluster, &node),
            founders: founders(&cluster),
            wal,
            recovered,
            snapshots,
            history: Some(Arc::clone(&history)),
            transport,
            limits: network::Limits::default(),
            clock: ClusterClock::default(),
            listen: node.peer_listen.to_string(),
        })
        .await?;
        let service = Service::start(replica.clone(), settings(&cluster, &history));
        let chronicle = AbortOnDropHandle::new(tokio::spawn(tell_leaders(replica.role())));

        let api = Api::new(service.clone(), http_options(&node));
        let http_stop = CancellationToken::new();
        let served = http::serve(listener, acceptor, api, http_stop.clone());
        tell_serving(&node, identity.incarnation);
        Ok(Self {
            replica,
            service,
            history,
            poison: poison.watch(),
            http: AbortOnDropHandle::new(tokio::spawn(served)),
            http_stop,
            _chronicle: chronicle,
            _directory: directory,
        })
    }

    /// Ends when the node cannot go on, and says why.
    pub(super) async fn failed(&self) -> String {
        let mut poison = self.poison.clone();
        let disk = async move {
            match poison.wait_for(Option::is_some).await {
                Ok(fault) => fault.as_ref().map(ToString::to_string).unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            // When both are true, the disk is the cause and the replica's word the consequence.
            biased;
            why = disk => why,
            why = self.replica.on_fatal() => why,
        }
    }

    /// Takes the floors down, top to bottom.
    pub(super) async fn stop(self) {
        // Whoever waits here waits on at another node, and keeps its place.
        self.service.send_away();
        self.hand_over().await;
        self.http_stop.cancel();
        if let Err(error) = self.http.await {
            warn!(%error, "the accept loop did not end in order");
        }
        self.service.stop().await;
        self.replica.shutdown().await;
        let history = self.history;
        if let Err(error) = spawn_blocking(move || history.close()).await {
            warn!(%error, "the event history did not end in order");
        }
    }

    /// A leader that goes without a word costs its cluster an election timeout.
    async fn hand_over(&self) {
        if self.replica.role().borrow().leader != Some(self.replica.id()) {
            return;
        }
        match timeout(HAND_OVER_WITHIN, self.replica.transfer(None)).await {
            Ok(Ok(to)) => info!("node {to} leads now"),
            Ok(Err(error)) => info!(%error, "leadership is not handed over"),
            Err(_) => info!("leadership is not handed over in time"),
        }
    }
}

/// How this node introduces itself to its peers.
fn introduction(cluster: &ClusterConfig, identity: &Identity) -> network::Identity {
    network::Identity {
        cluster: cluster.id.clone(),
        fingerprint: cluster.fingerprint(),
        id: identity.node,
        incarnation: identity.incarnation,
    }
}

fn tell_serving(node: &NodeConfig, incarnation: u64) {
    info!(
        node = node.id,
        api = %node.api_listen,
        peer = %node.peer_listen,
        data_dir = %node.data_dir.display(),
        incarnation = format!("{incarnation:016x}"),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
}

/// Beside other threads that serve, consensus has one of its own, on which no caller is in an
/// entry's way. Where one thread does everything, a second would only mean more hand-overs.
async fn open_replica(options: consensus::Options) -> Result<Replica, OpenError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Replica::open(options).await,
        _ => Replica::open_on_own_thread(options).await,
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

fn tls_files(files: &TlsFiles) -> network::TlsFiles {
    network::TlsFiles {
        authority: files.authority.clone(),
        certificate: files.certificate.clone(),
        key: files.key.clone(),
    }
}

/// Reading a long log takes a while, and is not for the threads that serve.
async fn open_wal(node: &NodeConfig, poison: Poison) -> Result<(Wal, wal::Recovered), StartError> {
    let dir = node.data_dir.join(WAL_DIR);
    let open = move || Wal::open(Arc::new(RealDisk), &dir, wal::Options::default(), poison);
    let opened = spawn_blocking(open).await;
    Ok(opened.expect("opening neither panics nor is it aborted")?)
}

fn timing(cluster: &ClusterConfig, node: &NodeConfig) -> Timing {
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    Timing {
        heartbeat_ms: ms(cluster.heartbeat),
        election_ms_min: ms(cluster.election_min),
        election_ms_max: ms(cluster.election_max),
        snapshot_entries: node.snapshots.every_entries,
        kept_entries: node.snapshots.keep_entries,
        ..Timing::default()
    }
}

fn founders(cluster: &ClusterConfig) -> Vec<Founder> {
    let founder = |member: &crate::config::Member| Founder {
        id: member.id,
        api: member.api.clone(),
        peer: member.peer.clone(),
    };
    cluster.members.iter().map(founder).collect()
}

fn kept(history: &config::History) -> history::Options {
    history::Options {
        events_max: history.events_max,
        lock_events_max: history.lock_events_max,
        age_ms_max: history.hours_max * 3_600_000,
        ..history::Options::default()
    }
}

fn settings(cluster: &ClusterConfig, history: &Arc<History>) -> Settings {
    let ttl = |ms| Ttl::parse(ms).expect("the configuration is within the machine's bounds");
    Settings {
        cluster: cluster.id.clone(),
        ttl_min: ttl(cluster.ttl_ms_min),
        ttl_max: ttl(cluster.ttl_ms_max),
        ttl_default: ttl(cluster.ttl_ms_default),
        poll_window: POLL_WINDOW,
        history: Some(Arc::clone(history)),
        streams_max: STREAMS_MAX,
    }
}

fn http_options(node: &NodeConfig) -> http::Options {
    let limits = http::Limits {
        connections_max: node.limits.connections_max,
        connections_per_address_max: node.limits.connections_per_address_max,
        head: Duration::from_millis(node.limits.header_read_ms_max),
        ..http::Limits::default()
    };
    http::Options {
        limits,
        tokens: tokens(node),
        ..http::Options::default()
    }
}

fn tokens(node: &NodeConfig) -> http::Tokens {
    let permission = |permission: &Permission| match permission {
        Permission::Read => http::Permission::Read,
        Permission::Lock => http::Permission::Lock,
        Permission::Operate => http::Permission::Operate,
    };
    let token = |token: &crate::config::Token| http::Token {
        sha256: token.sha256,
        permissions: token.permissions.iter().map(permission).collect(),
    };
    http::Tokens::new(node.tokens.iter().map(token).collect())
}

/// Tells the log who leads, whenever that changes.
async fn tell_leaders(mut role: watch::Receiver<Role>) {
    let mut told = (0, None);
    loop {
        let now = {
            let role = role.borrow_and_update();
            (role.term, role.leader)
        };
        if now != told {
            told = now;
            match now {
                (term, Some(leader)) => info!(term, "node {leader} leads"),
                (term, None) => info!(term, "nobody leads"),
            }
        }
        if role.changed().await.is_err() {
            return;
        }
    }
}
