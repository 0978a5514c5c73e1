//! Hands that send everything twice, through different nodes and under one key, as a client does
//! that got no answer. The second time may be seconds and a snapshot later.

use std::time::Duration;

use lockring_client::wire::route;
use serde_json::json;

use super::call::Ask;
use super::hand::{Came, Hand, Open};
use crate::history::Event;

pub(super) async fn run(mut hand: Hand) {
    let ttl = 30_000.max(hand.spec.ttl_ms);
    while hand.goes_on() {
        let Some(session) = hand.open(ttl).await else {
            return;
        };
        // Fewer than the outcomes that are remembered of a session.
        for round in 0..6 {
            if !hand.goes_on() || once(&mut hand, &session, round).await.is_none() {
                break;
            }
            hand.pause().await;
        }
        hand.close(&session).await;
    }
}

/// Takes and gives back one lock, each call twice. `None` when the session is to be given up.
async fn once(hand: &mut Hand, session: &Open, round: u64) -> Option<()> {
    // Nobody else uses it, so whatever contradicts the first outcome is the service's doing.
    let lock = format!("retry/{}", hand.number);
    let key = format!("{}-{round}", session.short());
    let take = Sent {
        f: "acquire",
        key: format!("a-{key}"),
        path: route::acquire(&lock),
        body: json!({"session": session.id}),
        fence: None,
    };
    let fence = twice(hand, session, &lock, &take).await?;
    let give = Sent {
        f: "release",
        key: format!("r-{key}"),
        path: route::release(&lock),
        body: json!({"session": session.id, "fence": fence}),
        fence: Some(fence),
    };
    twice(hand, session, &lock, &give).await?;
    // The grant once more, after it was given back: it is told again and not made again.
    let late = hand.dice.between(0, 2 * hand.spec.ttl_ms);
    hand.rest(Duration::from_millis(late)).await;
    send(hand, session, &lock, &take).await;
    hand.holders(&lock).await;
    Some(())
}

struct Sent {
    f: &'static str,
    key: String,
    path: String,
    body: serde_json::Value,
    fence: Option<u64>,
}

/// Sends it until it is answered once, and then once more through another node.
async fn twice(hand: &mut Hand, session: &Open, lock: &str, sent: &Sent) -> Option<u64> {
    let mut first = None;
    for _ in 0..200 {
        match send(hand, session, lock, sent).await {
            Came::Done(answer) => {
                first = answer.fence.or(sent.fence);
                break;
            }
            Came::Refused(_) => return None,
            Came::Nothing => hand.rest(Duration::from_millis(50)).await,
        }
        if !hand.goes_on() {
            return None;
        }
    }
    let other = hand.caller.node() % hand.caller.nodes() + 1;
    hand.caller.turn_to(other);
    if hand.dice.happens(30) {
        let late = hand.dice.between(0, hand.spec.ttl_ms);
        hand.rest(Duration::from_millis(late)).await;
    }
    send(hand, session, lock, sent).await;
    first
}

async fn send(hand: &mut Hand, session: &Open, lock: &str, sent: &Sent) -> Came {
    let ask = Ask {
        key: Some(sent.key.clone()),
        ..Ask::post(sent.path.clone(), sent.body.clone())
    };
    let draft = Event {
        f: sent.f.to_owned(),
        key: Some(lock.to_owned()),
        session: Some(session.short()),
        fence: sent.fence,
        value: Some(json!(sent.key)),
        ..Event::default()
    };
    hand.call(draft, &ask, |body| body.get("replayed").cloned())
        .await
}
