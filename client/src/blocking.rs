//! The client for programs without a runtime: the same locks, by calls that wait.
//!
//! A session has to be renewed while its holder works, so something must run beside it. Here that
//! is one thread with a small runtime of its own, started with the [`Client`] and joined when the
//! last handle is gone. Every call hands its work to that thread and waits for the answer on a
//! channel; nothing here enters a runtime. So it may also be called from within an asynchronous
//! program without a panic, though it holds up the thread that calls it.
//!
//! What has no method of its own here goes through [`Client::wait`], which waits for any future.
//!
//! ```no_run
//! use lockring_client::blocking::Client;
//!
//! # fn example() -> Result<(), lockring_client::Error> {
//! let client = Client::new(["http://127.0.0.1:7420"])?;
//! let session = client.session(|session| session.owner("reports-3"))?;
//! let guard = session.acquire("reports/nightly")?;
//! println!("writing under fence {}", guard.fence());
//! guard.release()?;
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use lockring_core::Fence;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::wire::{Closed, Mode, Want};
use crate::{Error, LockRequest, LostCause, MultiGuard, SessionBuilder, State};

/// How long the last handle to be dropped waits for the sessions to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// The thread that works for the handles.
#[derive(Debug)]
struct Worker {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(client: crate::Client) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let name = "lockring-client".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                // It comes, or is dropped: both say that nobody is left.
                let _ = stopped.await;
                // Sessions that cannot be closed in time end with their TTL.
                let _ = tokio::time::timeout(CLOSE_WITHIN, client.settled()).await;
            });
        })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn wait<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (tell, told) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            // Whoever waits cannot be gone: it is the thread that stands below.
            let _ = tell.send(future.await);
        });
        told.recv()
            .expect("the thread works as long as there is a handle, and the future did not panic")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

/// A client of one cluster: [`crate::Client`] by calls that wait.
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
    worker: Arc<Worker>,
}

impl Client {
    /// A client with the defaults, of the servers at these addresses.
    ///
    /// # Errors
    /// As [`crate::Client::new`], and when no thread can be started.
    pub fn new<U: Into<String>>(endpoints: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        Self::of(crate::Client::new(endpoints)?)
    }

    /// A client as it was built by [`crate::Client::builder`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when no thread can be started.
    pub fn of(client: crate::Client) -> Result<Self, Error> {
        let worker = Worker::start(client.clone()).map_err(|error| Error::Invalid {
            what: "the client's thread",
            why: format!("cannot be started: {error}"),
        })?;
        Ok(Self {
            inner: client,
            worker: Arc::new(worker),
        })
    }

    /// The client whose calls do not wait, for [`Self::wait`].
    #[must_use]
    pub const fn inner(&self) -> &crate::Client {
        &self.inner
    }

    /// Waits for any future, which the client's thread runs.
    ///
    /// ```no_run
    /// # use lockring_client::{Error, blocking::Client};
    /// # fn example(client: Client) -> Result<(), Error> {
    /// let inner = client.inner().clone();
    /// let leader = client.wait(async move { inner.leader("scheduler").await })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When the future does.
    pub fn wait<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.worker.wait(future)
    }

    /// Opens a session, with what is set on the builder.
    ///
    /// # Errors
    /// As [`SessionBuilder::open`].
    pub fn session(
        &self,
        set: impl for<'a> FnOnce(SessionBuilder<'a>) -> SessionBuilder<'a> + Send + 'static,
    ) -> Result<Session, Error> {
        let client = self.inner.clone();
        let open = async move { set(client.session()).open().await };
        let inner = self.worker.wait(open)?;
        let worker = self.worker.clone();
        Ok(Session { inner, worker })
    }
}

/// A session that is kept alive: [`crate::Session`] by calls that wait.
#[derive(Clone, Debug)]
pub struct Session {
    inner: crate::Session,
    worker: Arc<Worker>,
}

impl Session {
    /// The session whose calls do not wait, for [`Client::wait`].
    #[must_use]
    pub const fn inner(&self) -> &crate::Session {
        &self.inner
    }

    /// Its id: whoever knows it can use the session.
    #[must_use]
    pub fn id(&self) -> &str {
        self.inner.id()
    }

    /// How it fares.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// Acquires a lock exclusively, waiting in its queue for as long as the session lives.
    ///
    /// # Errors
    /// As [`crate::Session::acquire`].
    pub fn acquire(&self, lock: &str) -> Result<LockGuard, Error> {
        let session = self.inner.clone();
        let lock = lock.to_owned();
        self.guard(async move { session.acquire(&lock).await })
    }

    /// Acquires a lock exclusively if it is free at this moment.
    ///
    /// # Errors
    /// As [`crate::Session::try_acquire`].
    pub fn try_acquire(&self, lock: &str) -> Result<LockGuard, Error> {
        self.acquire_with(lock, Duration::ZERO, |request| request)
    }

    /// Acquires a lock exclusively, waiting in its queue for so long.
    ///
    /// # Errors
    /// As [`crate::Session::acquire_for`].
    pub fn acquire_for(&self, lock: &str, wait: Duration) -> Result<LockGuard, Error> {
        self.acquire_with(lock, wait, |request| request)
    }

    /// Acquires a lock on the terms that are set on the request, waiting for so long.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use lockring_client::{Error, blocking::Session};
    /// # fn example(session: Session) -> Result<(), Error> {
    /// let wait = Duration::from_secs(5);
    /// let permits = session.acquire_with("licences", wait, |lock| lock.permits(2, 10))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`LockRequest::acquire_for`].
    pub fn acquire_with(
        &self,
        lock: &str,
        wait: Duration,
        set: impl for<'a> FnOnce(LockRequest<'a>) -> LockRequest<'a> + Send + 'static,
    ) -> Result<LockGuard, Error> {
        let session = self.inner.clone();
        let lock = lock.to_owned();
        self.guard(async move { set(session.lock(lock)).acquire_for(wait).await })
    }

    /// Acquires several locks in one step, waiting for so long. The guards' methods that do not
    /// wait can be called here; the others go through [`Client::wait`].
    ///
    /// # Errors
    /// As [`crate::LocksRequest::acquire_for`].
    pub fn acquire_all_for(
        &self,
        wants: impl IntoIterator<Item = Want>,
        wait: Duration,
    ) -> Result<Vec<LockGuard>, Error> {
        let session = self.inner.clone();
        let wants: Vec<Want> = wants.into_iter().collect();
        let acquire = async move { session.locks(wants).acquire_for(wait).await };
        let guards = self.worker.wait(acquire).map(MultiGuard::into_guards)?;
        let guard = |inner| LockGuard {
            inner,
            worker: self.worker.clone(),
        };
        Ok(guards.into_iter().map(guard).collect())
    }

    fn guard(
        &self,
        acquire: impl Future<Output = Result<crate::LockGuard, Error>> + Send + 'static,
    ) -> Result<LockGuard, Error> {
        let inner = self.worker.wait(acquire)?;
        let worker = self.worker.clone();
        Ok(LockGuard { inner, worker })
    }

    /// Waits until it is lost, and says why.
    #[must_use]
    pub fn lost(&self) -> LostCause {
        let session = self.inner.clone();
        self.worker.wait(async move { session.lost().await })
    }

    /// Closes the session and releases what it holds.
    ///
    /// # Errors
    /// As [`crate::Session::close`].
    pub fn close(self) -> Result<Closed, Error> {
        self.worker.wait(self.inner.close())
    }
}

/// A lease of one lock: [`crate::LockGuard`] by calls that wait. Dropping it releases the lock in
/// the background.
#[derive(Debug)]
#[must_use = "dropping the guard releases the lock"]
pub struct LockGuard {
    inner: crate::LockGuard,
    worker: Arc<Worker>,
}

impl LockGuard {
    /// The lock's name.
    #[must_use]
    pub fn lock(&self) -> &str {
        self.inner.lock()
    }

    /// The number of this grant, higher than that of every grant before it.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.inner.fence()
    }

    /// How it shares the lock.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.inner.mode()
    }

    /// How long it can still be relied on unless renewed; it asks nobody.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.inner.remaining()
    }

    /// Whether it can be relied on at this moment; it asks nobody.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.inner.is_valid()
    }

    /// Waits until the lease is lost, and says why; nothing if it is not lost within that time.
    #[must_use]
    pub fn lost_within(&self, time: Duration) -> Option<LostCause> {
        let loss = self.inner.loss();
        self.worker
            .wait(async move { tokio::time::timeout(time, loss).await.ok() })
    }

    /// Releases the lock, and waits until that is on record.
    ///
    /// # Errors
    /// As [`crate::LockGuard::release`].
    pub fn release(self) -> Result<(), Error> {
        self.worker.wait(self.inner.release())
    }
}
