//! Several locks in one step: all of them or none.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use lockring_core::Fence;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::acquire::{WAIT_MAX, millis};
use crate::countdown::end_of;
use crate::error::{Error, LostCause};
use crate::guard::LockGuard;
use crate::lease::Lease;
use crate::owner::Asking;
use crate::session::Session;
use crate::wire::{AcquireAll, Certainty, ErrorCode, Mode, Want};

/// Releases of one [`MultiGuard`] that are under way at the same time.
const RELEASES_MAX: usize = 32;

impl Want {
    /// The lock for one holder.
    #[must_use]
    pub fn exclusive(lock: impl Into<String>) -> Self {
        Self {
            lock: lock.into(),
            mode: None,
        }
    }

    /// The lock together with all others that hold it shared.
    #[must_use]
    pub fn shared(lock: impl Into<String>) -> Self {
        Self {
            lock: lock.into(),
            mode: Some(Mode::Shared),
        }
    }

    /// So many of the lock's `of` permits.
    #[must_use]
    pub fn permits(lock: impl Into<String>, permits: u32, of: u32) -> Self {
        Self {
            lock: lock.into(),
            mode: Some(Mode::Permits { permits, of }),
        }
    }
}

/// Locks that are going to be asked for together.
///
/// ```no_run
/// use std::time::Duration;
/// use lockring_client::Want;
///
/// # async fn example(session: lockring_client::Session) -> Result<(), lockring_client::Error> {
/// let wants = [Want::exclusive("account/1"), Want::exclusive("account/2"), Want::shared("rates")];
/// let guards = session.locks(wants).acquire_for(Duration::from_secs(5)).await?;
/// for guard in guards.iter() {
///     println!("{} under fence {}", guard.lock(), guard.fence());
/// }
/// guards.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked for before one of `acquire`, `try_acquire` and `acquire_for`"]
pub struct LocksRequest<'a> {
    session: &'a Session,
    wants: Vec<Want>,
    max_hold: Option<Duration>,
}

impl<'a> LocksRequest<'a> {
    pub(crate) const fn new(session: &'a Session, wants: Vec<Want>) -> Self {
        Self {
            session,
            wants,
            max_hold: None,
        }
    }

    /// The leases end so long after their grant, however alive the session is.
    pub const fn max_hold(mut self, longest: Duration) -> Self {
        self.max_hold = Some(longest);
        self
    }

    /// Acquires all of them, waiting for as long as the session lives; meanwhile it holds none. If
    /// the future is dropped, its places are given up.
    ///
    /// # Errors
    /// As [`crate::LockRequest::acquire`].
    pub async fn acquire(self) -> Result<MultiGuard, Error> {
        loop {
            match self.clone().acquire_for(WAIT_MAX).await {
                Err(error) if error.code() == Some(ErrorCode::WaitTimeout) => {}
                decided => return decided,
            }
        }
    }

    /// Acquires all of them if that is possible at this moment.
    ///
    /// # Errors
    /// As [`crate::LockRequest::try_acquire`].
    pub async fn try_acquire(self) -> Result<MultiGuard, Error> {
        self.acquire_for(Duration::ZERO).await
    }

    /// Acquires all of them, waiting for so long. Dropping the future is as for [`Self::acquire`].
    ///
    /// # Errors
    /// As [`crate::LockRequest::acquire_for`].
    pub async fn acquire_for(self, wait: Duration) -> Result<MultiGuard, Error> {
        let shared = &self.session.owner.shared;
        let span = tracing::debug_span!(
            "acquire_all",
            locks = self.wants.len(),
            session = shared.digits(),
        );
        let acquire = self.ask(wait).instrument(span);
        tokio::select! {
            biased;
            cause = shared.lost() => Err(Error::Lost(cause)),
            acquired = acquire => acquired,
        }
    }

    async fn ask(&self, wait: Duration) -> Result<MultiGuard, Error> {
        let shared = &self.session.owner.shared;
        let ask = AcquireAll {
            session: shared.id.clone(),
            locks: self.wants.clone(),
            wait_ms: Some(millis(wait)),
            max_hold_ms: self.max_hold.map(millis),
        };
        let names = self.wants.iter().map(|want| &*want.lock).collect();
        let mut asking = Asking::begin(shared, names).await;
        match shared.client.acquire_all_counted(&ask).await {
            Ok(answer) => {
                let hold = answer.body.hold_ends_in_ms.map(Duration::from_millis);
                let hold_end = hold.map(|hold| end_of(answer.sent, hold));
                let guard = |lease: crate::wire::Lease| {
                    let fence = Fence::claimed(lease.fence);
                    let granted = Lease::new(fence, lease.mode, hold_end);
                    let granted = asking.granted(&lease.lock, granted);
                    LockGuard::new(self.session.owner.clone(), lease.lock, granted)
                };
                let guards = answer.body.leases.into_iter().map(guard).collect();
                tracing::debug!("granted");
                Ok(MultiGuard { guards })
            }
            Err(error) => {
                if let Some(cause) = shared.gone(&error) {
                    shared.lose(cause);
                }
                tracing::debug!(%error, "not granted");
                if error.certainty() == Certainty::NoEffect {
                    asking.refused();
                }
                Err(error)
            }
        }
    }
}

/// The leases of several locks that were granted in one step. Dropping it releases them.
#[derive(Debug)]
#[must_use = "dropping the guards releases the locks"]
pub struct MultiGuard {
    guards: Vec<LockGuard>,
}

impl MultiGuard {
    /// The single leases, in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &LockGuard> {
        self.guards.iter()
    }

    /// The lease of one of the locks.
    #[must_use]
    pub fn get(&self, lock: &str) -> Option<&LockGuard> {
        self.guards.iter().find(|guard| guard.lock() == lock)
    }

    /// How long all of them can still be relied on; zero once one is lost. It asks nobody.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let remaining = self.guards.iter().map(LockGuard::remaining);
        remaining.min().unwrap_or_default()
    }

    /// Whether all of them can be relied on at this moment. It asks nobody.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Waits until the first of them is lost, and says why.
    pub async fn lost(&self) -> LostCause {
        let mut losses: Vec<Pin<Box<dyn Future<Output = LostCause> + Send + '_>>> = Vec::new();
        for guard in &self.guards {
            losses.push(Box::pin(guard.lost()));
        }
        poll_fn(|context| {
            for loss in &mut losses {
                if let Poll::Ready(cause) = loss.as_mut().poll(context) {
                    return Poll::Ready(cause);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Releases all of them, several at a time, and waits until that is on record. If the future is
    /// dropped, the releases go on in the background.
    ///
    /// # Errors
    /// The first error there was, as [`LockGuard::release`] has them; the others are released all
    /// the same.
    pub async fn release(self) -> Result<(), Error> {
        let mut first = Ok(());
        let mut releases = JoinSet::new();
        for guard in self.guards {
            if releases.len() >= RELEASES_MAX {
                note(&mut first, releases.join_next().await);
            }
            releases.spawn(guard.release());
        }
        while let Some(released) = releases.join_next().await {
            note(&mut first, Some(released));
        }
        first
    }

    /// The single leases, each to be released alone.
    #[must_use]
    pub fn into_guards(self) -> Vec<LockGuard> {
        self.guards
    }
}

type Joined = Result<Result<(), Error>, tokio::task::JoinError>;

fn note(first: &mut Result<(), Error>, joined: Option<Joined>) {
    // A release does not panic, and nobody aborts it.
    if let Some(Ok(Err(error))) = joined
        && first.is_ok()
    {
        *first = Err(error);
    }
}
