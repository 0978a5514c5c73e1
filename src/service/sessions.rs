//! Sessions: open, renew, get, list, close.

use lockring_core::{
    ClusterTime, Gone, LockName, NewSession, Op, Outcome, Owner, Refusal, Renewal, SessionId,
    SessionView, Ttl,
};

use super::{Answer, Freshness, Key, Service, ServiceError, draw_session};

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its TTL.
    pub ttl: Ttl,
    /// Who opens it.
    pub owner: Owner,
    /// What to list it with.
    pub metadata: String,
    /// For how long nobody is granted a lock that it lost abnormally.
    pub lock_delay_ms: u64,
}

/// A session that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its id.
    pub session: SessionId,
    /// Its TTL.
    pub ttl: Ttl,
    /// When it ends unless renewed.
    pub expires_in_ms: u64,
}

/// A session as it was at a moment of cluster time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSeen {
    /// The session.
    pub view: SessionView,
    /// When.
    pub now: ClusterTime,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionsPage {
    /// In the order of ids.
    pub sessions: Vec<SessionView>,
    /// When.
    pub now: ClusterTime,
    /// Where the next page begins, if there is one; see [`Service::sessions`].
    pub next: Option<u32>,
}

impl Service {
    /// Opens a session.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn open(&self, ask: Open, key: Key) -> Result<Answer<Opened>, ServiceError> {
        let session = NewSession {
            session: draw_session(),
            ttl: ask.ttl,
            owner: ask.owner,
            lock_delay_ms: ask.lock_delay_ms,
            metadata: ask.metadata,
        };
        let answer = self.commit_under(key, Op::Open(session)).await?;
        match answer.body {
            Outcome::Opened {
                session,
                ttl,
                expires_at,
            } => Ok(Answer {
                revision: answer.revision,
                replayed: answer.replayed,
                body: Opened {
                    session,
                    ttl,
                    expires_in_ms: expires_at.ms_since(self.inner.replica.now()),
                },
            }),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Renews a session, together with those that renew at the same time; answers in how many
    /// milliseconds it ends unless renewed again.
    ///
    /// # Errors
    /// [`Refusal::SessionGone`] in [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn renew(&self, session: SessionId) -> Result<Answer<u64>, ServiceError> {
        let answer = self.inner.renewals.renew(session).await?;
        match answer.body {
            Renewal::Until(deadline) => {
                let now = self.inner.replica.now();
                Ok(answer.map(|_| deadline.ms_since(now)))
            }
            Renewal::Gone(cause) => Err(gone(answer.revision, session, cause)),
        }
    }

    /// One session, for whoever knows its id.
    ///
    /// # Errors
    /// [`Refusal::SessionGone`] in [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn session(
        &self,
        session: SessionId,
        fresh: Freshness,
    ) -> Result<Answer<SessionSeen>, ServiceError> {
        let answer = self
            .read(fresh, |machine, now| {
                let view = machine.session(session)?;
                Ok(SessionSeen { view, now })
            })
            .await?;
        match answer.body {
            Ok(body) => Ok(Answer {
                revision: answer.revision,
                replayed: false,
                body,
            }),
            Err(cause) => Err(gone(answer.revision, session, cause)),
        }
    }

    /// Live sessions in the order of ids, of one owner if given, about `rows` a page.
    ///
    /// A whole id is a capability, so a page cannot end at one: `after` and `next` are the first
    /// 32 bits of an id, and a page is as long as it must be to end between two that differ.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn sessions(
        &self,
        owner: Option<&str>,
        after: Option<u32>,
        rows: usize,
        fresh: Freshness,
    ) -> Result<Answer<SessionsPage>, ServiceError> {
        self.read(fresh, |machine, now| {
            let mut at = after.map(last_with);
            let mut sessions = Vec::new();
            let next = loop {
                let mut more = machine.sessions(owner, at, rows + 1);
                let end = more.len() <= rows;
                sessions.append(&mut more);
                if end {
                    break None;
                }
                if let Some(cut) = page_end(&sessions, rows) {
                    sessions.truncate(cut);
                    break sessions.last().map(|row| first_of(row.session));
                }
                at = sessions.last().map(|row| row.session);
            };
            SessionsPage {
                sessions,
                now,
                next,
            }
        })
        .await
    }

    /// Ends a session; answers what it held.
    ///
    /// # Errors
    /// [`Refusal::SessionGone`] in [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn close(
        &self,
        session: SessionId,
        key: Key,
    ) -> Result<Answer<Vec<(LockName, u64)>>, ServiceError> {
        let answer = self.commit_under(key, Op::Close { session }).await?;
        Self::closed(answer)
    }

    /// What the end of a session is answered with.
    pub(super) fn closed(
        answer: Answer<Outcome>,
    ) -> Result<Answer<Vec<(LockName, u64)>>, ServiceError> {
        match answer.body {
            Outcome::Closed { released } => Ok(Answer {
                revision: answer.revision,
                replayed: answer.replayed,
                body: released
                    .into_iter()
                    .map(|(lock, fence)| (lock, fence.number()))
                    .collect(),
            }),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }
}

pub(super) fn gone(revision: u64, session: SessionId, cause: Gone) -> ServiceError {
    ServiceError::Refused {
        revision,
        refusal: Refusal::SessionGone { session, cause },
    }
}

/// The first 32 bits of an id: the eight digits that others may see.
pub(super) fn first_of(session: SessionId) -> u32 {
    u32::from_str_radix(&session.short(), 16).expect("eight hexadecimal digits are 32 bits")
}

/// The first id that begins with these 32 bits.
pub(super) fn first_with(first: u32) -> SessionId {
    SessionId::from_bits(u128::from(first) << 96)
}

/// The last id that begins with these 32 bits.
pub(super) fn last_with(first: u32) -> SessionId {
    SessionId::from_bits((u128::from(first) << 96) | (u128::MAX >> 32))
}

/// Where a page of at least `rows` rows can end: before the first row behind them that begins
/// otherwise than the one before it.
fn page_end(sessions: &[SessionView], rows: usize) -> Option<usize> {
    (rows..sessions.len())
        .find(|&at| first_of(sessions[at].session) != first_of(sessions[at - 1].session))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bits: u128) -> SessionView {
        SessionView {
            session: SessionId::from_bits(bits),
            owner: Owner::default(),
            metadata: String::new(),
            ttl: Ttl::parse(1000).unwrap(),
            expires_at: ClusterTime(0),
            leases: Vec::new(),
            leases_total: 0,
            waits: Vec::new(),
            waits_total: 0,
            lock_delay_ms: 0,
        }
    }

    #[test]
    fn a_page_never_ends_between_two_ids_that_look_the_same() {
        let twins = [1 << 96, 2 << 96, (2 << 96) + 1, 3 << 96].map(row);
        assert_eq!(page_end(&twins, 1), Some(1));
        assert_eq!(page_end(&twins, 2), Some(3));
        assert_eq!(page_end(&twins, 3), Some(3));
        assert_eq!(page_end(&twins[..3], 2), None);
    }

    #[test]
    fn a_cursor_stands_behind_every_id_that_it_is_the_beginning_of() {
        let first = first_of(SessionId::from_bits(u128::MAX - 5));
        assert_eq!(last_with(first), SessionId::from_bits(u128::MAX));
        assert!(last_with(7) > SessionId::from_bits((7 << 96) + 9));
        assert!(last_with(7) < SessionId::from_bits(8 << 96));
    }
}
