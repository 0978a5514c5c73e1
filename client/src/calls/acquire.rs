//! Acquiring: a call that may wait longer than one answer is late.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{lock_name, written};
use crate::client::{Answer, Client, Request};
use crate::connection::Method;
use crate::countdown::BootTime;
use crate::error::Error;
use crate::wire::{Acquire, AcquireAll, Granted, GrantedAll, POLL_WINDOW_MS, Queued, route};

/// The least time from one poll of a place to the next; a server that answers 202 at once, again
/// and again, is not asked more often.
const POLL_MIN: Duration = Duration::from_millis(50);
/// An answer that took longer than this share of the longest hold is asked for once more.
const HOLD_SHARE: u32 = 50;

/// What an acquire came to.
enum Acquired<T> {
    Granted(T),
    Queued(Queued),
}

fn acquired<T: DeserializeOwned>(status: u16, body: &[u8]) -> serde_json::Result<Acquired<T>> {
    if status == 202 {
        serde_json::from_slice(body).map(Acquired::Queued)
    } else {
        serde_json::from_slice(body).map(Acquired::Granted)
    }
}

/// A grant, as far as it says when it ends.
trait Grant: DeserializeOwned {
    fn hold_ends_in_ms(&self) -> Option<u64>;
}

impl Grant for Granted {
    fn hold_ends_in_ms(&self) -> Option<u64> {
        self.hold_ends_in_ms
    }
}

impl Grant for GrantedAll {
    fn hold_ends_in_ms(&self) -> Option<u64> {
        self.hold_ends_in_ms
    }
}

impl Client {
    /// Acquires a lock, waiting as long as `acquire.wait_ms` says, over polls and failovers.
    ///
    /// If the future is dropped, its connection closes and the place in the queue is given up; a
    /// lease that was granted in that very moment remains with the session.
    ///
    /// # Errors
    /// [`Error`]; `held` after a try, `wait_timeout` after a wait, `deadlock` with the cycle that
    /// waiting would close.
    pub async fn acquire_lock(&self, name: &str, acquire: &Acquire) -> Result<Granted, Error> {
        Ok(self.acquire_counted(name, acquire).await?.body)
    }

    /// Acquires all of these locks in one step, or none, waiting as long as it says. While it waits
    /// it holds none of them. Dropping the future is as for [`Self::acquire_lock`].
    ///
    /// # Errors
    /// As [`Self::acquire_lock`].
    pub async fn acquire_locks(&self, acquire: &AcquireAll) -> Result<GrantedAll, Error> {
        Ok(self.acquire_all_counted(acquire).await?.body)
    }

    /// The same as [`Self::acquire_lock`], with the moment from which the longest hold counts.
    pub(crate) async fn acquire_counted(
        &self,
        name: &str,
        acquire: &Acquire,
    ) -> Result<Answer<Granted>, Error> {
        lock_name(name)?;
        let request = self.act(Method::Post, route::acquire(name), written(acquire));
        self.until_granted(request, acquire.wait_ms).await
    }

    /// The same as [`Self::acquire_locks`], with the moment from which the longest hold counts.
    pub(crate) async fn acquire_all_counted(
        &self,
        acquire: &AcquireAll,
    ) -> Result<Answer<GrantedAll>, Error> {
        for want in &acquire.locks {
            lock_name(&want.lock)?;
        }
        let request = self.act(Method::Post, route::ACQUIRE.to_owned(), written(acquire));
        self.until_granted(request, acquire.wait_ms).await
    }

    async fn until_granted<T: Grant>(
        &self,
        mut request: Request,
        wait_ms: Option<u64>,
    ) -> Result<Answer<T>, Error> {
        let wait = Duration::from_millis(wait_ms.unwrap_or(0));
        let poll = wait.min(Duration::from_millis(POLL_WINDOW_MS));
        request.attempt = request.attempt.saturating_add(poll);
        let deadline = Instant::now() + request.within.saturating_add(wait);
        loop {
            let asked = Instant::now();
            request.within = deadline.saturating_duration_since(asked);
            let answer = self.call(&mut request, acquired::<T>).await?;
            match answer.body {
                Acquired::Granted(body) => {
                    let Answer { sent, revision, .. } = answer;
                    let first = Answer::new(sent, revision, body);
                    return Ok(self.counted_anew(request, first).await);
                }
                // The place is ours for as long as the next poll comes soon, under the same key.
                Acquired::Queued(queued) => {
                    let latest = asked + Duration::from_millis(queued.retry_after_ms);
                    tokio::time::sleep_until(latest.min(asked + POLL_MIN)).await;
                }
            }
        }
    }

    /// The same grant with a better count of its longest hold. The hold begins with the grant, but
    /// the holder can count only from before it sent: after a long wait most of the hold would be
    /// given away. The same key brings the same grant again, this time at once.
    async fn counted_anew<T: Grant>(&self, mut request: Request, first: Answer<T>) -> Answer<T> {
        let took = first.sent.until(BootTime::now());
        let hold = first.body.hold_ends_in_ms().map(Duration::from_millis);
        if hold.is_none_or(|hold| took < hold / HOLD_SHARE) {
            return first;
        }
        request.within = self.timeout();
        match self.call(&mut request, acquired::<T>).await {
            Ok(Answer {
                sent,
                revision,
                body: Acquired::Granted(body),
            }) => Answer::new(sent, revision, body),
            Ok(_) | Err(_) => first,
        }
    }
}
