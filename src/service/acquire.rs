//! Taking locks: one, or many at once.

use lockring_core::{
    Acquirer, Command, Fence, LeaseRow, LockName, Mode, NewSession, Op, Owner, RequestId,
    SessionId, Ttl, Wants,
};

use super::attempt::{Attempt, Goal};
use super::{Answer, Key, Service, ServiceError, draw_session};

/// What an acquire asks for.
#[derive(Clone, Debug)]
pub struct Acquire {
    /// The lock.
    pub lock: LockName,
    /// Who asks.
    pub by: By,
    /// How to share it.
    pub mode: Mode,
    /// How long to queue; 0 tries once.
    pub wait_ms: u64,
    /// How long the lease may last.
    pub max_hold_ms: Option<u64>,
    /// What to show with the lease; empty for nothing.
    pub value: String,
    /// The client's key, already a request id.
    pub key: Key,
}

/// What an acquire of many locks asks for.
#[derive(Clone, Debug)]
pub struct AcquireAll {
    /// Who asks.
    pub session: SessionId,
    /// The locks.
    pub wants: Wants,
    /// How long to queue; 0 tries once.
    pub wait_ms: u64,
    /// How long the leases may last.
    pub max_hold_ms: Option<u64>,
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
    /// All leases are the caller's.
    GrantedAll(GrantedMany),
    /// The poll window ended first, and the place is kept.
    Parked(Parked),
}

/// A lease as its holder is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Whose it is.
    pub session: SessionId,
    /// How it shares the lock.
    pub mode: Mode,
    /// Its number.
    pub fence: Fence,
    /// When its session ends unless renewed.
    pub expires_in_ms: u64,
    /// When it ends however alive its session is.
    pub hold_ends_in_ms: Option<u64>,
}

/// Many leases as their holder is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedMany {
    /// Whose they are.
    pub session: SessionId,
    /// In the order of the names.
    pub leases: Vec<LeaseRow>,
    /// When their session ends unless renewed.
    pub expires_in_ms: u64,
    /// When they end however alive their session is.
    pub hold_ends_in_ms: Option<u64>,
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

impl Service {
    /// Asks for a lease, and waits for it in the queue if the caller wants to.
    ///
    /// Cancel-safe: dropping it tells the cluster that the caller is gone.
    ///
    /// # Errors
    /// A [`lockring_core::Refusal`] in [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn acquire(&self, ask: Acquire) -> Result<Answer<Acquired>, ServiceError> {
        let (request, told_key) = self.request_of(ask.key, ask.wait_ms);
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
                mode: ask.mode,
                wait_ms: ask.wait_ms,
                max_hold_ms: ask.max_hold_ms,
                value: ask.value,
            },
        };
        let goal = Goal::One(ask.lock, ask.mode);
        let attempt = Attempt::new(self, goal, command, ask.key, told_key);
        match ask.wait_ms {
            0 => attempt.try_once().await,
            _ => attempt.wait(session).await,
        }
    }

    /// Asks for many leases at once, and waits for all of them if the caller wants to.
    ///
    /// Cancel-safe, as [`Service::acquire`] is.
    ///
    /// # Errors
    /// As of [`Service::acquire`].
    pub async fn acquire_all(&self, ask: AcquireAll) -> Result<Answer<Acquired>, ServiceError> {
        let (request, told_key) = self.request_of(ask.key, ask.wait_ms);
        let command = Command {
            request: Some(request),
            op: Op::AcquireAll {
                session: ask.session,
                wants: ask.wants.clone(),
                wait_ms: ask.wait_ms,
                max_hold_ms: ask.max_hold_ms,
            },
        };
        let goal = Goal::All(ask.wants);
        let attempt = Attempt::new(self, goal, command, ask.key, told_key);
        match ask.wait_ms {
            0 => attempt.try_once().await,
            _ => attempt.wait(ask.session).await,
        }
    }

    /// What an acquire is repeated under, and the key to tell a caller that has none and may have
    /// to come back.
    fn request_of(&self, key: Key, wait_ms: u64) -> (RequestId, Option<String>) {
        if matches!(key, Key::Clients(_)) || !self.outlasts_window(wait_ms) {
            return (key.request(), None);
        }
        // Not the request id that is drawn for a call without key: this one can be told.
        let told = draw_session().to_string();
        let request = RequestId::of_key(&told).expect("hexadecimal digits are visible");
        (request, Some(told))
    }

    fn outlasts_window(&self, wait_ms: u64) -> bool {
        u128::from(wait_ms) >= self.inner.settings.poll_window.as_millis()
    }
}
