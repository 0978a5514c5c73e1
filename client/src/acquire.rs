//! Asking for one lock: in which mode, on which terms, for how long.

use std::time::Duration;

use lockring_core::Fence;
use tracing::Instrument;

use crate::calls::lock_name;
use crate::countdown::end_of;
use crate::error::Error;
use crate::guard::LockGuard;
use crate::lease::Lease;
use crate::owner::Asking;
use crate::session::Session;
use crate::wire::{Acquire, Certainty, ErrorCode, Mode};

/// The longest wait that one call may ask for; a longer one is several calls.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(lockring_core::limits::WAIT_MS_MAX);

/// A lock that is going to be asked for: exclusively, unless another mode is said.
///
/// ```no_run
/// use std::time::Duration;
///
/// # async fn example(session: lockring_client::Session) -> Result<(), lockring_client::Error> {
/// // One of many readers.
/// let reading = session.lock("catalogue").shared().acquire().await?;
/// // Two of the ten licences, for five minutes at most.
/// let licences = session
///     .lock("licences")
///     .permits(2, 10)
///     .max_hold(Duration::from_secs(300))
///     .acquire_for(Duration::from_secs(10))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked for before one of `acquire`, `try_acquire` and `acquire_for`"]
pub struct LockRequest<'a> {
    session: &'a Session,
    lock: String,
    mode: Mode,
    value: Option<String>,
    max_hold: Option<Duration>,
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> LockRequest<'a> {
    pub(crate) const fn new(session: &'a Session, lock: String) -> Self {
        Self {
            session,
            lock,
            mode: Mode::Exclusive,
            value: None,
            max_hold: None,
        }
    }

    /// Together with all others that hold it shared.
    pub const fn shared(self) -> Self {
        self.mode(Mode::Shared)
    }

    /// So many of the lock's `of` permits. All that use the lock at a time must agree on `of`.
    pub const fn permits(self, permits: u32, of: u32) -> Self {
        self.mode(Mode::Permits { permits, of })
    }

    /// In this mode.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What the lease is to be seen with by others, at most 1 KiB.
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// The lease ends so long after its grant, however alive the session is.
    pub const fn max_hold(mut self, longest: Duration) -> Self {
        self.max_hold = Some(longest);
        self
    }

    /// Acquires it, waiting in its queue for as long as the session lives.
    ///
    /// If the future is dropped, the place is given up; should the lease have been granted in that
    /// very moment, it is released in the background.
    ///
    /// # Errors
    /// [`Error::Lost`] when the session ends first; `deadlock` when the wait would never end;
    /// `limit_mismatch` when others use the lock with another `of`; `upgrade_conflict` when this
    /// session holds it in a mode that cannot be turned into this one.
    pub async fn acquire(self) -> Result<LockGuard, Error> {
        loop {
            match self.clone().acquire_for(WAIT_MAX).await {
                Err(error) if error.code() == Some(ErrorCode::WaitTimeout) => {}
                decided => return decided,
            }
        }
    }

    /// Acquires it if that is possible at this moment.
    ///
    /// # Errors
    /// `held` when it is not: [`Error::is_held`]; `delayed` when its last holder was lost and the
    /// delay after that is not over; else as [`Self::acquire`].
    pub async fn try_acquire(self) -> Result<LockGuard, Error> {
        self.acquire_for(Duration::ZERO).await
    }

    /// Acquires it, waiting in its queue for so long. Dropping the future is as for
    /// [`Self::acquire`].
    ///
    /// # Errors
    /// `wait_timeout` when the wait ends first: [`Error::is_held`]; else as [`Self::acquire`].
    pub async fn acquire_for(self, wait: Duration) -> Result<LockGuard, Error> {
        lock_name(&self.lock)?;
        let span = tracing::debug_span!(
            "acquire",
            lock = %self.lock,
            mode = %self.mode,
            session = self.session.owner.shared.digits(),
            fence = tracing::field::Empty,
        );
        let shared = &self.session.owner.shared;
        let acquire = self.ask(wait).instrument(span);
        tokio::select! {
            biased;
            cause = shared.lost() => Err(Error::Lost(cause)),
            acquired = acquire => acquired,
        }
    }

    async fn ask(&self, wait: Duration) -> Result<LockGuard, Error> {
        let shared = &self.session.owner.shared;
        let ask = Acquire {
            session: Some(shared.id.clone()),
            mode: (self.mode != Mode::Exclusive).then_some(self.mode),
            wait_ms: Some(millis(wait)),
            max_hold_ms: self.max_hold.map(millis),
            value: self.value.clone(),
            ..Acquire::default()
        };
        let mut asking = Asking::begin(shared, vec![&*self.lock]).await;
        match shared.client.acquire_counted(&self.lock, &ask).await {
            Ok(answer) => {
                let fence = Fence::claimed(answer.body.fence);
                let hold = answer.body.hold_ends_in_ms.map(Duration::from_millis);
                let hold_end = hold.map(|hold| end_of(answer.sent, hold));
                let lease = Lease::new(fence, self.mode, hold_end);
                let lease = asking.granted(&self.lock, lease);
                tracing::Span::current().record("fence", fence.number());
                tracing::debug!("granted");
                let owner = self.session.owner.clone();
                Ok(LockGuard::new(owner, self.lock.clone(), lease))
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
