//! What a holder does with its lease: release, value, transfer.

use lockring_core::{Command, Fence, LockName, Op, Outcome, SessionId};

use super::{Answer, Key, Service, ServiceError};

/// A lease, as its holder names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub session: SessionId,
    /// Of which lock.
    pub lock: LockName,
    /// Its number.
    pub fence: Fence,
}

impl Service {
    /// Gives a lease back.
    ///
    /// # Errors
    /// [`lockring_core::Refusal::FenceStale`] in [`ServiceError::Refused`], and the rest of
    /// [`ServiceError`].
    pub async fn release(&self, lease: Lease, key: Key) -> Result<Answer<()>, ServiceError> {
        let Lease {
            session,
            lock,
            fence,
        } = lease;
        let op = Op::Release {
            session,
            lock,
            fence,
        };
        let answer = self.commit_under(key, op).await?;
        match answer.body {
            Outcome::Released => Ok(answer.map(|_| ())),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Changes what is shown with a lease; empty for nothing.
    ///
    /// # Errors
    /// As of [`Service::release`].
    pub async fn set_value(
        &self,
        lease: Lease,
        value: String,
        key: Key,
    ) -> Result<Answer<()>, ServiceError> {
        let Lease {
            session,
            lock,
            fence,
        } = lease;
        let op = Op::SetValue {
            session,
            lock,
            fence,
            value,
        };
        let answer = self.commit_under(key, op).await?;
        match answer.body {
            Outcome::ValueSet => Ok(answer.map(|_| ())),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Gives a lease to another session; answers the fence of the new lease.
    ///
    /// # Errors
    /// As of [`Service::release`], and [`lockring_core::Refusal::SessionGone`] of the session that
    /// was to have it.
    pub async fn transfer_lease(
        &self,
        lease: Lease,
        to: SessionId,
        key: Key,
    ) -> Result<Answer<Fence>, ServiceError> {
        let Lease {
            session,
            lock,
            fence,
        } = lease;
        let op = Op::Transfer {
            session,
            lock,
            fence,
            to,
        };
        let answer = self.commit_under(key, op).await?;
        match answer.body {
            Outcome::Transferred { fence } => Ok(answer.map(|_| fence)),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Commits an operation under a client's key.
    pub(super) async fn commit_under(
        &self,
        key: Key,
        op: Op,
    ) -> Result<Answer<Outcome>, ServiceError> {
        let request = Some(key.request());
        self.commit(Command { request, op }).await
    }
}
