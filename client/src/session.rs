//! A session: what makes this client one holder among others, kept alive while it is wanted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lockring_core::Fence;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::calls::lock_name;
use crate::client::Client;
use crate::countdown::{BootTime, Countdown};
use crate::error::{Error, LostCause};
use crate::guard::LockGuard;
use crate::keeper;
use crate::ledger::{Ending, Ledger};
use crate::wire::{Acquire, Certainty, Closed, ErrorCode, GoneCause, OpenSession};

/// How a session fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The last renewal was answered.
    Healthy,
    /// Renewals are not being answered; unless one is by then, the session is lost.
    AtRisk(Instant),
    /// It is lost, with every lease; it stays so.
    Lost(LostCause),
}

/// What a session is opened with.
///
/// ```no_run
/// use std::time::Duration;
///
/// # async fn example(client: lockring_client::Client) -> Result<(), lockring_client::Error> {
/// let session = client.session().ttl(Duration::from_secs(5)).owner("billing-7").open().await?;
/// let guard = session.acquire("invoices/2026-11").await?;
/// println!("writing under fence {}", guard.fence());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct SessionBuilder<'a> {
    client: &'a Client,
    open: OpenSession,
}

impl Client {
    /// Prepares a session that will be kept alive.
    pub fn session(&self) -> SessionBuilder<'_> {
        SessionBuilder {
            client: self,
            open: OpenSession::default(),
        }
    }
}

impl SessionBuilder<'_> {
    /// How long it lives without renewal: 500 ms to an hour, 10 s if not said. It is also how long
    /// others wait for a lock after its holder's machine has died.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.open.ttl_ms = Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Who opens it, for others to read.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.open.owner = Some(owner.into());
        self
    }

    /// What it shall be listed with, at most 1 KiB.
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.open.metadata = Some(metadata.into());
        self
    }

    /// Opens it, and spawns the task that keeps it alive on the current tokio runtime.
    ///
    /// # Errors
    /// [`Error`]; `invalid` for a TTL out of bounds.
    pub async fn open(self) -> Result<Session, Error> {
        let answer = self.client.open_counted(&self.open).await?;
        let ttl = Duration::from_millis(answer.body.ttl_ms);
        let promised = Duration::from_millis(answer.body.expires_in_ms);
        let shared = Arc::new(Shared {
            client: self.client.clone(),
            id: answer.body.session,
            ttl,
            countdown: Countdown::new(answer.sent, promised),
            state: watch::Sender::new(State::Healthy),
            unwanted: Notify::new(),
            ledger: Mutex::new(Ledger::default()),
            left: Notify::new(),
            unsure: Notify::new(),
            settled: watch::Sender::new(()),
        });
        let keeper = tokio::spawn(keeper::keep(shared.clone(), answer.sent));
        let owner = Owner {
            shared,
            keeper: Mutex::new(Some(keeper)),
        };
        Ok(Session {
            owner: Arc::new(owner),
        })
    }
}

/// A session that is kept alive as long as it, a clone of it or a guard of it exists, and closed
/// when the last of them is dropped.
///
/// The *session* holds locks, not the task that asked: two tasks with one session do not exclude
/// each other, they hold together. Open a session for each party that must.
#[derive(Clone, Debug)]
pub struct Session {
    owner: Arc<Owner>,
}

/// What the session's handles and its keeper share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) ttl: Duration,
    pub(crate) countdown: Countdown,
    pub(crate) state: watch::Sender<State>,
    /// The last handle is gone, or the session is to be closed.
    pub(crate) unwanted: Notify,
    ledger: Mutex<Ledger>,
    /// The ledger has a release that nobody has taken up.
    pub(crate) left: Notify,
    /// The ledger has a look that nobody has taken up.
    pub(crate) unsure: Notify,
    /// A release was settled, so that the lock may be asked for again.
    settled: watch::Sender<()>,
}

/// The one thing that all handles hold: when it goes, nobody wants the session any more.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<Result<Closed, Error>>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.unwanted.notify_one();
    }
}

impl Shared {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No panic can leave the ledger half-changed: its methods do not call out.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_look(&self) -> Option<(String, u64)> {
        self.ledger().take_look()
    }

    pub(crate) fn settle(&self, lock: &str, ending: Ending) {
        self.ledger().settle(lock, ending);
        self.settled.send_replace(());
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.countdown.remaining(BootTime::now())
    }

    /// The session is lost; the first cause stays.
    pub(crate) fn lose(&self, cause: LostCause) {
        self.countdown.finish();
        self.state.send_if_modified(|state| {
            let first = !matches!(state, State::Lost(_));
            if first {
                *state = State::Lost(cause);
            }
            first
        });
    }

    /// Tells a state other than lost; nothing once it is lost.
    pub(crate) fn tell(&self, new: State) {
        self.state.send_if_modified(|state| {
            let changes = !matches!(state, State::Lost(_)) && *state != new;
            if changes {
                *state = new;
            }
            changes
        });
    }

    pub(crate) async fn lost(&self) -> LostCause {
        let mut states = self.state.subscribe();
        let state = states
            .wait_for(|state| matches!(state, State::Lost(_)))
            .await;
        match state.as_deref() {
            Ok(State::Lost(cause)) => *cause,
            Ok(State::Healthy | State::AtRisk(_)) | Err(_) => {
                unreachable!("it waited for that, and the sender is in self")
            }
        }
    }

    /// Why the session is gone, if that is what the error says.
    pub(crate) fn gone(&self, error: &Error) -> Option<LostCause> {
        let problem = error.problem()?;
        let gone = problem.code == ErrorCode::SessionGone;
        gone.then(|| LostCause::Gone(problem.cause.unwrap_or(GoneCause::NeverExisted)))
    }
}

/// A call under way that may bring a lease; dropped without an answer, it leaves somebody to look.
struct Asking<'a> {
    shared: &'a Shared,
    lock: &'a str,
    answered: bool,
}

impl Asking<'_> {
    async fn begin<'a>(shared: &'a Shared, lock: &'a str) -> Asking<'a> {
        let mut settled = shared.settled.subscribe();
        loop {
            settled.mark_unchanged();
            if shared.ledger().ask(lock) {
                return Asking {
                    shared,
                    lock,
                    answered: false,
                };
            }
            settled.changed().await.expect("the sender is in shared");
        }
    }

    fn granted(mut self, fence: Fence) {
        self.answered = true;
        self.shared.ledger().granted(self.lock, fence);
    }

    fn refused(mut self) {
        self.answered = true;
        self.shared.ledger().refused(self.lock);
        self.shared.unsure.notify_one();
        self.shared.left.notify_one();
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.ledger().unanswered(self.lock);
            self.shared.unsure.notify_one();
            self.shared.left.notify_one();
        }
    }
}

impl Session {
    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// Its id: whoever knows it can use the session.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared().id
    }

    /// Its TTL.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.shared().ttl
    }

    /// How it fares.
    #[must_use]
    pub fn state(&self) -> State {
        *self.shared().state.borrow()
    }

    /// News of how it fares.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.shared().state.subscribe()
    }

    /// How long it can still be relied on, by this machine's own clock.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.shared().remaining()
    }

    /// Waits until it is lost, and says why.
    pub async fn lost(&self) -> LostCause {
        self.shared().lost().await
    }

    /// Acquires a lock, waiting in its queue for as long as the session lives.
    ///
    /// If the future is dropped, the place is given up; should the lease have been granted in that
    /// very moment, it is released in the background.
    ///
    /// # Errors
    /// [`Error::Lost`] when the session ends first.
    pub async fn acquire(&self, lock: &str) -> Result<LockGuard, Error> {
        let longest = Duration::from_millis(lockring_core::limits::WAIT_MS_MAX);
        loop {
            match self.acquire_for(lock, longest).await {
                Err(error) if error.code() == Some(ErrorCode::WaitTimeout) => {}
                decided => return decided,
            }
        }
    }

    /// Acquires a lock if it is free at this moment.
    ///
    /// # Errors
    /// `held` when it is not: [`Error::is_held`].
    pub async fn try_acquire(&self, lock: &str) -> Result<LockGuard, Error> {
        self.acquire_for(lock, Duration::ZERO).await
    }

    /// Acquires a lock, waiting in its queue for so long. Dropping the future is as for
    /// [`Self::acquire`].
    ///
    /// # Errors
    /// `wait_timeout` when the wait ends first: [`Error::is_held`]; [`Error::Lost`] when the
    /// session does.
    pub async fn acquire_for(&self, lock: &str, wait: Duration) -> Result<LockGuard, Error> {
        lock_name(lock)?;
        let shared = self.shared();
        let ask = Acquire {
            session: Some(shared.id.clone()),
            wait_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            ..Acquire::default()
        };
        let acquire = async {
            let asking = Asking::begin(shared, lock).await;
            match shared.client.acquire_lock(lock, &ask).await {
                Ok(granted) => {
                    let fence = Fence::claimed(granted.fence);
                    asking.granted(fence);
                    Ok(LockGuard::new(self.owner.clone(), lock.to_owned(), fence))
                }
                Err(error) => {
                    if let Some(cause) = shared.gone(&error) {
                        shared.lose(cause);
                    }
                    if error.certainty() == Certainty::NoEffect {
                        asking.refused();
                    }
                    Err(error)
                }
            }
        };
        tokio::select! {
            biased;
            cause = shared.lost() => Err(Error::Lost(cause)),
            acquired = acquire => acquired,
        }
    }

    /// Closes the session and releases what it holds. Guards of it and clones are lost with it.
    ///
    /// # Errors
    /// [`Error::Lost`] when it was lost or closed before; else what the close came to, and if that
    /// is unknown, the session ends at the latest with its TTL.
    pub async fn close(self) -> Result<Closed, Error> {
        let shared = self.shared().clone();
        let mut keeper = self
            .owner
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        shared.unwanted.notify_one();
        match &mut keeper {
            Some(keeper) => match keeper.await {
                Ok(closed) => closed,
                Err(_) => Err(Error::Lost(shared.lost().await)),
            },
            None => Err(Error::Lost(shared.lost().await)),
        }
    }
}
