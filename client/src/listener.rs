//! What the cluster tells of one session: leases that were ended by others, locks asked back.
//!
//! A renewal says whether the session lives, not what became of its leases. So from its first lease
//! on the keeper reads the session's event stream, and it reads it from a place before that lease:
//! what ended while nobody listened yet, or between a stream that was torn and the next, is told
//! in order and with its cause. Where the cluster has forgotten what happened it says so, and the
//! leases that were known before are compared with those that it has; of what is gone, nobody
//! can say any more why.

use std::time::{Duration, Instant};

use lockring_core::Fence;

use crate::client::Client;
use crate::error::LostCause;
use crate::lease::Revocation;
use crate::owner::Shared;
use crate::stream::EventStream;
use crate::wire::{GoneCause, LeaseEndCause, SessionEvent, route};

/// The pause after a stream that broke; each further one is twice as long, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// See [`PAUSE_FIRST`].
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Listens until the session has ended.
pub(crate) async fn listen(shared: &Shared) -> LostCause {
    shared.leased.notified().await;
    let mut pause = PAUSE_FIRST;
    let mut after = shared.quiet_upto().map(|revision| revision.to_string());
    loop {
        let path = route::session_events(&shared.id);
        match EventStream::open(&shared.client, path, after.clone()).await {
            Ok(mut stream) => {
                if after.is_none() {
                    // Leases may have ended before it began.
                    compare(shared).await;
                }
                let read = read(shared, &mut stream, &mut pause).await;
                after = stream.resume();
                if let Some(cause) = read {
                    return cause;
                }
            }
            Err(error) => {
                if let Some(cause) = shared.gone(&error) {
                    return cause;
                }
                tracing::debug!(session = shared.digits(), %error, "no event stream");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Reads one stream to its end; the cause, if the session has ended.
async fn read(
    shared: &Shared,
    stream: &mut EventStream,
    pause: &mut Duration,
) -> Option<LostCause> {
    while let Ok(Some(told)) = stream.next().await {
        *pause = PAUSE_FIRST;
        // What a newer server tells is passed over.
        let Ok(event) = serde_json::from_str(&told.data) else {
            continue;
        };
        match event {
            SessionEvent::Lost {
                lock,
                fence,
                cause,
                reason,
                ..
            } => {
                let fence = Fence::claimed(fence);
                let cause = lost(cause, reason);
                tracing::info!(session = shared.digits(), lock, %fence, %cause, "lease ended");
                shared.ledger().ended(&lock, fence, cause);
            }
            SessionEvent::RevokeRequested {
                lock,
                fence,
                reason,
                deadline_in_ms,
            } => {
                let lease = shared.ledger().lease(&lock);
                if let Some(lease) = lease.filter(|lease| lease.fence.number() == fence) {
                    let deadline = Instant::now() + Duration::from_millis(deadline_in_ms);
                    lease.ask_back(Revocation { reason, deadline });
                }
            }
            SessionEvent::Ended { cause, reason } => {
                return Some(LostCause::Gone { cause, reason });
            }
            SessionEvent::Gap { .. } => compare(shared).await,
            // Grants come with the answers to those who asked, and whether the session expires is
            // known here better than there.
            SessionEvent::Granted { .. } | SessionEvent::Expiring { .. } => {}
        }
    }
    None
}

fn lost(cause: LeaseEndCause, reason: Option<String>) -> LostCause {
    let gone = |cause, reason| LostCause::Gone { cause, reason };
    match cause {
        LeaseEndCause::Released => LostCause::Released,
        LeaseEndCause::Closed => gone(GoneCause::Closed, reason),
        LeaseEndCause::Expired => gone(GoneCause::Expired, reason),
        LeaseEndCause::EndedByOperator => gone(GoneCause::EndedByOperator, reason),
        LeaseEndCause::MaxHold => LostCause::MaxHold,
        LeaseEndCause::Broken => LostCause::Broken {
            reason: reason.unwrap_or_default(),
        },
        LeaseEndCause::Revoked => LostCause::Revoked {
            reason: reason.unwrap_or_default(),
        },
        LeaseEndCause::Transferred => LostCause::Transferred,
        LeaseEndCause::Upgraded | LeaseEndCause::Downgraded => LostCause::Replaced,
    }
}

/// Tells of the leases that the session does not have any more. Those known *before* the look are
/// compared: one that is granted meanwhile is not in what is seen.
async fn compare(shared: &Shared) {
    let known = shared.ledger().leases();
    if known.is_empty() {
        return;
    }
    let Ok(seen) = shared.client.get_session(&shared.id).await else {
        return;
    };
    let has = |lock: &str, fence: Fence| {
        let mut leases = seen.leases.iter();
        leases.any(|lease| lease.lock == lock && lease.fence == fence.number())
    };
    let is_whole = u32::try_from(seen.leases.len()).is_ok_and(|n| n >= seen.leases_total);
    for (lock, fence) in known {
        if has(&lock, fence) || !is_whole && is_current(&shared.client, &lock, fence).await {
            continue;
        }
        shared.ledger().ended(&lock, fence, LostCause::Released);
    }
}

/// Whether a lease is in force; without an answer it is believed.
async fn is_current(client: &Client, lock: &str, fence: Fence) -> bool {
    let check = client.check_fence(lock, fence.number()).await;
    check.map_or(true, |check| check.current)
}
