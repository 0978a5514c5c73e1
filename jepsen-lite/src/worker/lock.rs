//! Hands that take, keep, give back and misuse locks.
//!
//! Most rounds are what a service does. The others are what a broken or paused service does, and
//! each has an answer that the contract fixes: a release under a fence that is over, a release of
//! somebody else's lease, a renewal and a release after the session's end.

use std::time::Duration;

use lockring_client::wire::ErrorCode;

use super::hand::{Came, Hand, Open};

pub(super) async fn run(mut hand: Hand) {
    // One hand of each worker only reads, of any node: who holds locks asks one node for long, and
    // hangs on it when it is cut off, just when a read of it would tell whether it still answers.
    if hand.number % 3 == 2 {
        return read(hand).await;
    }
    while hand.goes_on() {
        let ttl = hand.spec.ttl_ms;
        let Some(mut session) = hand.open(ttl).await else {
            return;
        };
        let mut last_fence = None;
        while hand.goes_on() {
            let key = hand.some_key();
            let wait = if hand.dice.happens(30) { 400 } else { 0 };
            match hand.acquire(&session, &key, wait).await {
                Came::Done(answer) => {
                    let Some(fence) = answer.fence else { break };
                    if keep(&mut hand, &mut session, &key, fence, last_fence)
                        .await
                        .is_none()
                    {
                        break;
                    }
                    last_fence = Some(fence);
                }
                Came::Refused(ErrorCode::SessionGone) => break,
                Came::Refused(_) => {
                    hand.holders(&key).await;
                }
                // Nobody knows what this session holds now: let it end.
                Came::Nothing => break,
            }
            hand.pause().await;
            if still_lives(&mut hand, &mut session).await.is_none() {
                break;
            }
        }
    }
}

async fn read(mut hand: Hand) {
    while hand.goes_on() {
        let key = hand.some_key();
        let node = hand.dice.between(1, hand.caller.nodes());
        hand.caller.turn_to(node);
        hand.holders(&key).await;
        let time = super::pause(&mut hand.dice, hand.spec.pause_ms / 4);
        hand.rest(time).await;
    }
}

/// Renews when a third of the TTL is over. `None` when the session must be given up.
pub(super) async fn still_lives(hand: &mut Hand, session: &mut Open) -> Option<()> {
    let age = hand.recorder.now().saturating_sub(session.renewed);
    if age < hand.spec.ttl_ms * crate::clock::MS / 3 {
        return Some(());
    }
    match hand.renew(session).await {
        Came::Refused(ErrorCode::SessionGone) => None,
        // A renewal does no harm twice, and the next one comes.
        Came::Done(_) | Came::Refused(_) | Came::Nothing => Some(()),
    }
}

/// Holds a lease for a while and gives it back. `None` when the session must be given up.
async fn keep(
    hand: &mut Hand,
    session: &mut Open,
    key: &str,
    fence: u64,
    last_fence: Option<u64>,
) -> Option<()> {
    for _ in 0..hand.dice.below(3) {
        hand.pause().await;
        still_lives(hand, session).await?;
        match hand.dice.below(2) {
            0 => hand.check(key, fence).await,
            _ => hand.holders(key).await,
        };
    }
    match hand.dice.below(100) {
        0..5 => return overstay(hand, session, key, fence).await,
        5..17 => {
            let stale = last_fence.unwrap_or(fence - 1);
            hand.release(session, key, stale).await;
        }
        17..35 => stranger(hand, key, fence).await?,
        _ => {}
    }
    match hand.release(session, key, fence).await {
        Came::Done(_) => {}
        Came::Refused(_) | Came::Nothing => return None,
    }
    if hand.dice.happens(20) {
        hand.check(key, fence).await;
    }
    if hand.dice.happens(5) {
        hand.close(session).await;
        hand.renew(session).await;
        return None;
    }
    Some(())
}

/// Stays silent past the TTL, and then behaves as if nothing had happened.
async fn overstay(hand: &mut Hand, session: &mut Open, key: &str, fence: u64) -> Option<()> {
    let ttl = Duration::from_millis(hand.spec.ttl_ms);
    hand.rest(ttl + ttl / 4).await;
    let gone = matches!(
        hand.renew(session).await,
        Came::Refused(ErrorCode::SessionGone)
    );
    hand.release(session, key, fence).await;
    hand.check(key, fence).await;
    if gone {
        hand.renew(session).await;
    }
    None
}

/// Somebody else names the right fence. `None` when that somebody could not be had.
async fn stranger(hand: &mut Hand, key: &str, fence: u64) -> Option<()> {
    let ttl = hand.spec.ttl_ms;
    let other = hand.open(ttl).await?;
    hand.release(&other, key, fence).await;
    hand.close(&other).await;
    Some(())
}
