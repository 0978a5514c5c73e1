//! A lease in hand: its fence, how long it may be believed in, and its end.

use std::sync::Arc;
use std::time::Duration;

use lockring_core::Fence;

use crate::acquire::LockRequest;
use crate::countdown::BootTime;
use crate::error::{Error, LostCause};
use crate::lease::{Lease, Revocation};
use crate::ledger::Ending;
use crate::owner::{Owner, Shared};
use crate::session::{Session, State};
use crate::wire::{Mode, Release, SetValue, Transfer};

/// A lease of one lock. Dropping it releases the lock in the background; [`Self::release`] waits
/// for the answer.
///
/// Send [`Self::fence`] along with every write to what the lock protects, and let the receiver
/// refuse lower fences than it has seen. That is what makes the lock safe: between any look at the
/// clock and the write that follows it, the process may be paused for longer than its lease lasts.
///
/// Acquiring again what the session already holds gives a second guard for the same lease, under
/// the same fence; the lock is released with the last of them. Acquiring it in another mode gives a
/// new lease under a new fence ([`Self::upgrade`], [`Self::downgrade`]), and ends the one before.
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
    lease: Arc<Lease>,
    standing: bool,
}

impl LockGuard {
    pub(crate) const fn new(owner: Arc<Owner>, lock: String, lease: Arc<Lease>) -> Self {
        Self {
            owner,
            lock,
            lease,
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
    pub fn fence(&self) -> Fence {
        self.lease.fence
    }

    /// How it shares the lock.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.lease.mode
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
        let now = BootTime::now();
        let session = self.owner.shared.countdown.remaining(now);
        session.min(self.lease.remaining(now))
    }

    /// Whether it can be relied on at this moment. It asks nobody: it reads a clock and two
    /// numbers, which takes some tens of nanoseconds, so it may stand in the innermost loop.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How it fares.
    #[must_use]
    pub fn state(&self) -> State {
        match self.lease.cause() {
            Some(cause) => State::Lost(cause),
            None => self.owner.shared.state.borrow().clone(),
        }
    }

    /// Waits until the lease is lost, and says why. Its expiry and the end of its longest hold are
    /// told by this machine's own clock, before anybody else can be granted the lock, also when
    /// the cluster cannot be reached; what an operator does is told as soon as it is heard of.
    pub async fn lost(&self) -> LostCause {
        self.loss().await
    }

    /// The same, for a task that does not have the guard; it keeps the session alive.
    pub(crate) fn loss(&self) -> impl Future<Output = LostCause> + Send + use<> {
        let (owner, lease) = (self.owner.clone(), self.lease.clone());
        async move {
            tokio::select! {
                biased;
                cause = lease.ended() => cause,
                cause = owner.shared.lost() => cause,
            }
        }
    }

    /// Waits until somebody wants the lock back. To give it back, release it; it is taken at the
    /// deadline.
    pub async fn revoke_requested(&self) -> Revocation {
        self.lease.asked_back().await
    }

    /// Changes what the lease is seen with by others, at most 1 KiB.
    ///
    /// # Errors
    /// `fence_stale` or [`Error::Lost`] when the lease has ended.
    pub async fn set_value(&self, value: impl Into<String>) -> Result<(), Error> {
        let body = SetValue {
            session: self.owner.shared.id.clone(),
            fence: self.lease.fence.number(),
            value: value.into(),
        };
        let set = self.owner.shared.client.set_value(&self.lock, &body);
        self.while_held(set).await
    }

    /// Turns a shared lease into an exclusive one, with a new fence: waits so long for the other
    /// holders to leave, before everybody who waits in the queue. Meanwhile, and when nothing comes
    /// of it, the shared lease stays.
    ///
    /// # Errors
    /// `wait_timeout`, or `held` without a wait: [`Error::is_held`]; `deadlock` when another holder
    /// is already waiting for the same: one of the two has to release.
    pub async fn upgrade(&mut self, wait: Duration) -> Result<(), Error> {
        self.change(Mode::Exclusive, wait).await
    }

    /// Turns an exclusive lease into a shared one, at once, with a new fence.
    ///
    /// # Errors
    /// [`Error::Lost`] when the lease has ended.
    pub async fn downgrade(&mut self) -> Result<(), Error> {
        self.change(Mode::Shared, Duration::ZERO).await
    }

    async fn change(&mut self, mode: Mode, wait: Duration) -> Result<(), Error> {
        if let Some(cause) = self.lease.cause() {
            return Err(Error::Lost(cause));
        }
        let session = Session {
            owner: self.owner.clone(),
        };
        let request = LockRequest::new(&session, self.lock.clone()).mode(mode);
        // The guard of the lease before goes, and stands for nothing if there is another lease.
        *self = request.acquire_for(wait).await?;
        Ok(())
    }

    /// Gives the lease to another session, without a moment in which the lock is free. `to` is its
    /// id, or the eight digits of it that others see. Its owner gets a guard by acquiring the lock,
    /// which it already holds then.
    ///
    /// Returns the fence of the new lease. This one is lost, with all its guards.
    ///
    /// # Errors
    /// `session_gone` when there is no such session, `upgrade_conflict` when it already has to do
    /// with the lock; then this lease stays.
    pub async fn transfer(&self, to: impl Into<String>) -> Result<Fence, Error> {
        let body = Transfer {
            session: self.owner.shared.id.clone(),
            fence: self.lease.fence.number(),
            to: to.into(),
        };
        let client = &self.owner.shared.client;
        let transfer = client.transfer_lock(&self.lock, &body);
        // The news that the lease is gone may come before the answer that says where it went.
        let transferred = tokio::select! {
            biased;
            answer = transfer => answer?,
            cause = self.owner.shared.lost() => return Err(Error::Lost(cause)),
        };
        let mut ledger = self.owner.shared.ledger();
        ledger.ended(&self.lock, self.lease.fence, LostCause::Transferred);
        Ok(Fence::claimed(transferred.fence))
    }

    /// What a call about the lease comes to, unless it is lost meanwhile.
    async fn while_held<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            cause = self.lost() => Err(Error::Lost(cause)),
            answer = call => answer,
        }
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
        let ours = shared.ledger().release(&self.lock, self.lease.fence);
        if !ours {
            // Others of this session still stand for it, or it is over.
            let cause = self.lease.cause();
            return cause.map_or(Ok(()), |cause| Err(Error::Lost(cause)));
        }
        let mut releasing = Releasing {
            shared,
            lock: &self.lock,
            fence: self.lease.fence,
            settled: false,
        };
        let body = Release {
            session: shared.id.clone(),
            fence: self.lease.fence.number(),
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
        let unheard = matches!(
            released,
            Err(Error::NoAnswer { .. } | Error::Distrusted { .. })
        );
        releasing.settled = !unheard;
        released
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.standing {
            let shared = &self.owner.shared;
            shared.ledger().dropped(&self.lock, self.lease.fence);
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
