//! Hands that change locks, and hands that watch them: each follows the stream of events of one
//! node for a while, breaks off, and goes on at another behind the last event that it saw.

use std::time::Duration;

use lockring_client::wire::route;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::hand::{Came, Hand};
use super::stream::{Sent, Stream};
use crate::history::{Event, Kind};

/// Events in one record; a stream that is faster is cut in pieces.
const EVENTS_MAX: usize = 200;

pub(super) async fn run(mut hand: Hand) {
    match hand.number % 3 {
        2 => watch(hand).await,
        _ => change(&mut hand).await,
    }
}

async fn change(hand: &mut Hand) {
    while hand.goes_on() {
        let ttl = hand.spec.ttl_ms;
        let Some(session) = hand.open(ttl).await else {
            return;
        };
        for _ in 0..4 {
            let key = hand.some_key();
            let wait = if hand.dice.happens(40) { 300 } else { 0 };
            match hand.acquire(&session, &key, wait).await {
                Came::Done(answer) => {
                    let Some(fence) = answer.fence else { break };
                    hand.pause().await;
                    let released = hand.release(&session, &key, fence).await;
                    if !matches!(released, Came::Done(_)) {
                        break;
                    }
                }
                Came::Refused(_) => {}
                // Nobody knows what this session holds now: let it end.
                Came::Nothing => break,
            }
            hand.pause().await;
        }
        // What it still has, if anything, expires.
        if hand.dice.happens(70) {
            hand.close(&session).await;
        }
    }
}

async fn watch(mut hand: Hand) {
    let mut last: Option<String> = None;
    while hand.goes_on() {
        let node = hand.dice.between(1, hand.caller.nodes());
        hand.caller.turn_to(node);
        let time = Duration::from_millis(hand.dice.between(300, 2_500));
        let draft = Event {
            f: "watch".to_owned(),
            // One watcher's streams belong together.
            session: Some(format!("watcher {}", hand.number)),
            node: Some(node),
            value: Some(json!({"after": last})),
            ..Event::default()
        };
        hand.invoke(&draft);
        let url = hand.spec.endpoints[usize::try_from(node - 1).unwrap_or(0)].clone();
        let path = format!("{}?prefix={}", route::EVENTS, route::segment("watch/"));
        let opened = Stream::open(&url, &path, last.as_deref()).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                let error = Some(format!("{error:#}"));
                hand.complete(Kind::Fail, Event { error, ..draft });
                hand.pause().await;
                continue;
            }
        };
        let (seen, ended) = follow(&mut stream, Instant::now() + time).await;
        let mut ids = seen.iter().filter_map(|sent| sent.id.clone());
        // Who was told nothing yet goes on where its stream began.
        let begun = last.clone().or(stream.revision.map(|it| it.to_string()));
        last = ids.next_back().or(begun);
        let rows: Vec<Value> = seen.iter().map(row).collect();
        let told = Event {
            revision: stream.revision,
            value: Some(json!({"events": rows})),
            error: ended,
            ..draft
        };
        hand.complete(Kind::Ok, told);
    }
}

/// What comes until then, and why it ended earlier.
async fn follow(stream: &mut Stream, until: Instant) -> (Vec<Sent>, Option<String>) {
    let mut seen = Vec::new();
    while seen.len() < EVENTS_MAX {
        match timeout_at(until, stream.next()).await {
            Err(_) => return (seen, None),
            Ok(Ok(Some(sent))) => seen.push(sent),
            Ok(Ok(None)) => return (seen, Some("ended".to_owned())),
            Ok(Err(error)) => return (seen, Some(format!("{error:#}"))),
        }
    }
    (seen, None)
}

/// What a history keeps of an event.
fn row(sent: &Sent) -> Value {
    let mut row = json!({"event": sent.event});
    if let Some(id) = &sent.id {
        row["id"] = json!(id);
    }
    for field in ["lock", "session", "fence", "from", "to"] {
        if !sent.data[field].is_null() {
            row[field] = sent.data[field].clone();
        }
    }
    row
}
