//! Hands that are members of a ring, as cache nodes are, and hands that look on.
//!
//! A member holds a session, reads the table again and again, now of this node and now of that,
//! serves what it says is its own, and releases what moves away. What it serves is only noted: two
//! notes that say the same of one slot at one moment are what must not be. It obeys the rules that
//! ring members have: it never goes back to an older table, and stops when its session may be over.

use std::time::Duration;

use lockring_client::Method;
use lockring_client::wire::route;
use serde_json::{Value, json};

use super::call::Ask;
use super::hand::{Came, Hand, Open};
use super::lock::still_lives;
use crate::history::Event;

/// The ring that all hands share.
const RING: &str = "jepsen-lite";

pub(super) async fn run(mut hand: Hand) {
    match hand.number % 3 {
        2 => look_on(&mut hand).await,
        // Some stay and some come and go.
        0 => be_member(&mut hand, 60).await,
        _ => be_member(&mut hand, 12).await,
    }
}

fn draft(f: &str, session: Option<&Open>, asked: Value) -> Event {
    Event {
        f: f.to_owned(),
        key: Some(RING.to_owned()),
        session: session.map(Open::short),
        value: Some(asked),
        ..Event::default()
    }
}

fn put(path: String, body: Value) -> Ask {
    Ask {
        method: Method::Put,
        ..Ask::post(path, body)
    }
}

/// Makes the ring, or finds it made.
async fn configure(hand: &mut Hand) {
    let body = json!({"placement": "exact", "reassign_delay_ms": 1_000});
    let asked = draft("configure", None, Value::Null);
    hand.call(asked, &put(route::ring(RING), body), |_| None)
        .await;
}

async fn look_on(hand: &mut Hand) {
    while hand.goes_on() {
        let node = hand.dice.between(1, hand.caller.nodes());
        hand.caller.turn_to(node);
        let stale = if hand.dice.happens(50) {
            "?consistency=stale"
        } else {
            ""
        };
        let path = format!("{}{stale}", route::ring(RING));
        let look = draft("ring", None, Value::Null);
        hand.call(look, &Ask::get(path), |body| Some(picture(body)))
            .await;
        let time = super::pause(&mut hand.dice, hand.spec.pause_ms / 2);
        hand.rest(time).await;
    }
}

/// What a history keeps of a ring.
fn picture(ring: &Value) -> Value {
    let members = ring["members"].as_array().into_iter().flatten();
    let members = members.map(|row| {
        let kept = ["member", "state", "incarnation", "slots", "share"];
        let kept = kept.map(|field| (field.to_owned(), row[field].clone()));
        Value::Object(kept.into_iter().collect())
    });
    json!({
        "epoch": ring["epoch"],
        "digest": ring["digest"],
        "moving": ring["moving"],
        "members": members.collect::<Vec<_>>(),
    })
}

async fn be_member(hand: &mut Hand, steps: u64) {
    let name = format!("m{}", hand.number);
    while hand.goes_on() {
        let Some(mut session) = hand.open(hand.spec.ttl_ms).await else {
            return;
        };
        configure(hand).await;
        let plan = json!({"changes": [{"join": name}]});
        let planned = draft("plan", Some(&session), json!({"join": name}));
        let ask = Ask::post(route::ring_part(RING, "plan"), plan);
        hand.call(planned, &ask, |body| {
            Some(json!({"epoch": body["epoch"], "digest": body["digest"]}))
        })
        .await;
        let joins = draft("join", Some(&session), json!({"join": name}));
        let body = json!({"session": session.id, "addresses": {}});
        let ask = put(route::ring_member(RING, &name), body);
        let joined = hand.call(joins, &ask, |body| Some(json!({"epoch": body["epoch"]})));
        if let Came::Done(answer) = joined.await {
            let epoch = answer.body["epoch"].as_u64().unwrap_or(0);
            let lives = serve(hand, &mut session, &name, epoch, steps).await;
            if lives.is_some() {
                leave(hand, &mut session, &name, epoch).await;
            }
        }
        hand.close(&session).await;
        hand.pause().await;
    }
}

/// Obeys the table for some steps. `None` when its session is over.
async fn serve(
    hand: &mut Hand,
    session: &mut Open,
    name: &str,
    joined: u64,
    steps: u64,
) -> Option<()> {
    let steps = hand.dice.between(steps / 2, steps * 2);
    let mut newest = joined;
    for _ in 0..steps {
        if !hand.goes_on() {
            break;
        }
        still_lives(hand, session).await?;
        let node = hand.dice.between(1, hand.caller.nodes());
        hand.caller.turn_to(node);
        newest = obey(hand, session, name, newest).await;
        hand.pause().await;
    }
    Some(())
}

/// Reads the table and does what it says. Answers the epoch of the newest that was seen.
async fn obey(hand: &mut Hand, session: &Open, name: &str, newest: u64) -> u64 {
    let stale = if hand.dice.happens(50) {
        "?consistency=stale"
    } else {
        ""
    };
    let path = format!("{}{stale}", route::ring_part(RING, "table"));
    let read = draft("table", Some(session), json!({"member": name}));
    let ask = Ask::get(path);
    let came = hand.call(read, &ask, |body| {
        let epoch = body["epoch"].as_u64().unwrap_or(0);
        let mut told = json!({"epoch": epoch, "table": sum(body)});
        // An older table is not obeyed: what was served before goes on.
        if epoch >= newest {
            told["serves"] = json!(owned(body, name));
        }
        Some(told)
    });
    let Came::Done(answer) = came.await else {
        return newest;
    };
    let epoch = answer.body["epoch"].as_u64().unwrap_or(0);
    if epoch < newest {
        return newest;
    }
    let leaving = moving(&answer.body, name);
    if !leaving.is_empty() {
        let body = json!({
            "member": name,
            "session": session.id,
            "ranges": leaving,
            "epoch": epoch,
        });
        let ask = Ask::post(route::ring_part(RING, "release"), body);
        let gives = draft("release-slots", Some(session), json!({"epoch": epoch}));
        hand.call(gives, &ask, |body| Some(body["released"].clone()))
            .await;
    }
    epoch
}

/// What of a table is a member's to serve: its own, unless it still moves from somebody.
fn owned(table: &Value, name: &str) -> Vec<(u64, u64)> {
    let mut owned = Vec::new();
    for range in table["ranges"].as_array().into_iter().flatten() {
        let (Some(first), Some(last)) = (range[0].as_u64(), range[1].as_u64()) else {
            continue;
        };
        if range[2][0].as_str() != Some(name) {
            continue;
        }
        // What moves lies within ranges, or reaches over their ends.
        let mut from = first;
        for (begin, end) in all_moving(table) {
            if end < from || begin > last {
                continue;
            }
            if begin > from {
                owned.push((from, begin - 1));
            }
            from = end + 1;
        }
        if from <= last {
            owned.push((from, last));
        }
    }
    owned
}

/// The ranges that move, in the order of their slots.
fn all_moving(table: &Value) -> Vec<(u64, u64)> {
    let rows = table["moving"].as_array().into_iter().flatten();
    let ends = rows.filter_map(|row| Some((row["first"].as_u64()?, row["last"].as_u64()?)));
    let mut ranges: Vec<_> = ends.collect();
    ranges.sort_unstable();
    ranges
}

/// The ranges that move away from a member.
fn moving(table: &Value, name: &str) -> Vec<(u64, u64)> {
    let rows = table["moving"].as_array().into_iter().flatten();
    let own = rows.filter(|row| row["from"].as_str() == Some(name));
    own.filter_map(|row| Some((row["first"].as_u64()?, row["last"].as_u64()?)))
        .collect()
}

/// One number for a table (FNV-1a of its text).
fn sum(table: &Value) -> u64 {
    let parts = json!([table["ranges"], table["moving"], table["epochs"]]).to_string();
    let byte = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    parts.bytes().fold(0xcbf2_9ce4_8422_2325, byte)
}

/// Drains and hands over, goes at once, falls silent, or just closes its session.
async fn leave(hand: &mut Hand, session: &mut Open, name: &str, epoch: u64) {
    let path = route::ring_member(RING, name);
    match hand.dice.below(4) {
        0 => {
            let ask = Ask {
                body: None,
                ..Ask::post(format!("{path}/drain"), Value::Null)
            };
            let drains = draft("drain", Some(session), Value::Null);
            hand.call(drains, &ask, |_| None).await;
            let mut newest = epoch;
            for _ in 0..20 {
                if still_lives(hand, session).await.is_none() || !hand.goes_on() {
                    break;
                }
                newest = obey(hand, session, name, newest).await;
                hand.pause().await;
            }
        }
        1 => {
            let ask = Ask {
                method: Method::Delete,
                ..Ask::get(path)
            };
            let leaves = draft("leave", Some(session), Value::Null);
            hand.call(leaves, &ask, |_| None).await;
        }
        2 => {
            let ttl = Duration::from_millis(hand.spec.ttl_ms);
            hand.rest(ttl + ttl / 2).await;
            // One that is not gone yet is closed by the caller.
            hand.renew(session).await;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_not_served_by_who_will_have_it() {
        let table = json!({
            "epoch": 4,
            "ranges": [[0, 99, ["a", "b"]], [100, 199, ["b", "a"]], [200, 299, ["a", "b"]]],
            "moving": [
                {"first": 250, "last": 299, "from": "b", "to": "a"},
                {"first": 10, "last": 19, "from": "b", "to": "a"},
                {"first": 0, "last": 4, "from": "c", "to": "a"},
            ],
        });
        assert_eq!(owned(&table, "a"), [(5, 9), (20, 99), (200, 249)]);
        assert_eq!(owned(&table, "b"), [(100, 199)]);
        assert_eq!(moving(&table, "b"), [(250, 299), (10, 19)]);
        let mut other = table.clone();
        other["moving"] = json!([]);
        assert_ne!(sum(&table), sum(&other));
    }
}
