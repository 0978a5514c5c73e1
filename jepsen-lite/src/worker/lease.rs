//! Hands that take a lock and fall silent, and others that wait for it: how long a lease lives
//! after its last renewal, and how soon after that the next one is granted.

use std::time::Duration;

use lockring_client::wire::ErrorCode;

use super::hand::{Came, Hand};

pub(super) async fn run(mut hand: Hand) {
    let ttl = hand.spec.ttl_ms;
    while hand.goes_on() {
        let key = hand.some_key();
        let Some(mut session) = hand.open(ttl).await else {
            return;
        };
        // Whoever is granted the lock dies with it; so the wait is for one TTL or a few.
        let wait = (ttl * hand.spec.hands * 2).min(20_000);
        let mut waits = ttl / 3;
        while hand.goes_on() {
            match hand.acquire(&session, &key, waits.min(wait)).await {
                Came::Done(_) => {
                    if hand.dice.happens(50) {
                        hand.pause().await;
                        hand.renew(&mut session).await;
                    }
                    hand.rest(Duration::from_millis(ttl + ttl / 2)).await;
                    hand.renew(&mut session).await;
                    break;
                }
                Came::Refused(ErrorCode::WaitTimeout) => {
                    if !matches!(hand.renew(&mut session).await, Came::Done(_)) {
                        break;
                    }
                    waits = ttl / 2;
                }
                Came::Refused(_) | Came::Nothing => break,
            }
        }
        hand.pause().await;
    }
}
