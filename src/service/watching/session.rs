//! What one session's owner has to know, in time.
//!
//! Beside what happened it is told what is about to: that a third of its TTL is left. That is no
//! event of the log but a look at the clock of this node, so it is told once for each renewal that
//! does not come, and has no place.
//!
//! A stream outlives its session: a reader that comes back with a place behind which the session
//! ended is told of the losses first and of the end last.

use std::pin::Pin;
use std::time::Duration;

use lockring_core::{ClusterTime, Event, Gone, SessionId, Ttl, What};
use tokio::time::{Sleep, sleep};

use super::{Answer, Noticed, Place, Service, ServiceError, Subject, Watch};
use crate::service::sessions::gone;

/// What a session's owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionNews {
    /// Something happened.
    Event(Place, Event),
    /// Events of these revisions may be missing.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Nobody has renewed the session for two thirds of its TTL.
    Expiring {
        /// When it ends.
        expires_in_ms: u64,
    },
    /// It had ended before anybody watched, and its end is no longer among what is kept.
    Gone(Gone),
}

/// The watch of a session's owner.
#[derive(Debug)]
pub struct SessionWatch {
    watch: Watch,
    session: SessionId,
    /// Why the session is gone, if it was when the watch began.
    gone: Option<Gone>,
    ended: bool,
    alarm: Option<Alarm>,
}

/// When a session is to be warned of. It looks at no clock: it was set when the session was seen,
/// and rings when that is long enough ago.
#[derive(Debug)]
struct Alarm {
    expires_at: ClusterTime,
    bell: Pin<Box<Sleep>>,
    /// What is left of the session when it rings.
    left_ms: u64,
    rang: bool,
}

impl Alarm {
    fn new(expires_at: ClusterTime, now: ClusterTime, ttl: Ttl) -> Self {
        let left_ms = expires_at.ms_since(now);
        let third_ms = ttl.ms() / 3;
        let until = Duration::from_millis(left_ms.saturating_sub(third_ms));
        Self {
            expires_at,
            bell: Box::pin(sleep(until)),
            left_ms: left_ms.min(third_ms),
            rang: false,
        }
    }
}

impl Service {
    /// Tells a session's owner what happens to it, behind a place or from now on.
    ///
    /// # Errors
    /// [`lockring_core::Refusal::SessionGone`] in [`ServiceError::Refused`] if it is gone and no
    /// place is given from which its end could be told, and the rest of [`ServiceError`].
    pub async fn watch_session(
        &self,
        session: SessionId,
        after: Option<Place>,
    ) -> Result<Answer<SessionWatch>, ServiceError> {
        let answer = self.watch(Subject::Session(session), after).await?;
        let is_gone = answer.body.session_gone(session).await?;
        if let Some(cause) = is_gone
            && (after.is_none() || cause == Gone::NeverExisted)
        {
            return Err(gone(self.revision(), session, cause));
        }
        Ok(answer.map(|watch| SessionWatch {
            watch,
            session,
            gone: is_gone,
            ended: false,
            alarm: None,
        }))
    }
}

impl SessionWatch {
    /// The next that is to be told, at least one; `None` when the session's end has been told, or
    /// this node tells no more.
    ///
    /// Cancel-safe, as [`Watch::next`] is.
    pub async fn next(&mut self) -> Option<Vec<SessionNews>> {
        if self.ended {
            return None;
        }
        if let Some(cause) = self.gone.filter(|_| self.watch.is_in_the_present()) {
            self.ended = true;
            return Some(vec![SessionNews::Gone(cause)]);
        }
        loop {
            self.set_alarm();
            tokio::select! {
                biased;
                noticed = self.watch.next() => return Some(self.tell(noticed?)),
                expires_at = ring(&mut self.alarm) => {
                    // A renewal may have come meanwhile, and set another alarm.
                    self.set_alarm();
                    let mut alarm = self.alarm.as_mut();
                    let same = alarm.as_mut().filter(|alarm| alarm.expires_at == expires_at);
                    if let Some(alarm) = same {
                        alarm.rang = true;
                        let expires_in_ms = alarm.left_ms;
                        return Some(vec![SessionNews::Expiring { expires_in_ms }]);
                    }
                }
            }
        }
    }

    /// Looks when the session ends, and sets the alarm if that has changed.
    fn set_alarm(&mut self) {
        let replica = &self.watch.service.inner.replica;
        let now = replica.now();
        let seen = replica.view(|machine| {
            let view = machine.session(self.session).ok()?;
            Some((view.expires_at, view.ttl))
        });
        self.alarm = match (seen, self.alarm.take()) {
            (None, _) => None,
            (Some((expires_at, _)), Some(alarm)) if alarm.expires_at == expires_at => Some(alarm),
            (Some((expires_at, ttl)), _) => Some(Alarm::new(expires_at, now, ttl)),
        };
    }

    fn tell(&mut self, noticed: Vec<Noticed>) -> Vec<SessionNews> {
        let mut news = Vec::with_capacity(noticed.len());
        for noticed in noticed {
            match noticed {
                Noticed::Event(place, event) => {
                    self.ended |= matches!(event.what, What::SessionEnded { .. });
                    news.push(SessionNews::Event(place, event));
                }
                Noticed::Gap { from, to } => news.push(SessionNews::Gap { from, to }),
            }
        }
        news
    }
}

/// Waits for an alarm that has not rung yet; answers the end that it warns of.
async fn ring(alarm: &mut Option<Alarm>) -> ClusterTime {
    match alarm {
        Some(alarm) if !alarm.rang => {
            alarm.bell.as_mut().await;
            alarm.expires_at
        }
        Some(_) | None => std::future::pending().await,
    }
}
