//! A session: what makes this client one holder among others, kept alive while it is wanted.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::acquire::LockRequest;
use crate::client::Client;
use crate::countdown::Countdown;
use crate::error::{Error, LostCause};
use crate::guard::LockGuard;
use crate::many::{LocksRequest, MultiGuard};
use crate::owner::{Owner, Shared};
use crate::wire::{Closed, OpenSession, Want};

/// How a session fares.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// For how long nobody is granted a lock that it lost against its will (it expired, or was
    /// broken), for writes that are still under way to be over; at most a minute, not at all if
    /// not said.
    pub fn lock_delay(mut self, delay: Duration) -> Self {
        self.open.lock_delay_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
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
        let countdown = Countdown::new(answer.sent, promised);
        let shared = Shared::new(self.client.clone(), answer.body.session, ttl, countdown);
        shared.seen_at(answer.revision);
        let owner = Owner::keep(Arc::new(shared), answer.sent);
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
    pub(crate) owner: Arc<Owner>,
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
        self.shared().state.borrow().clone()
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

    /// Prepares to acquire a lock in whatever mode and on whatever terms; the three below are
    /// short for the commonest.
    pub fn lock(&self, name: impl Into<String>) -> LockRequest<'_> {
        LockRequest::new(self, name.into())
    }

    /// Acquires a lock exclusively, waiting in its queue for as long as the session lives.
    ///
    /// If the future is dropped, the place is given up; should the lease have been granted in that
    /// very moment, it is released in the background.
    ///
    /// # Errors
    /// [`Error::Lost`] when the session ends first; `deadlock` when the wait would never end.
    pub async fn acquire(&self, lock: &str) -> Result<LockGuard, Error> {
        self.lock(lock).acquire().await
    }

    /// Acquires a lock exclusively if it is free at this moment.
    ///
    /// # Errors
    /// `held` when it is not: [`Error::is_held`].
    pub async fn try_acquire(&self, lock: &str) -> Result<LockGuard, Error> {
        self.lock(lock).try_acquire().await
    }

    /// Acquires a lock exclusively, waiting in its queue for so long. Dropping the future is as for
    /// [`Self::acquire`].
    ///
    /// # Errors
    /// `wait_timeout` when the wait ends first: [`Error::is_held`]; [`Error::Lost`] when the
    /// session does; `deadlock` when the wait would never end.
    pub async fn acquire_for(&self, lock: &str, wait: Duration) -> Result<LockGuard, Error> {
        self.lock(lock).acquire_for(wait).await
    }

    /// Prepares to acquire several locks in one step, at most 1024.
    pub fn locks(&self, wants: impl IntoIterator<Item = Want>) -> LocksRequest<'_> {
        LocksRequest::new(self, wants.into_iter().collect())
    }

    /// Acquires several locks in one step, all or none, waiting for as long as the session lives.
    /// While it waits it holds none of them, so that two that want the same locks in different
    /// orders do not wait for each other.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub async fn acquire_all(
        &self,
        wants: impl IntoIterator<Item = Want>,
    ) -> Result<MultiGuard, Error> {
        self.locks(wants).acquire().await
    }

    /// Closes the session and releases what it holds. Guards of it and clones are lost with it.
    ///
    /// # Errors
    /// [`Error::Lost`] when it was lost or closed before; else what the close came to, and if that
    /// is unknown, the session ends at the latest with its TTL.
    pub async fn close(self) -> Result<Closed, Error> {
        let shared = self.shared().clone();
        let keeper = self.owner.keeper.lock();
        let keeper = keeper.unwrap_or_else(PoisonError::into_inner).take();
        shared.unwanted.notify_one();
        match keeper {
            Some(keeper) => match keeper.await {
                Ok(closed) => closed,
                Err(_) => Err(Error::Lost(shared.lost().await)),
            },
            None => Err(Error::Lost(shared.lost().await)),
        }
    }
}
