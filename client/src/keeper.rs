//! The task that keeps one session: it renews, it releases what nobody wants, it closes.
//!
//! A renewal is sent when a third of the TTL has passed, so that two can fail before the session
//! is in danger. What decides is the countdown alone: when it has run out without a renewal, the
//! session is lost here and now, whatever the cluster may still think, because only so the holder
//! gives up before the next one is granted. The keeper's own sleep is on the runtime's clock, which
//! stops while the machine sleeps; so after a resume `lost` may come up to a third of the TTL late.
//! [`crate::LockGuard::is_valid`] reads the boot-time clock and is never late.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockring_core::Fence;

use crate::client::Client;
use crate::countdown::BootTime;
use crate::error::{Error, LostCause};
use crate::ledger::Ending;
use crate::session::{Shared, State};
use crate::wire::{Closed, Release};

/// Renewals are due after this share of the TTL, and tried for half of it at a time.
const RENEWALS_PER_TTL: u32 = 3;
/// Pauses between looks at a lock that may have been granted to a caller that left.
const LOOKS: [Duration; 5] = [
    Duration::from_millis(0),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Keeps the session until it is lost or nobody wants it; then closes it, as far as that can be
/// done. `sent` is when it was asked for.
pub(crate) async fn keep(shared: Arc<Shared>, sent: BootTime) -> Result<Closed, Error> {
    let cause = tokio::select! {
        biased;
        cause = shared.lost() => cause,
        () = shared.unwanted.notified() => LostCause::Closed,
        cause = renew(&shared, sent) => cause,
        never = release(&shared) => match never {},
    };
    shared.lose(cause);
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
        LostCause::Gone(_) => Err(Error::Lost(cause)),
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
                shared.tell(State::Healthy);
                due = answer.sent.plus(pause);
            }
            Ok(Err(error)) => {
                if let Some(cause) = shared.gone(&error) {
                    return cause;
                }
                shared.tell(State::AtRisk(Instant::now() + shared.remaining()));
                // A server that refuses does so at once, and is not to be asked in a tight loop.
                due = BootTime::now().plus(pause / 8);
            }
        }
    }
}

/// Brings the endings that the ledger has left to their end, one after the other.
async fn release(shared: &Shared) -> Infallible {
    loop {
        let ending = shared.ledger().take();
        let Some((lock, ending)) = ending else {
            shared.left.notified().await;
            continue;
        };
        match ending {
            Ending::Release(fence) => release_one(shared, &lock, fence).await,
            Ending::Unsure => look(shared, &lock).await,
        }
        shared.ledger().settle(&lock);
        shared.settled.send_replace(());
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
            // The lease is not there under that fence, or this client may not say so.
            Error::Refused { .. }
            | Error::Foreign { .. }
            | Error::Lost(_)
            | Error::Invalid { .. } => return,
        }
    }
}

/// Looks whether a caller that left was granted the lock after all, and releases it then. The
/// server gives up the caller's place when it sees that the connection is closed; until it has,
/// the lock may still be granted.
async fn look(shared: &Shared, lock: &str) {
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        match found(&shared.client, &shared.id, lock).await {
            Ok(Found::Lease(fence)) => return release_one(shared, lock, fence).await,
            Ok(Found::Nothing) => return,
            Ok(Found::MayWait) | Err(_) => {}
        }
    }
}

/// What a session has of a lock.
enum Found {
    Lease(Fence),
    MayWait,
    Nothing,
}

async fn found(client: &Client, session: &str, lock: &str) -> Result<Found, Error> {
    let view = client.get_lock(lock).await?;
    // Others' sessions are shown by their first digits; a release under the whole id and the fence
    // is refused if two sessions begin alike.
    let ours = |digits: &str| session.starts_with(digits);
    if let Some(holder) = view.holders.iter().find(|holder| ours(&holder.session)) {
        return Ok(Found::Lease(Fence::claimed(holder.fence)));
    }
    let listed = u32::try_from(view.queue.len()).unwrap_or(u32::MAX);
    let waits = view.queue.iter().any(|waiter| ours(&waiter.session));
    Ok(if waits || view.queue_total > listed {
        Found::MayWait
    } else {
        Found::Nothing
    })
}
