//! Rules that take several calls to see: who goes before whom, who waits for whom, what a key
//! stands for.

use std::time::Duration;

use lockring::http::{Options, Permission, Token, Tokens};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::node::Node;
use super::raw::{Answer, raw, request};

const WAIT_MS: u64 = 20_000;

async fn acquire(node: &Node, lock: &str, ask: Value) -> Answer {
    let path = format!("/v1/locks/{lock}/acquire");
    node.post(&path, &ask.to_string()).await
}

/// Begins an acquire that waits, and comes back when it has its place.
async fn wait(
    node: &Node,
    lock: &str,
    place: u64,
    session: &str,
    mode: &str,
) -> JoinHandle<Answer> {
    let ask = json!({"session": session, "mode": mode, "wait_ms": WAIT_MS}).to_string();
    let request = request("POST", &format!("/v1/locks/{lock}/acquire"), "", &ask);
    let at = node.at;
    let waiting = tokio::spawn(async move { raw(at, &request).await });
    node.lock_until(lock, |seen| seen["queue_total"] == place)
        .await;
    waiting
}

async fn fence(waiting: JoinHandle<Answer>) -> u64 {
    let granted = waiting.await.unwrap().success(200);
    granted["fence"].as_u64().unwrap()
}

async fn sessions(node: &Node, owners: &[&str]) -> Vec<String> {
    let mut sessions = Vec::new();
    for owner in owners {
        sessions.push(node.session(owner).await);
    }
    sessions
}

#[tokio::test]
async fn sharers_go_together_and_never_before_an_exclusive_one_that_waits() {
    let node = Node::alone().await;
    let ids = sessions(&node, &["reader", "writer", "late", "later"]).await;
    let shared = json!({"session": ids[0], "mode": "shared"});
    let first = acquire(&node, "s", shared).await.success(200);
    let writer = wait(&node, "s", 1, &ids[1], "exclusive").await;
    // It would go together with the one that holds it, but not before the one that waits.
    let refused = acquire(&node, "s", json!({"session": ids[2], "mode": "shared"})).await;
    refused.problem(409, "held");
    let late = wait(&node, "s", 2, &ids[2], "shared").await;
    let later = wait(&node, "s", 3, &ids[3], "shared").await;
    let first = first["fence"].as_u64().unwrap();
    node.release("s", &ids[0], first).await.success(200);
    let written = fence(writer).await;
    let seen = node.get("/v1/locks/s").await.success(200);
    assert_eq!(
        (&seen["holders_total"], &seen["queue_total"]),
        (&1.into(), &2.into())
    );

    let released = node.release("s", &ids[1], written).await;
    let (late, later) = (late.await.unwrap(), later.await.unwrap());
    for granted in [&late, &later] {
        assert_eq!(granted.success(200)["mode"], "shared");
        assert_eq!(
            granted.revision(),
            released.revision(),
            "both by one command"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_second_upgrader_is_refused_for_neither_could_ever_go_on() {
    let node = Node::alone().await;
    let ids = sessions(&node, &["one", "two"]).await;
    for id in &ids {
        let shared = json!({"session": id, "mode": "shared"});
        acquire(&node, "u", shared).await.success(200);
    }
    let upgrading = wait(&node, "u", 1, &ids[0], "exclusive").await;
    let second = json!({"session": ids[1], "mode": "exclusive", "wait_ms": WAIT_MS});
    let refused = acquire(&node, "u", second).await.problem(409, "deadlock");
    let cycle = refused["cycle"].as_array().unwrap();
    let owners: Vec<_> = cycle.iter().map(|step| step["owner"].clone()).collect();
    assert_eq!(owners, ["two", "one"]);
    let path = format!("/v1/sessions/{}", ids[1]);
    node.call("DELETE", &path, "").await.success(200);
    fence(upgrading).await;
    node.stop().await;
}

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Five sessions, each of which holds the lock that is called as its owner.
async fn five(node: &Node) -> Vec<String> {
    let ids = sessions(node, &FIVE).await;
    for (lock, id) in FIVE.iter().zip(&ids) {
        acquire(node, lock, json!({"session": id}))
            .await
            .success(200);
    }
    ids
}

#[tokio::test]
async fn a_circle_of_five_is_refused_to_the_one_that_closes_it() {
    let node = Node::alone().await;
    let ids = five(&node).await;
    let mut waiting = Vec::new();
    for nth in 0..4 {
        let next = FIVE[nth + 1];
        waiting.push(wait(&node, next, 1, &ids[nth], "exclusive").await);
    }
    let last = json!({"session": ids[4], "wait_ms": WAIT_MS});
    let refused = acquire(&node, "a", last).await.problem(409, "deadlock");
    let cycle = refused["cycle"].as_array().unwrap();
    let steps: Vec<_> = cycle
        .iter()
        .map(|step| ["owner", "holds", "wants"].map(|field| step[field].as_str().unwrap()))
        .collect();
    let wanted = [
        ["e", "e", "a"],
        ["a", "a", "b"],
        ["b", "b", "c"],
        ["c", "c", "d"],
        ["d", "d", "e"],
    ];
    assert_eq!(steps, wanted);
    assert!(
        cycle
            .iter()
            .zip([4, 0, 1, 2, 3])
            .all(|(step, nth)| step["session"] == ids[nth][..8])
    );
    // The refusal left the others as they were: when it gives up what it has, all go on in turn.
    for (nth, waiting) in waiting.into_iter().enumerate().rev() {
        let path = format!("/v1/sessions/{}", ids[nth + 1]);
        node.call("DELETE", &path, "").await.success(200);
        fence(waiting).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn the_same_five_requests_without_a_circle_all_succeed() {
    let node = Node::alone().await;
    let ids = five(&node).await;
    let path = format!("/v1/sessions/{}", ids[4]);
    let mut waiting = Vec::new();
    for nth in 0..4 {
        waiting.push(wait(&node, FIVE[nth + 1], 1, &ids[nth], "exclusive").await);
    }
    // The one at the end does not ask for the first lock before it has let go of its own.
    node.call("DELETE", &path, "").await.success(200);
    let again = node.session("e").await;
    let last = wait(&node, "a", 1, &again, "exclusive").await;
    for (nth, waiting) in waiting.into_iter().enumerate().rev() {
        fence(waiting).await;
        let path = format!("/v1/sessions/{}", ids[nth]);
        node.call("DELETE", &path, "").await.success(200);
    }
    fence(last).await;
    node.stop().await;
}

/// A session after whose losses locks are closed for a minute.
async fn session_with_delay(node: &Node, ttl_ms: u64) -> String {
    let open = json!({"ttl_ms": ttl_ms, "lock_delay_ms": 60_000}).to_string();
    let opened = node.post("/v1/sessions", &open).await.success(201);
    opened["session"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_lock_is_closed_after_an_expiry_and_not_after_a_release() {
    let node = Node::alone().await;
    let session = session_with_delay(&node, 60_000).await;
    let lease = acquire(&node, "clean", json!({"session": session})).await;
    let fence = lease.success(200)["fence"].as_u64().unwrap();
    node.release("clean", &session, fence).await.success(200);
    node.hold("clean").await;

    loop {
        let session = session_with_delay(&node, 500).await;
        let lease = acquire(&node, "lost", json!({"session": session})).await;
        if lease.status == 200 {
            break;
        }
        // On a busy machine it may be over before it has begun.
        lease.problem(410, "session_gone");
    }
    node.lock_until("lost", |seen| seen["holders_total"] == 0)
        .await;
    let refused = acquire(&node, "lost", json!({})).await;
    let problem = refused.problem(409, "delayed");
    assert!(problem["retry_after_ms"].as_u64().unwrap() <= 60_000);
    node.stop().await;
}

#[tokio::test]
async fn many_locks_have_one_longest_hold_and_one_deadline() {
    let node = Node::alone().await;
    let ids = sessions(&node, &["one", "two"]).await;
    let locks = json!([{"lock": "x"}, {"lock": "y", "mode": "shared"}]);
    let ask = |nth: usize, field: &str, ms: u64| {
        let mut body = json!({"session": ids[nth], "locks": locks});
        body[field] = ms.into();
        body.to_string()
    };
    let long = ask(0, "max_hold_ms", 60_000);
    let held = node.post("/v1/acquire", &long).await.success(200);
    assert!(held["hold_ends_in_ms"].as_u64().unwrap() <= 60_000);
    let late = node.post("/v1/acquire", &ask(1, "wait_ms", 30)).await;
    let problem = late.problem(408, "wait_timeout");
    assert_eq!(problem["holders"][0]["session"], ids[0][..8]);
    let path = format!("/v1/sessions/{}", ids[0]);
    node.call("DELETE", &path, "").await.success(200);
    let short = ask(1, "max_hold_ms", 100);
    node.post("/v1/acquire", &short).await.success(200);
    for lock in ["x", "y"] {
        node.lock_until(lock, |seen| seen["state"] == "free").await;
    }
    node.stop().await;
}

#[tokio::test]
async fn every_change_is_made_once_under_its_key() {
    let node = Node::alone().await;
    let ids = sessions(&node, &["from", "to"]).await;
    let lease = acquire(&node, "k", json!({"session": ids[0]})).await;
    let fence = lease.success(200)["fence"].as_u64().unwrap();
    let own = json!({"session": ids[0], "fence": fence});
    let with = |field: &str, value: Value| {
        let mut body = own.clone();
        body[field] = value;
        body
    };
    let given = json!({"session": ids[1], "fence": null});
    let revoke = json!({"reason": "r", "deadline_ms": 60_000});
    let mut calls = [
        ("PUT", "/v1/locks/k/value", with("value", "v".into())),
        (
            "POST",
            "/v1/locks/k/transfer",
            with("to", ids[1].clone().into()),
        ),
        ("POST", "/v1/locks/k/revoke", revoke),
        ("POST", "/v1/locks/k/release", given),
        ("POST", "/v1/locks/b/break", json!({"reason": "b"})),
    ];
    node.hold("b").await;
    let mut newest = fence;
    for (nth, (method, path, body)) in calls.iter_mut().enumerate() {
        if body["fence"].is_null() && path.ends_with("release") {
            body["fence"] = newest.into();
        }
        let (key, body) = (format!("once-{nth}"), body.to_string());
        let first = node.keyed(method, path, &key, &body).await.success(200);
        newest = first["fence"].as_u64().unwrap_or(newest);
        // Whoever comes between is not touched by the repetition.
        let again = node.keyed(method, path, &key, &body).await.success(200);
        assert_eq!(
            (&first["replayed"], &again["replayed"]),
            (&false.into(), &true.into()),
            "{path}"
        );
        let (mut first, mut again) = (first, again);
        for answer in [&mut first, &mut again] {
            answer["replayed"] = Value::Null;
            answer["deadline_in_ms"] = Value::Null;
        }
        assert_eq!(first, again, "{path}");
    }
    let (_, after) = node.hold("b").await;
    let again = json!({"reason": "b"}).to_string();
    let again = node
        .keyed("POST", "/v1/locks/b/break", "once-4", &again)
        .await;
    again.success(200);
    let seen = node.get("/v1/locks/b").await.success(200);
    assert_eq!(
        seen["highest_fence"], after,
        "the next holder has its lease still"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_key_counts_for_the_token_that_it_came_with() {
    let token = |text: &str| Token {
        sha256: Sha256::digest(text).into(),
        permissions: vec![Permission::Read, Permission::Lock],
    };
    let options = Options {
        tokens: Tokens::new(vec![token("alice"), token("bob")]),
        ..Options::default()
    };
    let node = Node::with(options, Duration::from_secs(25)).await;
    let ask = async |path: &str, key: &str, token: &str| {
        let headers = format!("authorization: Bearer {token}\r\nidempotency-key: {key}\r\n");
        let request = request("POST", path, &headers, r#"{"owner":"both"}"#);
        raw(node.at, &request).await
    };
    let mut opened = Vec::new();
    for token in ["alice", "bob", "alice"] {
        let answer = ask("/v1/sessions", "open", token).await.success(201);
        opened.push((answer["session"].clone(), answer["replayed"] == true));
    }
    assert_ne!(
        opened[0].0, opened[1].0,
        "nobody comes by another's session through its key"
    );
    assert_eq!(opened[0].0, opened[2].0);
    assert_eq!(
        [opened[0].1, opened[1].1, opened[2].1],
        [false, false, true]
    );

    // A lease that is acquired without a session opens one, so the same holds for it.
    let lease = ask("/v1/locks/k/acquire", "lease", "alice")
        .await
        .success(200);
    ask("/v1/locks/k/acquire", "lease", "bob")
        .await
        .problem(409, "held");
    let again = ask("/v1/locks/k/acquire", "lease", "alice")
        .await
        .success(200);
    assert_eq!(
        (&again["fence"], &again["replayed"]),
        (&lease["fence"], &true.into())
    );
    node.stop().await;
}
