//! What an operator does to others' leases and sessions: revoke, break, end.
//!
//! The reason is recorded with each.

use lockring_core::{LockName, Op, Outcome, Reason, SessionId};

use super::sessions::{first_of, first_with, last_with};
use super::{Answer, Consistency, Freshness, Key, Service, ServiceError};

const NEWEST: Freshness = Freshness {
    consistency: Consistency::Linearizable,
    min_revision: None,
};

/// What a revocation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoking {
    /// When those leases end that are left.
    pub deadline_in_ms: u64,
    /// How many there were.
    pub leases: u32,
}

impl Service {
    /// Asks the holders of a lock to give it up; what they still hold after `deadline_ms` ends.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn revoke(
        &self,
        lock: LockName,
        reason: Reason,
        deadline_ms: u64,
        key: Key,
    ) -> Result<Answer<Revoking>, ServiceError> {
        let op = Op::Revoke {
            lock,
            reason,
            deadline_ms,
        };
        let answer = self.commit_under(key, op).await?;
        match answer.body {
            Outcome::Revoking { deadline, leases } => {
                let deadline_in_ms = deadline.ms_since(self.inner.replica.now());
                Ok(answer.map(|_| Revoking {
                    deadline_in_ms,
                    leases,
                }))
            }
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Ends all leases of a lock; answers how many there were.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn break_leases(
        &self,
        lock: LockName,
        reason: Reason,
        key: Key,
    ) -> Result<Answer<u32>, ServiceError> {
        let op = Op::Break { lock, reason };
        let answer = self.commit_under(key, op).await?;
        match answer.body {
            Outcome::Broken { leases } => Ok(answer.map(|_| leases)),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Ends the one session whose id begins with these 32 bits; answers what it held.
    ///
    /// A session that has ended is named by them for as long as it is remembered: whoever lost the
    /// answer asks again under the same key, and everybody else is told why it ended.
    ///
    /// # Errors
    /// As of [`Service::session_with`], [`lockring_core::Refusal::SessionGone`] in
    /// [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn end_session(
        &self,
        first: u32,
        reason: Reason,
        key: Key,
    ) -> Result<Answer<Vec<(LockName, u64)>>, ServiceError> {
        let session = match self.session_with("id", first).await {
            Err(ServiceError::NotFound { what }) => {
                let ended = self.ended_with(first).await?;
                ended.ok_or(ServiceError::NotFound { what })?
            }
            found => found?,
        };
        let op = Op::EndSession { session, reason };
        let answer = self.commit_under(key, op).await?;
        Self::closed(answer)
    }

    /// The one live session whose id begins with these 32 bits.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] if there is none, [`ServiceError::Invalid`] of this field if
    /// there are several, and the rest of [`ServiceError`].
    pub async fn session_with(
        &self,
        field: &'static str,
        first: u32,
    ) -> Result<SessionId, ServiceError> {
        let before = first.checked_sub(1).map(last_with);
        let found = self
            .read(NEWEST, |machine, _| machine.sessions(None, before, 2))
            .await?;
        let mut with = found.body.into_iter().map(|view| view.session);
        let mut with = with.by_ref().filter(|id| first_of(*id) == first);
        match (with.next(), with.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(ServiceError::NotFound {
                what: format!("live session that begins with {first:08x}"),
            }),
            (Some(_), Some(_)) => Err(ServiceError::invalid(
                field,
                format_args!("{first:08x}"),
                "the first digits of one live session only",
            )),
        }
    }

    /// The last session to end whose id begins with these 32 bits.
    async fn ended_with(&self, first: u32) -> Result<Option<SessionId>, ServiceError> {
        let (from, to) = (first_with(first), last_with(first));
        let found = self
            .read(NEWEST, |machine, _| machine.ended_session(from, to))
            .await?;
        Ok(found.body)
    }
}
