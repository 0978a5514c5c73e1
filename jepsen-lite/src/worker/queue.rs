//! Hands that queue: in the order in which they came, and some of them die while they wait.
//!
//! Who came first is known without trusting the service's numbers where a read showed the first
//! in the queue before the second asked. So every hand looks before it asks.

use std::time::Duration;

use super::hand::{Came, Hand, Open};

pub(super) async fn run(mut hand: Hand) {
    while hand.goes_on() {
        let key = hand.some_key();
        let dies = hand.dice.happens(15);
        // Long enough to wait out the few before it; who dies has a short life.
        let ttl = if dies {
            700
        } else {
            15_000.max(hand.spec.ttl_ms)
        };
        let Some(mut session) = hand.open(ttl).await else {
            return;
        };
        hand.holders(&key).await;
        if dies && hand.dice.happens(50) {
            die_together(&mut hand, &mut session).await;
            continue;
        }
        if dies {
            die_waiting(&mut hand, &mut session, &key).await;
            continue;
        }
        let wait = if hand.dice.happens(20) { 300 } else { 8_000 };
        if let Came::Done(answer) = hand.acquire(&session, &key, wait).await {
            hand.holders(&key).await;
            hand.pause().await;
            if let Some(fence) = answer.fence {
                hand.release(&session, &key, fence).await;
            }
        }
        hand.holders(&key).await;
        hand.close(&session).await;
        hand.pause().await;
    }
}

/// Waits longer than its session lives. The call tells that the session is gone; nothing may be
/// granted to it afterwards.
async fn die_waiting(hand: &mut Hand, session: &mut Open, key: &str) {
    if let Came::Done(answer) = hand.acquire(session, key, 3_000).await
        && let Some(fence) = answer.fence
    {
        hand.release(session, key, fence).await;
    }
    hand.rest(Duration::from_millis(1_000)).await;
    hand.renew(session).await;
    for _ in 0..2 {
        hand.holders(key).await;
        hand.pause().await;
    }
}

/// A holder and its waiter whose lives end within one tick: the lock must not be handed over to
/// who is gone in the same moment.
async fn die_together(hand: &mut Hand, holder: &mut Open) {
    let key = format!("queue/twins-{}", hand.number);
    hand.renew(holder).await;
    let Some(waiter) = hand.open(700).await else {
        return;
    };
    if let Came::Done(_) = hand.acquire(holder, &key, 0).await {
        hand.acquire(&waiter, &key, 3_000).await;
    }
    hand.holders(&key).await;
}
