//! The use cases: what a caller can ask of a node, without a word of HTTP.
//!
//! A use case takes core types, which are valid by construction, and answers with core outcomes or
//! a [`ServiceError`]. It proposes commands or looks at the machine through [`Replica`], and never
//! knows whether this node leads: a follower's proposal travels, its own apply answers.
//!
//! What lives here and not below, because it is about callers: parked waits ([`waiting`], fed by
//! [`feed`]), renewals that arrive together ([`pacemaker`]), and the undoing of what a vanished
//! caller had asked for. What lives here and not above: every bound of time, so that no caller
//! waits for ever on a cluster that has no leader.

mod acquire;
mod attempt;
mod cluster;
mod error;
mod feed;
mod history;
mod leases;
mod locks;
mod operator;
mod pacemaker;
mod rings;
mod sessions;
mod vanished;
mod waiting;
mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockring_core::{ClusterTime, Command, Counts, Machine, Outcome, RequestId, SessionId, Ttl};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chance;
use crate::consensus::{ProposeError, Replica, Standing};
use crate::storage::history::History;
use crate::watch;

pub use crate::consensus::{Figures, MemberRole, MemberStatus, Role};

pub use acquire::{Acquire, AcquireAll, Acquired, By, Granted, GrantedMany, Parked};
pub use cluster::{ClusterView, NodeView};
pub use error::ServiceError;
pub use history::{Gap, HistoryPage};
pub use leases::Lease;
pub use locks::{Checked, LockSeen, LocksPage};
pub use operator::Revoking;
pub use rings::{Foreseen, LookedUp, Moved, RingWatch};
pub use sessions::{Open, Opened, SessionSeen, SessionsPage};
pub use watching::{Noticed, Place, SessionNews, SessionWatch, Subject, Watch};

use pacemaker::Renewals;
use rings::Rings;
use waiting::Waiting;

/// How long a command may take until the caller is told that there is no answer.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);
/// How long a read may wait for the leader's word, or for the revision it asked for.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long a readiness probe may wait for the leader's word.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// What the service is told about its cluster when it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's id.
    pub cluster: String,
    /// The shortest TTL that a session may ask for in this cluster.
    pub ttl_min: Ttl,
    /// The longest.
    pub ttl_max: Ttl,
    /// The TTL of a session that does not ask.
    pub ttl_default: Ttl,
    /// How long a waiting call is parked before it is told to come back. 25 s: proxies in between
    /// commonly give up on a silent answer after 30.
    pub poll_window: Duration,
    /// What happened, as far as this node keeps it.
    pub history: Option<Arc<History>>,
    /// Streams of events that this node serves at a time.
    pub streams_max: usize,
}

/// The use cases of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    replica: Replica,
    settings: Settings,
    waiting: Waiting,
    rings: Rings,
    renewals: Renewals,
    proposals: AtomicU64,
    /// The feed, the pacemaker, and what undoes the calls of vanished callers.
    tasks: TaskTracker,
    runtime: Handle,
    stopping: CancellationToken,
    /// Streams of events that may still be begun.
    streams: Arc<Semaphore>,
}

/// An answer, with the number of the command that gave it or of the state that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// For a mutation its own number, for a read the number that its view reflects.
    pub revision: u64,
    /// Whether it is the outcome of an earlier call under the same key.
    pub replayed: bool,
    /// What was asked for.
    pub body: T,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Whether it must reflect all that was committed before it was asked.
    pub consistency: Consistency,
    /// The lowest revision that it may reflect.
    pub min_revision: Option<u64>,
}

/// See [`Freshness`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It reflects all that was committed before it was asked.
    #[default]
    Linearizable,
    /// It shows what this node has applied; it is answered without a leader too.
    Stale,
}

/// What a call is repeated under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The client chose it, and can repeat the call.
    Clients(RequestId),
    /// The client chose none, so nobody can come back for the answer.
    Absent,
}

/// How much is going on, for metrics.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// What the machine holds.
    pub counts: Counts,
    /// Where the log is.
    pub figures: Figures,
    /// Commands that this node's callers have proposed since it started.
    pub proposals: u64,
    /// Calls that are parked at this node.
    pub parked: usize,
}

impl Service {
    /// Starts the use cases over a replica, with the tasks that they need.
    ///
    /// Must be called on a runtime; [`Service::stop`] ends the tasks.
    #[must_use]
    pub fn start(replica: Replica, settings: Settings) -> Self {
        let (renewals, renewing) = pacemaker::renewals();
        let service = Self {
            inner: Arc::new(Inner {
                replica: replica.clone(),
                streams: Arc::new(Semaphore::new(settings.streams_max)),
                settings,
                waiting: Waiting::default(),
                rings: Rings::default(),
                renewals,
                proposals: AtomicU64::new(0),
                tasks: TaskTracker::new(),
                runtime: Handle::current(),
                stopping: CancellationToken::new(),
            }),
        };
        let tasks = &service.inner.tasks;
        tasks.spawn(feed::run(service.clone(), replica.subscribe()));
        tasks.spawn(rings::wake(service.clone(), replica.subscribe()));
        tasks.spawn(pacemaker::tick(
            replica.clone(),
            service.inner.stopping.clone(),
        ));
        tasks.spawn(pacemaker::renew(
            replica,
            renewing,
            service.inner.stopping.clone(),
        ));
        service
    }

    /// Sends parked callers away with their tickets, and no new one is parked: their places stay,
    /// and they take them again at another node. Call it before the listener drains.
    pub fn send_away(&self) {
        self.inner.stopping.cancel();
    }

    /// Ends the tasks and waits for them, and for what is still being undone for vanished callers.
    pub async fn stop(&self) {
        self.send_away();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// A session's TTL: what was asked for, within the bounds of this cluster.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] outside of them.
    pub fn ttl(&self, ttl_ms: Option<u64>) -> Result<Ttl, ServiceError> {
        let Settings {
            ttl_min, ttl_max, ..
        } = self.inner.settings;
        let Some(ttl_ms) = ttl_ms else {
            return Ok(self.inner.settings.ttl_default);
        };
        match Ttl::parse(ttl_ms) {
            Ok(ttl) if ttl_min <= ttl && ttl <= ttl_max => Ok(ttl),
            Ok(_) | Err(_) => Err(ServiceError::invalid(
                "ttl_ms",
                ttl_ms,
                format!("from {} to {}", ttl_min.ms(), ttl_max.ms()),
            )),
        }
    }

    /// Number of the newest command that this node has applied.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.inner.replica.view(Machine::revision)
    }

    /// Changes of what this node is.
    #[must_use]
    pub fn roles(&self) -> watch::Receiver<Role> {
        self.inner.replica.role()
    }

    /// Cluster time now, as well as this node can tell.
    #[must_use]
    pub fn now(&self) -> ClusterTime {
        self.inner.replica.now()
    }

    /// How much is going on.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        let replica = &self.inner.replica;
        Vitals {
            counts: replica.view(Machine::counts),
            figures: replica.figures(),
            proposals: self.inner.proposals.load(Ordering::Relaxed),
            parked: self.inner.waiting.parked(),
        }
    }

    /// Whether this node can answer: it has applied all that the leader had committed a moment ago.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn ready(&self) -> Result<(), ServiceError> {
        let Err(error) = self.inner.replica.read_barrier(PROBE_WITHIN).await else {
            return Ok(());
        };
        match self.inner.replica.standing().borrow().clone() {
            Standing::Member => Err(error.into()),
            Standing::Founding(why) | Standing::Outside(why) => Err(ServiceError::Unready {
                leader: None,
                why: why.into(),
            }),
        }
    }

    /// Commits one command and tells its outcome; a refusal is an error here.
    async fn commit(&self, command: Command) -> Result<Answer<Outcome>, ServiceError> {
        self.inner.proposals.fetch_add(1, Ordering::Relaxed);
        let reply = self.inner.replica.propose(command, COMMIT_WITHIN).await?;
        match reply.outcome {
            Outcome::Refused(refusal) => Err(ServiceError::Refused {
                revision: reply.revision,
                refusal,
            }),
            outcome => Ok(Answer {
                revision: reply.revision,
                replayed: reply.replayed,
                body: outcome,
            }),
        }
    }

    /// Waits until this node has applied a revision. Whoever asks for one that nobody was ever
    /// told of waits in vain, and is told so, not that the cluster has no leader.
    async fn reach(&self, revision: u64) -> Result<(), ServiceError> {
        let there = self.revision();
        if there >= revision {
            return Ok(());
        }
        let waited = self.inner.replica.wait_applied(revision, READ_WITHIN).await;
        waited.map_err(|error| match error {
            ProposeError::Unready { leader } => ServiceError::Unready {
                leader,
                why: format!("this node has applied revision {there}, not yet {revision}").into(),
            },
            ProposeError::Indeterminate | ProposeError::Stopped => error.into(),
        })
    }

    /// Looks at a machine that is as fresh as asked, and tells the cluster time of the look.
    async fn read<R>(
        &self,
        fresh: Freshness,
        look: impl FnOnce(&Machine, ClusterTime) -> R,
    ) -> Result<Answer<R>, ServiceError> {
        let replica = &self.inner.replica;
        let now = match fresh.consistency {
            Consistency::Linearizable => replica.read_barrier(READ_WITHIN).await?,
            Consistency::Stale => replica.now(),
        };
        if let Some(revision) = fresh.min_revision {
            self.reach(revision).await?;
        }
        let (revision, body) = replica.view(|machine| {
            let now = now.max(machine.clock());
            (machine.revision(), look(machine, now))
        });
        Ok(Answer {
            revision,
            replayed: false,
            body,
        })
    }
}

impl<T> Answer<T> {
    /// The same answer with another body.
    fn map<U>(self, body: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            revision: self.revision,
            replayed: self.replayed,
            body: body(self.body),
        }
    }
}

impl Key {
    /// The request id: the client's, or one drawn for this call alone.
    fn request(self) -> RequestId {
        match self {
            Self::Clients(request) => request,
            Self::Absent => RequestId::from_bits(chance::draw()),
        }
    }
}

/// A request id for a command that is harmless to repeat: under it the command is handed to the
/// next leader if the one that had it is lost.
fn repeatable() -> Option<RequestId> {
    Some(Key::Absent.request())
}

/// The id of a session that this node opens.
fn draw_session() -> SessionId {
    SessionId::from_bits(chance::draw())
}
