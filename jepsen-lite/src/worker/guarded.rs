//! Hands that change something outside of the service while they hold a lock, as services do.
//!
//! They use the client crate: a session that is kept alive, a guard for each lease. What they do
//! not do is look at the guard once more before they write, because between that look and the
//! write there is always a moment in which a process can be stopped. Only the resource can close
//! that gap.

use std::time::Duration;

use lockring_client::{Client, LockGuard, Session};
use serde_json::{Value, json};

use super::hand::Hand;
use crate::history::{Event, Kind};
use crate::resource::{Answer, Request, Resource};
use crate::workload::Workload;

/// How long a hand waits for a lock before it tries another.
const WAIT: Duration = Duration::from_secs(3);

pub(super) async fn run(workload: Workload, mut hand: Hand) {
    while hand.goes_on() {
        // The session is lost, or the resource: begin again with new ones.
        let _ = with_session(workload, &mut hand).await;
        hand.pause().await;
    }
}

async fn with_session(workload: Workload, hand: &mut Hand) -> anyhow::Result<()> {
    let address = hand.resource();
    let address = address.ok_or_else(|| anyhow::anyhow!("there is no resource"))?;
    let mut resource = Resource::connect(address).await?;
    let client = Client::new(hand.spec.endpoints.clone())?;
    let ttl = Duration::from_millis(hand.spec.ttl_ms);
    let owner = format!("{} {}", workload.name(), hand.number);
    let session = client.session().ttl(ttl).owner(owner).open().await?;
    let mut nth = 0;
    while hand.goes_on() {
        let key = hand.some_key();
        if let Some(guard) = take(hand, &session, &key).await? {
            let fence = guard.fence().number();
            nth += 1;
            let done = match workload {
                Workload::Register => register(hand, &mut resource, &key, fence, nth).await,
                _ => add(hand, &mut resource, &key, fence, nth).await,
            };
            give(hand, &session, &key, guard).await;
            done?;
        }
        hand.pause().await;
    }
    session.close().await?;
    Ok(())
}

fn draft(f: &str, key: &str) -> Event {
    Event {
        f: f.to_owned(),
        key: Some(key.to_owned()),
        ..Event::default()
    }
}

fn short(session: &Session) -> String {
    session.id().chars().take(8).collect()
}

/// An error when the session is lost.
async fn take(hand: &mut Hand, session: &Session, key: &str) -> anyhow::Result<Option<LockGuard>> {
    let event = Event {
        session: Some(short(session)),
        ttl_ms: Some(hand.spec.ttl_ms),
        ..draft("acquire", key)
    };
    hand.invoke(&event);
    let acquired = session.acquire_for(key, WAIT).await;
    match acquired {
        Ok(guard) => {
            let fence = Some(guard.fence().number());
            hand.complete(Kind::Ok, Event { fence, ..event });
            Ok(Some(guard))
        }
        Err(error) => {
            let told = Event {
                error: Some(error.to_string()),
                ..event
            };
            // What may have been granted is given back by the session.
            hand.complete(Kind::Fail, told);
            match error.is_held() {
                true => Ok(None),
                false => Err(error.into()),
            }
        }
    }
}

async fn give(hand: &mut Hand, session: &Session, key: &str, guard: LockGuard) {
    let event = Event {
        session: Some(short(session)),
        fence: Some(guard.fence().number()),
        ..draft("release", key)
    };
    hand.invoke(&event);
    match guard.release().await {
        Ok(()) => hand.complete(Kind::Ok, event),
        Err(error) => {
            let error = Some(error.to_string());
            hand.complete(Kind::Fail, Event { error, ..event });
        }
    }
}

/// Reads the set, thinks, and writes it back with one element more.
async fn add(
    hand: &mut Hand,
    resource: &mut Resource,
    key: &str,
    fence: u64,
    nth: u64,
) -> anyhow::Result<()> {
    let element = json!(format!("{}-{nth}-{fence}", hand.number));
    let event = Event {
        fence: Some(fence),
        value: Some(element.clone()),
        ..draft("add", key)
    };
    hand.invoke(&event);
    let change = |old: Value| {
        let mut elements = old.as_array().cloned().unwrap_or_default();
        elements.push(element);
        Value::Array(elements)
    };
    let changed = change_value(hand, resource, key, fence, change).await;
    conclude(hand, event, changed)
}

/// What became of a change: done, refused by the gate, or nobody knows.
type Changed = anyhow::Result<Result<(Value, Value), u64>>;

async fn change_value(
    hand: &mut Hand,
    resource: &mut Resource,
    key: &str,
    fence: u64,
    change: impl FnOnce(Value) -> Value,
) -> Changed {
    let key = key.to_owned();
    let read = Request::Read {
        key: key.clone(),
        fence,
    };
    let old = match resource.ask(&read).await? {
        Answer::Done { value } => value,
        Answer::Stale { highest } => return Ok(Err(highest)),
    };
    // Who changes a set thinks for longer than it does anything else: that is when it has to be
    // stopped for its change to come too late.
    let pauses = match hand.spec.workload {
        Workload::Register => 1,
        _ => 3,
    };
    for _ in 0..pauses {
        hand.pause().await;
    }
    let value = change(old.clone());
    let write = Request::Write {
        key,
        fence,
        value: value.clone(),
    };
    Ok(match resource.ask(&write).await? {
        Answer::Done { .. } => Ok((old, value)),
        Answer::Stale { highest } => Err(highest),
    })
}

fn conclude(hand: &mut Hand, event: Event, changed: Changed) -> anyhow::Result<()> {
    match changed {
        Ok(Ok(_)) => hand.complete(Kind::Ok, event),
        Ok(Err(highest)) => {
            let error = Some(format!("stale: {highest} was seen"));
            hand.complete(Kind::Fail, Event { error, ..event });
        }
        Err(error) => {
            let told = Some(error.to_string());
            hand.complete(
                Kind::Info,
                Event {
                    error: told,
                    ..event
                },
            );
            return Err(error);
        }
    }
    Ok(())
}

/// Reads, writes, or reads and writes the register under a key.
async fn register(
    hand: &mut Hand,
    resource: &mut Resource,
    key: &str,
    fence: u64,
    nth: u64,
) -> anyhow::Result<()> {
    let new = json!(hand.number * 1_000_000 + i64::try_from(nth)?);
    let named = |f: &str, value: Option<Value>| Event {
        fence: Some(fence),
        value,
        ..draft(f, key)
    };
    let owned = key.to_owned();
    match hand.dice.below(3) {
        0 => {
            let event = named("read", None);
            hand.invoke(&event);
            hand.pause().await;
            let read = resource.ask(&Request::Read { key: owned, fence }).await;
            let read = read.map(|answer| match answer {
                Answer::Done { value } => Ok(value),
                Answer::Stale { highest } => Err(highest),
            });
            let value = match &read {
                Ok(Ok(value)) => Some(value.clone()),
                Ok(Err(_)) | Err(_) => None,
            };
            let read = read.map(|read| read.map(|value| (value, Value::Null)));
            conclude(hand, Event { value, ..event }, read)
        }
        1 => {
            let event = named("write", Some(new.clone()));
            hand.invoke(&event);
            hand.pause().await;
            let write = Request::Write {
                key: owned,
                fence,
                value: new,
            };
            let wrote = resource.ask(&write).await.map(|answer| match answer {
                Answer::Done { value } => Ok((Value::Null, value)),
                Answer::Stale { highest } => Err(highest),
            });
            conclude(hand, event, wrote)
        }
        _ => {
            let event = named("cas", Some(json!([Value::Null, new])));
            hand.invoke(&event);
            let changed = change_value(hand, resource, key, fence, |_| new).await;
            let value = match &changed {
                Ok(Ok((old, new))) => Some(json!([old, new])),
                Ok(Err(_)) | Err(_) => event.value.clone(),
            };
            conclude(hand, Event { value, ..event }, changed)
        }
    }
}
