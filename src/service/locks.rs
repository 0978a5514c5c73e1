//! Locks: acquire, release, get, list, check.

use lockring_core::{
    Acquirer, ClusterTime, Command, Fence, LockName, LockView, Mode, NewSession, Op, Outcome,
    Owner, RequestId, SessionId, Ttl,
};

use super::attempt::Attempt;
use super::{Answer, Freshness, Key, Service, ServiceError, draw_session};

/// What an acquire asks for.
#[derive(Clone, Debug)]
pub struct Acquire {
    /// The lock.
    pub lock: LockName,
    /// Who asks.
    pub by: By,
    /// How long to queue; 0 tries once.
    pub wait_ms: u64,
    /// The client's key, already a request id.
    pub key: Key,
}

/// Who asks for a lease.
#[derive(Clone, Debug)]
pub enum By {
    /// A session that is open.
    Session(SessionId),
    /// A session that is opened for this lease alone.
    OneLease {
        /// Its TTL.
        ttl: Ttl,
        /// Who asks, in their own words.
        owner: Owner,
    },
}

/// What an acquire came to, if it was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The lease is the caller's.
    Granted(Granted),
    /// The poll window ended first, and the place is kept.
    Parked(Parked),
}

/// A lease as its holder is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Whose it is.
    pub session: SessionId,
    /// Its number.
    pub fence: Fence,
    /// When its session ends unless renewed.
    pub expires_in_ms: u64,
}

/// A place as its waiter is told of it when it is sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The id of the place.
    pub ticket: u64,
    /// How many are before it.
    pub position: u32,
    /// The key to come back with, if the caller had none.
    pub key: Option<String>,
}

/// A lock as it was at a moment of cluster time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSeen {
    /// The lock; `None` if it is free.
    pub view: Option<LockView>,
    /// When.
    pub now: ClusterTime,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocksPage {
    /// In the order of names.
    pub locks: Vec<LockView>,
    /// When.
    pub now: ClusterTime,
    /// Whether there are more behind them.
    pub more: bool,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether a lease with that fence is in force.
    pub current: bool,
    /// The fence of the newest lease; `None` if the lock is free.
    pub highest_fence: Option<Fence>,
}

impl Service {
    /// Asks for a lease, and waits for it in the queue if the caller wants to.
    ///
    /// Cancel-safe: dropping it tells the cluster that the caller is gone.
    ///
    /// # Errors
    /// A [`lockring_core::Refusal`] in [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn acquire(&self, ask: Acquire) -> Result<Answer<Acquired>, ServiceError> {
        // Not the default `RequestId` of a call without key: this one can be told to the caller.
        let told_key = (matches!(ask.key, Key::Absent) && self.outlasts_window(ask.wait_ms))
            .then(|| draw_session().to_string());
        let request = match &told_key {
            Some(key) => RequestId::of_key(key).expect("hexadecimal digits are visible"),
            None => ask.key.request(),
        };
        let (session, by) = match ask.by {
            By::Session(session) => (session, Acquirer::Session(session)),
            By::OneLease { ttl, owner } => {
                let session = draw_session();
                let new = NewSession {
                    session,
                    ttl,
                    owner,
                    lock_delay_ms: 0,
                    metadata: String::new(),
                };
                (session, Acquirer::OneLease(new))
            }
        };
        let command = Command {
            request: Some(request),
            op: Op::Acquire {
                by,
                lock: ask.lock.clone(),
                mode: Mode::Exclusive,
                wait_ms: ask.wait_ms,
                max_hold_ms: None,
                value: String::new(),
            },
        };
        let attempt = Attempt::new(self, ask.lock, command, ask.key, told_key);
        if ask.wait_ms == 0 {
            attempt.try_once().await
        } else {
            attempt.wait(session).await
        }
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// [`lockring_core::Refusal::FenceStale`] in [`ServiceError::Refused`], and the rest of
    /// [`ServiceError`].
    pub async fn release(
        &self,
        session: SessionId,
        lock: LockName,
        fence: Fence,
        key: Key,
    ) -> Result<Answer<()>, ServiceError> {
        let command = Command {
            request: Some(key.request()),
            op: Op::Release {
                session,
                lock,
                fence,
            },
        };
        let answer = self.commit(command).await?;
        match answer.body {
            Outcome::Released => Ok(answer.map(|_| ())),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// One lock.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn lock(
        &self,
        lock: &LockName,
        fresh: Freshness,
    ) -> Result<Answer<LockSeen>, ServiceError> {
        self.read(fresh, |machine, now| LockSeen {
            view: machine.lock(lock),
            now,
        })
        .await
    }

    /// Locks in use whose names start with `prefix`, after `after`, at most `rows`.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn locks(
        &self,
        prefix: &str,
        after: Option<&LockName>,
        rows: usize,
        fresh: Freshness,
    ) -> Result<Answer<LocksPage>, ServiceError> {
        self.read(fresh, |machine, now| {
            let mut locks = machine.locks(prefix, after, rows + 1);
            let more = locks.len() > rows;
            locks.truncate(rows);
            LocksPage { locks, now, more }
        })
        .await
    }

    /// Whether a fence is that of a lease in force.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn check(
        &self,
        lock: &LockName,
        fence: Fence,
        fresh: Freshness,
    ) -> Result<Answer<Checked>, ServiceError> {
        self.read(fresh, |machine, _| match machine.lock(lock) {
            None => Checked {
                current: false,
                highest_fence: None,
            },
            Some(view) => Checked {
                current: view.holders.iter().any(|holder| holder.fence == fence),
                highest_fence: view.highest_fence,
            },
        })
        .await
    }

    fn outlasts_window(&self, wait_ms: u64) -> bool {
        u128::from(wait_ms) >= self.inner.settings.poll_window.as_millis()
    }
}
