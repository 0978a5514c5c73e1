//! The task that keeps one session: it renews, it releases what nobody wants, it listens to what
//! happens to the session's leases, it closes.
//!
//! A renewal is sent when a third of the TTL has passed, so that two can fail before the session
//! is in danger. What decides is the countdown alone: when it has run out without a renewal, the
//! session is lost here and now, whatever the cluster may still think, because only so the holder
//! gives up before the next one is granted. The keeper's own sleep is on the runtime's clock, which
//! stops while the machine sleeps; so after a resume `lost` may come up to a third of the TTL late.
//! [`crate::LockGuard::is_valid`] reads the boot-time clock and is never late.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lockring_core::Fence;
use tokio::time::Instant;

use crate::client::Client;
use crate::countdown::BootTime;
use crate::error::{Error, LostCause};
use crate::ledger::Ending;
use crate::listener;
use crate::owner::Shared;
use crate::session::State;
use crate::wire::{Closed, Release};

/// Renewals are due after this share of the TTL, and tried for half of it at a time.
const RENEWALS_PER_TTL: u32 = 3;
/// The pause before the first look at a lock that may have been granted to a caller that left;
/// each further one is twice as long, up to the longest.
const LOOK_FIRST: Duration = Duration::from_millis(20);
/// See [`LOOK_FIRST`].
const LOOK_MAX: Duration = Duration::from_secs(2);

/// How many holders and waiters of a lock are listed at most.
const ROWS_MAX: usize = 100;

/// Keeps the session until it is lost or nobody wants it; then closes it, as far as that can be
/// done. `sent` is when it was asked for.
pub(crate) async fn keep(shared: Arc<Shared>, sent: BootTime) -> Result<Closed, Error> {
    let cause = tokio::select! {
        biased;
        cause = shared.lost() => cause,
        () = shared.unwanted.notified() => LostCause::Closed,
        cause = renew(&shared, sent) => cause,
        never = release(&shared) => match never {},
        never = look(&shared) => match never {},
        cause = listener::listen(&shared) => cause,
    };
    shared.lose(cause.clone());
    match cause {
        // It may still live: to close it hands its locks on sooner than its TTL would.
        LostCause::Closed | LostCause::Unreachable => {
            let closed = shared.client.close_session(&shared.id).await;
            if cause == LostCause::Closed {
                closed
            } else {
                Err(Error::Lost(cause))
            }
        }
        LostCause::Gone { .. }
        | LostCause::Broken { .. }
        | LostCause::Revoked { .. }
        | LostCause::MaxHold
        | LostCause::Transferred
        | LostCause::Replaced
        | LostCause::Released => Err(Error::Lost(cause)),
    }
}

/// Renews until the session is lost.
async fn renew(shared: &Shared, opened: BootTime) -> LostCause {
    let pause = shared.ttl / RENEWALS_PER_TTL;
    let mut due = opened.plus(pause);
    loop {
        let wait = BootTime::now().until(due).min(shared.remaining());
        tokio::time::sleep(wait).await;
        let left = shared.remaining();
        if left.is_zero() {
            return LostCause::Unreachable;
        }
        let renewal = shared
            .client
            .renew_counted(&shared.id, (pause / 2).min(left));
        match tokio::time::timeout(left, renewal).await {
            Err(_) => return LostCause::Unreachable,
            Ok(Ok(answer)) => {
                let promised = Duration::from_millis(answer.body.expires_in_ms);
                if !shared
                    .countdown
                    .extend(answer.sent, promised, BootTime::now())
                {
                    return LostCause::Unreachable;
                }
                shared.seen_at(answer.revision);
                shared.tell(State::Healthy);
                due = answer.sent.plus(pause);
            }
            Ok(Err(error)) => {
                if let Some(cause) = shared.gone(&error) {
                    return cause;
                }
                shared.at_risk(&error);
                // A server that refuses does so at once, and is not to be asked in a tight loop.
                due = BootTime::now().plus(pause / 8);
            }
        }
    }
}

/// Releases the leases that nobody wants, one after the other.
async fn release(shared: &Shared) -> Infallible {
    loop {
        let taken = shared.ledger().take_release();
        let Some((lock, fence)) = taken else {
            shared.left.notified().await;
            continue;
        };
        release_one(shared, &lock, fence).await;
        shared.settle(&lock, Ending::Release(fence));
    }
}

/// Releases until there is an answer; an unreachable cluster ends the session, and with it this.
async fn release_one(shared: &Shared, lock: &str, fence: Fence) {
    let release = Release {
        session: shared.id.clone(),
        fence: fence.number(),
    };
    while let Err(error) = shared.client.release_lock(lock, &release).await {
        if let Some(cause) = shared.gone(&error) {
            shared.lose(cause);
        }
        match error {
            Error::NoAnswer { .. } => {}
            // Nothing was sent; certificates may be renewed while the session lives.
            Error::Distrusted { .. } => tokio::time::sleep(LOOK_MAX).await,
            // The lease is not there under that fence, or this client may not say so.
            Error::Refused { .. }
            | Error::Foreign { .. }
            | Error::Lost(_)
            | Error::Invalid { .. } => return,
        }
    }
}

/// A lock to look at.
struct Look {
    lock: String,
    number: u64,
    pause: Duration,
    due: Instant,
    /// Whether the look before found nothing.
    nothing_before: bool,
}

/// Looks at the locks that may have been granted to callers that left, and has what it finds
/// released. The server gives up a caller's place when it sees the closed connection; a place
/// whose server died remains, and can still be granted. So a look goes on while there is a place,
/// and believes that there is none when it has seen none twice: the request may have been under
/// way at the first time.
async fn look(shared: &Shared) -> Infallible {
    let mut looks = Vec::new();
    loop {
        while let Some((lock, number)) = shared.take_look() {
            let (pause, due) = (LOOK_FIRST, Instant::now() + LOOK_FIRST);
            looks.push(Look {
                lock,
                number,
                pause,
                due,
                nothing_before: false,
            });
        }
        let Some(next) = looks.iter().map(|look| look.due).min() else {
            shared.unsure.notified().await;
            continue;
        };
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {}
            () = shared.unsure.notified() => continue,
        }
        for mut look in std::mem::take(&mut looks) {
            if look.due > next || look_once(shared, &mut look).await {
                looks.push(look);
            }
        }
    }
}

/// Looks at one lock; whether it has to be looked at again.
async fn look_once(shared: &Shared, look: &mut Look) -> bool {
    if !shared.ledger().stands(&look.lock, look.number) {
        return false;
    }
    let nothing = match find(&shared.client, &shared.id, &look.lock).await {
        Ok(Found::Lease(fence)) => {
            if shared.ledger().found(&look.lock, look.number, fence) {
                shared.left.notify_one();
                return false;
            }
            true
        }
        Ok(Found::Nothing) => true,
        Ok(Found::MayWait) | Err(_) => false,
    };
    if nothing && look.nothing_before {
        shared.settle(&look.lock, Ending::Look(look.number));
        return false;
    }
    look.nothing_before = nothing;
    look.pause = (look.pause * 2).min(LOOK_MAX);
    look.due = Instant::now() + look.pause;
    true
}

/// What a session has of a lock.
enum Found {
    Lease(Fence),
    MayWait,
    Nothing,
}

async fn find(client: &Client, session: &str, lock: &str) -> Result<Found, Error> {
    let view = client.get_lock(lock).await?;
    // Others' sessions are shown by their first digits; a release under the whole id and the fence
    // is refused if two sessions begin alike.
    let ours = |digits: &str| session.starts_with(digits);
    let is_whole = |listed: usize, total: u32| u32::try_from(listed).is_ok_and(|n| n >= total);
    // A place is looked at first: who asked for another mode has a lease and a place.
    if view.queue.iter().any(|waiter| ours(&waiter.session))
        || !is_whole(view.queue.len(), view.queue_total)
    {
        return Ok(Found::MayWait);
    }
    if let Some(holder) = view.holders.iter().find(|holder| ours(&holder.session)) {
        return Ok(Found::Lease(Fence::claimed(holder.fence)));
    }
    if view.holders.len() < ROWS_MAX {
        return Ok(Found::Nothing);
    }
    // There may be more holders than are listed; the session knows its own.
    let session = client.get_session(session).await?;
    Ok(
        match session.leases.iter().find(|lease| lease.lock == lock) {
            Some(lease) => Found::Lease(Fence::claimed(lease.fence)),
            None if is_whole(session.leases.len(), session.leases_total) => Found::Nothing,
            None => Found::MayWait,
        },
    )
}
