//! Hands that share locks: as readers and writers, by permits, several locks in one step, from
//! shared to exclusive and back, and two locks in either order, which is how deadlocks are made.

use std::time::Duration;

use lockring_client::wire::route;
use serde_json::{Value, json};

use super::call::Ask;
use super::hand::{Came, Hand, Open};
use crate::history::Event;

/// How many permits there are.
const PERMITS: u64 = 3;
/// What readers and writers share.
const BOOK: &str = "modes/book";
/// What is given out by permits.
const POOL: &str = "modes/pool";
/// What is taken in either order.
const PAIR: [&str; 2] = ["modes/left", "modes/right"];

pub(super) async fn run(mut hand: Hand) {
    while hand.goes_on() {
        let ttl = hand.spec.ttl_ms;
        let Some(mut session) = hand.open(ttl).await else {
            return;
        };
        match hand.dice.below(100) {
            0..35 => book(&mut hand, &mut session).await,
            35..55 => pool(&mut hand, &mut session).await,
            55..75 => many(&mut hand, &session).await,
            _ => pair(&mut hand, &mut session).await,
        }
        // Some just fall silent, with all that they have.
        if hand.dice.happens(85) {
            hand.close(&session).await;
        }
        hand.pause().await;
    }
}

/// Takes a lock in a mode, waiting so long. Answers the fence.
async fn take(
    hand: &mut Hand,
    session: &Open,
    key: &str,
    mode: Value,
    wait_ms: u64,
) -> Option<u64> {
    let body = json!({"session": session.id, "mode": mode, "wait_ms": wait_ms});
    let ask = Ask {
        patience: Duration::from_millis(wait_ms),
        ..Ask::post(route::acquire(key), body)
    };
    let draft = Event {
        f: "acquire".to_owned(),
        key: Some(key.to_owned()),
        session: Some(session.short()),
        value: Some(json!({"mode": mode, "wait_ms": wait_ms})),
        ..Event::default()
    };
    let came = hand.call(draft, &ask, |body| body.get("replayed").cloned());
    match came.await {
        Came::Done(answer) => answer.fence,
        Came::Refused(_) | Came::Nothing => None,
    }
}

/// Reads with others or writes alone; readers want to write sometimes, and writers to read on.
async fn book(hand: &mut Hand, session: &mut Open) {
    let (first, second) = match hand.dice.happens(70) {
        true => ("shared", "exclusive"),
        false => ("exclusive", "shared"),
    };
    let Some(fence) = take(hand, session, BOOK, json!(first), 400).await else {
        hand.holders(BOOK).await;
        return;
    };
    hand.pause().await;
    hand.renew(session).await;
    hand.holders(BOOK).await;
    let mut held = fence;
    if hand.dice.happens(40) {
        // Whether it came or not: what was held before it was asked for is not relied on.
        if let Some(fence) = take(hand, session, BOOK, json!(second), 500).await {
            held = fence;
            hand.holders(BOOK).await;
            hand.pause().await;
        }
    }
    hand.release(session, BOOK, held).await;
}

async fn pool(hand: &mut Hand, session: &mut Open) {
    let permits = hand.dice.between(1, PERMITS - 1);
    let mode = json!({"permits": permits, "of": PERMITS});
    if let Some(fence) = take(hand, session, POOL, mode, 400).await {
        hand.holders(POOL).await;
        hand.pause().await;
        hand.renew(session).await;
        hand.holders(POOL).await;
        hand.release(session, POOL, fence).await;
    }
}

/// Several in one step; then they are given back one by one.
async fn many(hand: &mut Hand, session: &Open) {
    let permits = hand.dice.between(1, PERMITS - 1);
    let book = if hand.dice.happens(50) {
        "shared"
    } else {
        "exclusive"
    };
    let mut wants = vec![
        json!({"lock": BOOK, "mode": book}),
        json!({"lock": POOL, "mode": {"permits": permits, "of": PERMITS}}),
        json!({"lock": PAIR[0], "mode": "exclusive"}),
        json!({"lock": PAIR[1], "mode": "shared"}),
    ];
    hand.dice.shuffle(&mut wants);
    let count = usize::try_from(hand.dice.between(2, 3)).unwrap_or(2);
    wants.truncate(count);
    let wait_ms = if hand.dice.happens(80) { 600 } else { 0 };
    let asked = json!({"locks": wants, "wait_ms": wait_ms});
    let body = json!({"session": session.id, "locks": wants, "wait_ms": wait_ms});
    let ask = Ask {
        patience: Duration::from_millis(wait_ms),
        ..Ask::post(route::ACQUIRE.to_owned(), body)
    };
    let draft = Event {
        f: "acquire-all".to_owned(),
        session: Some(session.short()),
        value: Some(asked),
        ..Event::default()
    };
    let came = hand.call(draft, &ask, |body| Some(json!({"leases": body["leases"]})));
    let leases = match came.await {
        Came::Done(answer) => answer.body["leases"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        Came::Refused(_) | Came::Nothing => Vec::new(),
    };
    // Looked at whether it was granted or not: nobody has a part of what he asked for.
    for want in &wants {
        hand.holders(want["lock"].as_str().unwrap_or_default())
            .await;
    }
    hand.pause().await;
    for lease in leases {
        if let (Some(lock), Some(fence)) = (lease["lock"].as_str(), lease["fence"].as_u64()) {
            hand.release(session, lock, fence).await;
        }
    }
}

/// One, and while it is held the other; who comes from the other side closes a circle.
async fn pair(hand: &mut Hand, session: &mut Open) {
    let mut order = PAIR;
    hand.dice.shuffle(&mut order);
    let Some(first) = take(hand, session, order[0], json!("exclusive"), 300).await else {
        return;
    };
    hand.renew(session).await;
    let second = take(hand, session, order[1], json!("exclusive"), 1_200).await;
    if let Some(second) = second {
        hand.pause().await;
        hand.release(session, order[1], second).await;
    }
    hand.release(session, order[0], first).await;
}
