//! A lease in hand: its fence, how long it may be believed in, and its end.

use std::sync::Arc;
use std::time::Duration;

use lockring_core::Fence;

use crate::error::{Error, LostCause};
use crate::ledger::Ending;
use crate::session::{Owner, Shared};
use crate::wire::Release;

/// A lease of one lock. Dropping it releases the lock in the background; [`Self::release`] waits
/// for the answer.
///
/// Send [`Self::fence`] along with every write to what the lock protects, and let the receiver
/// refuse lower fences than it has seen. That is what makes the lock safe: between any look at the
/// clock and the write that follows it, the process may be paused for longer than its lease lasts.
///
/// Acquiring again what the session already holds gives a second guard for the same lease, under
/// the same fence; the lock is released with the last of them.
///
/// ```no_run
/// # async fn example(session: lockring_client::Session) -> Result<(), lockring_client::Error> {
/// let guard = session.acquire("reports/nightly").await?;
/// tokio::select! {
///     () = work(guard.fence().number()) => guard.release().await?,
///     cause = guard.lost() => eprintln!("gave up: {cause}"),
/// }
/// # Ok(())
/// # }
/// # async fn work(_fence: u64) {}
/// ```
#[derive(Debug)]
#[must_use = "dropping the guard releases the lock"]
pub struct LockGuard {
    owner: Arc<Owner>,
    lock: String,
    fence: Fence,
    standing: bool,
}

impl LockGuard {
    pub(crate) const fn new(owner: Arc<Owner>, lock: String, fence: Fence) -> Self {
        Self {
            owner,
            lock,
            fence,
            standing: true,
        }
    }

    /// The lock's name.
    #[must_use]
    pub fn lock(&self) -> &str {
        &self.lock
    }

    /// The number of this grant, higher than that of every grant before it.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// The id of the session that holds it.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.owner.shared.id
    }

    /// How long it can still be relied on unless renewed, by this machine's own clock; zero once
    /// it is lost. It asks nobody.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.owner.shared.remaining()
    }

    /// Whether it can be relied on at this moment. It asks nobody.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Waits until the lease is lost, and says why. It ends by this machine's own clock even when
    /// the cluster cannot be reached.
    pub async fn lost(&self) -> LostCause {
        self.owner.shared.lost().await
    }

    /// Releases the lock, and waits until that is on record.
    ///
    /// If the future is dropped, the release goes on in the background.
    ///
    /// # Errors
    /// `fence_stale` or [`Error::Lost`] when the lease had ended before: somebody else may have
    /// held the lock meanwhile. [`Error::NoAnswer`] when nobody answered; then the release goes on
    /// in the background for as long as the session lives.
    pub async fn release(mut self) -> Result<(), Error> {
        self.standing = false;
        let shared = &self.owner.shared;
        if !shared.ledger().release(&self.lock, self.fence) {
            return Ok(());
        }
        let mut releasing = Releasing {
            shared,
            lock: &self.lock,
            fence: self.fence,
            settled: false,
        };
        let body = Release {
            session: shared.id.clone(),
            fence: self.fence.number(),
        };
        let released = tokio::select! {
            biased;
            cause = shared.lost() => Err(Error::Lost(cause)),
            released = shared.client.release_lock(&self.lock, &body) => released,
        };
        if let Err(error) = &released
            && let Some(cause) = shared.gone(error)
        {
            shared.lose(cause);
        }
        releasing.settled = !matches!(released, Err(Error::NoAnswer { .. }));
        released
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.standing {
            let shared = &self.owner.shared;
            shared.ledger().dropped(&self.lock, self.fence);
            shared.left.notify_one();
            shared.unsure.notify_one();
        }
    }
}

/// A release under way; dropped before its answer, it is left to the keeper.
struct Releasing<'a> {
    shared: &'a Shared,
    lock: &'a str,
    fence: Fence,
    settled: bool,
}

impl Drop for Releasing<'_> {
    fn drop(&mut self) {
        if self.settled {
            self.shared.settle(self.lock, Ending::Release(self.fence));
        } else {
            self.shared.ledger().give_back(self.lock, self.fence);
            self.shared.left.notify_one();
        }
    }
}
