//! Users of the cache: who writes rising numbers and reads them back through every node, who reads
//! what others write, and who asks for a value that no node has yet, many at a time.

use lockring_client::wire::route;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::hand::Hand;
use super::resp::{Reply, Resp};
use super::{CacheNode, pause};
use crate::history::{Event, Kind};
use crate::resource;

/// Requests for a cold key at a time.
const CROWD: usize = 9;

pub(super) async fn run(mut hand: Hand) {
    match hand.number % 3 {
        0 => write(&mut hand).await,
        1 => read(&mut hand).await,
        _ => ask_together(&mut hand).await,
    }
}

fn draft(f: &str, key: &str, node: usize) -> Event {
    Event {
        f: f.to_owned(),
        key: Some(key.to_owned()),
        node: u64::try_from(node + 1).ok(),
        ..Event::default()
    }
}

/// The keys of one writer, one after the other: after a write of unknown outcome, which may still
/// be done at any time, it takes the next.
fn key(writer: i64, nth: u64) -> String {
    format!("cache/{writer}/{nth}")
}

/// Some node's address: that for any client, or that for those who know the slots.
fn somewhere(hand: &mut Hand) -> Option<(usize, String)> {
    let count = hand.spec.caches.len() as u64;
    let at = usize::try_from(hand.dice.below(count)).ok()?;
    let CacheNode { resp, proxy } = hand.spec.caches.get(at)?;
    let address = if hand.dice.happens(70) { proxy } else { resp };
    Some((at, address.clone()))
}

async fn ask(address: &str, words: &[&str]) -> anyhow::Result<Reply> {
    Resp::connect(address).await?.ask(words).await
}

async fn write(hand: &mut Hand) {
    let (mut nth, mut value) = (0, 0);
    while hand.goes_on() {
        let name = key(hand.number, nth);
        let Some((at, address)) = somewhere(hand) else {
            return;
        };
        value += 1;
        let event = Event {
            value: Some(json!(value)),
            ..draft("set", &name, at)
        };
        hand.invoke(&event);
        match ask(&address, &["SET", &name, &value.to_string()]).await {
            Ok(Reply::Text(_)) => hand.complete(Kind::Ok, event),
            // The slot is another's: this node did nothing, and asked nobody.
            Ok(Reply::Error(error)) if error.starts_with("MOVED ") => {
                let error = Some(error);
                hand.complete(Kind::Fail, Event { error, ..event });
            }
            Ok(other) => {
                let error = Some(format!("{other:?}"));
                hand.complete(Kind::Info, Event { error, ..event });
                nth += 1;
            }
            Err(error) => {
                let error = Some(format!("{error:#}"));
                hand.complete(Kind::Info, Event { error, ..event });
                nth += 1;
            }
        }
        for _ in 0..2 {
            get(hand, &name).await;
        }
        hand.pause().await;
    }
}

/// Reads a key somewhere. Answers whether there was a value.
async fn get(hand: &mut Hand, name: &str) -> bool {
    let Some((at, address)) = somewhere(hand) else {
        return false;
    };
    let event = draft("get", name, at);
    hand.invoke(&event);
    let (kind, value, error) = match ask(&address, &["GET", name]).await {
        Ok(Reply::Nil) => (Kind::Ok, Value::Null, None),
        Ok(Reply::Text(text)) => {
            let number = text
                .parse::<u64>()
                .map_or(json!(text), |number| json!(number));
            (Kind::Ok, number, None)
        }
        Ok(Reply::Error(error)) => (Kind::Fail, Value::Null, Some(error)),
        Err(error) => (Kind::Fail, Value::Null, Some(format!("{error:#}"))),
    };
    let found = kind == Kind::Ok && !value.is_null();
    let told = Event {
        value: Some(value),
        error,
        ..event
    };
    hand.complete(kind, told);
    found
}

/// Follows the writers from key to key.
async fn read(hand: &mut Hand) {
    let [first, count] = hand.spec.of_workload;
    let writers: Vec<i64> = (first..first + count)
        .filter(|hand| hand % 3 == 0)
        .collect();
    let mut at = vec![0; writers.len()];
    while hand.goes_on() {
        for (writer, nth) in writers.iter().zip(&mut at) {
            get(hand, &key(*writer, *nth)).await;
            if hand.dice.happens(20) && get(hand, &key(*writer, *nth + 1)).await {
                *nth += 1;
            }
        }
        let time = pause(&mut hand.dice, hand.spec.pause_ms / 2);
        hand.rest(time).await;
    }
}

/// Many at a time ask, at all nodes, for what none has; then the origin is asked under which epochs
/// it was.
async fn ask_together(hand: &mut Hand) {
    let Some(origin) = hand.spec.origin else {
        return;
    };
    let mut nth = 0;
    while hand.goes_on() {
        nth += 1;
        let name = format!("cold-{}-{nth}", hand.number);
        let event = draft("cold", &name, 0);
        hand.invoke(&event);
        let mut crowd = JoinSet::new();
        for node in hand.spec.caches.iter().cycle().take(CROWD) {
            let (address, name) = (node.proxy.clone(), name.clone());
            crowd.spawn(async move { ask(&address, &["GET", &name]).await });
        }
        let mut answers = Vec::new();
        let mut error = None;
        while let Some(answer) = crowd.join_next().await {
            match answer {
                Ok(Ok(Reply::Text(text))) => answers.push(text),
                Ok(Ok(Reply::Nil)) => answers.push(String::new()),
                Ok(Ok(Reply::Error(why))) => error = Some(why),
                Ok(Err(why)) => error = Some(format!("{why:#}")),
                Err(why) => error = Some(why.to_string()),
            }
        }
        let path = route::segment(&name);
        match resource::loads_of(origin, &path).await {
            Ok(epochs) if error.is_none() => {
                let value = Some(json!({"epochs": epochs, "answers": answers}));
                hand.complete(Kind::Ok, Event { value, ..event });
            }
            Ok(_) => hand.complete(Kind::Fail, Event { error, ..event }),
            Err(why) => {
                let error = Some(format!("{why:#}"));
                hand.complete(Kind::Fail, Event { error, ..event });
            }
        }
        hand.pause().await;
    }
}
