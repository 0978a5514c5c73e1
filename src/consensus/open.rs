//! A replica's parts, put together and taken apart.

use std::io;
use std::sync::Arc;

use lockring_core::{Machine, NodeId};
use openraft::LogIdOptionExt;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::applier::{Applied, Applier, Progress, Raft};
use super::barrier::{Barrier, Rounds};
use super::desk::Desk;
use super::dispatch::{Breaks, Dispatcher, Job};
use super::founding::{Founder, Founding, Standing};
use super::journal::Journal;
use super::links::Links;
use super::membership::Changes;
use super::peers::Peers;
use super::role::RoleKeeper;
use super::serve::{Doorman, Service};
use super::snapshot::SnapshotStore;
use super::{Figures, Replica, Role, raft};
use crate::chance;
use crate::clock::ClusterClock;
use crate::network::{Dialer, Identity, Limits, Listener, Transport};
use crate::storage::history::History;
use crate::storage::offload::offload;
use crate::storage::snapshots::Snapshots;
use crate::storage::wal::{Recovered, Wal};
use crate::watch;

/// How fast the cluster beats, and how much log it keeps. Equal on all nodes but for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often the leader is heard when there is nothing to say.
    pub heartbeat_ms: u64,
    /// The silence after which a follower campaigns is drawn between about three quarters of
    /// these and all of it.
    pub election_ms_min: u64,
    /// See `election_ms_min`.
    pub election_ms_max: u64,
    /// A snapshot is taken when so many entries, or `snapshot_bytes`, are not covered by one.
    pub snapshot_entries: u64,
    /// See `snapshot_entries`.
    pub snapshot_bytes: u64,
    /// Entries that are kept behind a snapshot, for members that lag a little.
    pub kept_entries: u64,
    /// How long one snapshot may take to be sent and installed.
    pub snapshot_transfer_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ms: 100,
            election_ms_min: 300,
            election_ms_max: 600,
            snapshot_entries: 50_000,
            snapshot_bytes: 128 << 20,
            kept_entries: 5_000,
            snapshot_transfer_ms: 120_000,
        }
    }
}

/// What a replica is built from.
#[derive(Debug)]
pub struct Options {
    /// Who this node is: its id, and the incarnation of its directory.
    pub identity: Arc<Identity>,
    pub timing: Timing,
    /// The initial members, this node among them if it is one.
    pub founders: Vec<Founder>,
    /// The log, and what was in it.
    pub wal: Wal,
    pub recovered: Recovered,
    pub snapshots: Snapshots,
    /// Told of every event from the newest snapshot on, those made again after a restart too.
    pub history: Option<Arc<History>>,
    pub transport: Arc<dyn Transport>,
    pub limits: Limits,
    /// How this node counts cluster time when it leads.
    pub clock: ClusterClock,
    /// Where peers are listened for.
    pub listen: String,
}

/// Why a replica cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the timing does not fit together: {0}")]
    Timing(String),
    #[error("what the data directory holds cannot be read: {0}")]
    Storage(#[source] io::Error),
    #[error("no thread to run on: {0}")]
    Thread(#[source] io::Error),
    #[error("the log cannot be taken up again: {0}")]
    Raft(String),
    #[error("cannot listen for peers on {address}: {source}")]
    Listen { address: String, source: io::Error },
}

/// News that a subscriber may be behind before it is told that it lags.
const NEWS_KEPT: usize = 4096;

/// Jobs of peers that wait for the dispatcher.
const JOBS_MAX: usize = 1024;

pub(super) struct Inner {
    pub(super) id: NodeId,
    pub(super) applied: Arc<Applied>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) stopped: watch::Receiver<Option<String>>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) barrier: Arc<Barrier>,
    pub(super) changes: Changes,
    pub(super) links: Arc<Links>,
    raft: Raft,
    wal: Wal,
    running: Mutex<Option<Running>>,
    thread: Mutex<Option<OwnThread>>,
}

/// What a shutdown ends.
struct Running {
    listener: Listener,
    founding: AbortOnDropHandle<()>,
    finishing: AbortOnDropHandle<()>,
    rounds: AbortOnDropHandle<()>,
    covering: AbortOnDropHandle<()>,
    role: AbortOnDropHandle<()>,
    dispatcher: AbortOnDropHandle<()>,
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// A thread with a runtime that only a replica uses.
///
/// An entry passes through half a dozen tasks on its way to being committed. In a runtime that
/// also serves clients, each of them queues behind the very callers that the entry before it has
/// woken: with hundreds of callers that is most of an entry's time.
#[derive(Debug)]
struct OwnThread(Option<Runtime>);

impl OwnThread {
    fn start() -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("consensus");
        Ok(Self(Some(runtime.enable_all().build()?)))
    }

    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let runtime = self.0.as_ref();
        runtime.expect("it is taken only by the drop").spawn(task)
    }
}

impl Drop for OwnThread {
    /// Does not wait, for the last handle of a replica may be dropped by a task.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Replica {
    /// As [`Replica::open`], on a thread of the replica's own.
    pub async fn open_on_own_thread(options: Options) -> Result<Self, OpenError> {
        let thread = OwnThread::start().map_err(OpenError::Thread)?;
        let opened = thread.spawn(Self::open(options)).await;
        let replica = opened.map_err(|error| OpenError::Thread(io::Error::other(error)))??;
        *replica.inner.thread.lock() = Some(thread);
        Ok(replica)
    }

    /// Takes up the log where it ended, and begins to serve peers, in the runtime in which it is
    /// called.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let id = options.identity.id;
        let config = raft::config(&options.timing).map_err(OpenError::Timing)?;
        let journal = Journal::open(options.wal.clone(), &options.recovered);
        let journal = journal.map_err(OpenError::Storage)?;
        let applied = Arc::new(shared(id, options.clock.clone()));
        let files = options.snapshots.clone();
        let snapshots = offload(move || SnapshotStore::open(files)).await;
        let snapshots = snapshots.and_then(|opened| opened);
        let snapshots = Arc::new(snapshots.map_err(OpenError::Storage)?);
        let identity = Arc::clone(&options.identity);
        let dialer = Dialer::new(Arc::clone(&options.transport), identity, options.limits);
        let links = Links::new(id, dialer);
        let applier = Applier::new(
            Arc::clone(&applied),
            Arc::clone(&snapshots),
            options.history.clone(),
        );
        let peers = Peers {
            links: Arc::clone(&links),
            log_end: journal.end(),
        };
        let raft = Raft::new(id, Arc::new(config), peers, journal, applier).await;
        let raft = raft.map_err(|error| OpenError::Raft(error.to_string()))?;
        // Once openraft answers, it has published what it read from the disk.
        let known = raft.is_initialized().await;
        known.map_err(|error| OpenError::Raft(error.to_string()))?;
        links.set_raft(raft.clone());
        assemble(options, raft, applied, links, snapshots).await
    }
}

pub(super) fn shared(id: NodeId, clock: ClusterClock) -> Applied {
    Applied {
        machine: RwLock::new(Machine::new()),
        progress: watch::Sender::new(Progress::default()),
        news: broadcast::Sender::new(NEWS_KEPT),
        anchored: watch::Sender::new(0),
        clock: Arc::new(clock),
        desk: Desk::new(id, chance::draw()),
        breaks: Arc::new(Breaks::default()),
        uncovered: watch::Sender::new(0),
        broken: watch::Sender::new(false),
    }
}

/// What the tasks of a replica share.
struct Parts {
    id: NodeId,
    raft: Raft,
    applied: Arc<Applied>,
    links: Arc<Links>,
    role: watch::Receiver<Role>,
    jobs: mpsc::Sender<Job>,
    barrier: Arc<Barrier>,
    changes: Changes,
}

impl Parts {
    fn service(&self, snapshots: Arc<SnapshotStore>) -> Service {
        Service {
            raft: self.raft.clone(),
            links: Arc::clone(&self.links),
            role: self.role.clone(),
            jobs: self.jobs.clone(),
            barrier: Arc::clone(&self.barrier),
            changes: self.changes.clone(),
            snapshots,
        }
    }

    fn dispatcher(&self, jobs: mpsc::Receiver<Job>) -> Dispatcher {
        Dispatcher {
            desk: Arc::clone(&self.applied.desk),
            jobs,
            role: self.role.clone(),
            clock: Arc::clone(&self.applied.clock),
            raft: self.raft.clone(),
            links: Arc::clone(&self.links),
            breaks: Arc::clone(&self.applied.breaks),
            stamped: None,
        }
    }

    fn rounds(&self) -> Rounds {
        Rounds {
            barrier: Arc::clone(&self.barrier),
            role: self.role.clone(),
            raft: self.raft.clone(),
            clock: Arc::clone(&self.applied.clock),
            links: Arc::clone(&self.links),
        }
    }

    fn role_keeper(
        &self,
        role: watch::Sender<Role>,
        stopped: watch::Sender<Option<String>>,
    ) -> RoleKeeper {
        RoleKeeper {
            id: self.id,
            raft: self.raft.clone(),
            anchored: self.applied.anchored.subscribe(),
            broken: self.applied.broken.subscribe(),
            role,
            stopped,
            desk: Arc::clone(&self.applied.desk),
            links: Arc::clone(&self.links),
        }
    }

    fn founding(
        &self,
        incarnation: u64,
        founders: Vec<Founder>,
        standing: watch::Sender<Standing>,
    ) -> Founding {
        Founding {
            id: self.id,
            incarnation,
            founders,
            raft: self.raft.clone(),
            links: Arc::clone(&self.links),
            standing,
        }
    }
}

async fn assemble(
    options: Options,
    raft: Raft,
    applied: Arc<Applied>,
    links: Arc<Links>,
    snapshots: Arc<SnapshotStore>,
) -> Result<Replica, OpenError> {
    let (role_sender, role) = watch::channel(Role::default());
    let (stopped_sender, stopped) = watch::channel(None);
    let (standing_sender, standing) = watch::channel(Standing::Founding("starting".into()));
    let (jobs, job_queue) = mpsc::channel(JOBS_MAX);
    let changes = Changes {
        raft: raft.clone(),
        links: Arc::clone(&links),
        role: role.clone(),
        turn: Arc::new(Semaphore::new(1)),
    };
    let parts = Parts {
        id: options.identity.id,
        raft,
        applied,
        links,
        role,
        jobs,
        barrier: Arc::new(Barrier::default()),
        changes,
    };
    let listener = listen(&options, &parts, snapshots).await?;
    let uncovered = parts.applied.uncovered.subscribe();
    let covering = cover(parts.raft.clone(), uncovered, options.timing);
    let incarnation = options.identity.incarnation;
    let founding = parts.founding(incarnation, options.founders, standing_sender);
    let running = Running {
        listener,
        founding: spawn(founding.run()),
        finishing: spawn(parts.changes.clone().finish()),
        rounds: spawn(parts.rounds().run()),
        covering: spawn(covering),
        role: spawn(parts.role_keeper(role_sender, stopped_sender).run()),
        dispatcher: spawn(parts.dispatcher(job_queue).run()),
    };
    Ok(Replica {
        inner: Arc::new(Inner {
            id: parts.id,
            applied: parts.applied,
            role: parts.role,
            standing,
            stopped,
            jobs: parts.jobs,
            barrier: parts.barrier,
            changes: parts.changes,
            links: parts.links,
            raft: parts.raft,
            wal: options.wal,
            running: Mutex::new(Some(running)),
            thread: Mutex::new(None),
        }),
    })
}

async fn listen(
    options: &Options,
    parts: &Parts,
    snapshots: Arc<SnapshotStore>,
) -> Result<Listener, OpenError> {
    let doorman = Doorman {
        links: Arc::clone(&parts.links),
    };
    let listener = Listener::start(
        &*options.transport,
        &options.listen,
        Arc::clone(&options.identity),
        Arc::new(doorman),
        Arc::new(parts.service(snapshots)),
        options.limits,
    );
    listener.await.map_err(|source| OpenError::Listen {
        address: options.listen.clone(),
        source,
    })
}

/// Asks for a snapshot whenever enough of the log is not covered by one.
async fn cover(raft: Raft, mut uncovered: watch::Receiver<u64>, timing: Timing) {
    loop {
        let enough = |bytes: &u64| *bytes >= timing.snapshot_bytes;
        if uncovered.wait_for(enough).await.is_err() {
            return;
        }
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        if uncovered.wait_for(|bytes| !enough(bytes)).await.is_err() {
            return;
        }
    }
}

impl Inner {
    pub(super) fn figures(&self) -> Figures {
        let role = self.role.borrow().clone();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Figures {
            term: role.term,
            leads: role.leads,
            last_log_index: metrics.last_log_index,
            committed_index: metrics.local_committed.index(),
            applied_index: metrics.last_applied.index(),
            snapshot_index: metrics.snapshot.index(),
            purged_index: metrics.purged.index(),
            revision: self.applied.progress.borrow().revision,
        }
    }

    pub(super) async fn shutdown(&self) {
        let Some(running) = self.running.lock().take() else {
            return;
        };
        drop(running.founding);
        drop(running.finishing);
        drop(running.covering);
        drop(running.rounds);
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "openraft did not end in order");
        }
        // The keeper ends with openraft, sends all callers away, and with it ends the dispatcher.
        for task in [running.role, running.dispatcher] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the replica did not end in order");
            }
        }
        running.listener.shutdown().await;
        let wal = self.wal.clone();
        if let Err(error) = offload(move || wal.close()).await {
            tracing::error!(%error, "the log did not close in order");
        }
        drop(self.thread.lock().take());
    }
}
