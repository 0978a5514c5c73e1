//! The whole lock family: modes, many locks at once, values, transfer, revoke, break.

use std::time::Duration;

use lockring::http::Options;
use serde_json::{Value, json};

use super::node::Node;
use super::stream::Stream;

async fn acquire(node: &Node, lock: &str, body: &Value) -> super::raw::Answer {
    let path = format!("/v1/locks/{lock}/acquire");
    node.post(&path, &body.to_string()).await
}

async fn many(node: &Node, body: &Value) -> super::raw::Answer {
    node.post("/v1/acquire", &body.to_string()).await
}

#[tokio::test]
async fn shared_holders_are_together_and_keep_an_exclusive_one_out() {
    let node = Node::alone().await;
    for owner in ["one", "two"] {
        let lease = acquire(&node, "s", &json!({"mode": "shared", "owner": owner})).await;
        assert_eq!(lease.success(200)["mode"], "shared");
    }
    let seen = node.get("/v1/locks/s").await.success(200);
    assert_eq!(seen["holders_total"], 2);
    assert_eq!(seen["holders"][1]["mode"], "shared");
    acquire(&node, "s", &json!({})).await.problem(409, "held");
    node.stop().await;
}

#[tokio::test]
async fn permits_are_given_out_until_there_are_none() {
    let node = Node::alone().await;
    let two = json!({"mode": {"permits": 2, "of": 3}});
    let lease = acquire(&node, "p", &two).await.success(200);
    assert_eq!(lease["mode"], two["mode"]);
    acquire(&node, "p", &two).await.problem(409, "held");
    let one = json!({"mode": {"permits": 1, "of": 3}});
    acquire(&node, "p", &one).await.success(200);
    node.stop().await;
}

#[tokio::test]
async fn a_lease_goes_down_and_up_again_under_new_fences() {
    let node = Node::alone().await;
    let session = node.session("s").await;
    let mut last = 0;
    for mode in ["exclusive", "shared", "exclusive"] {
        let lease = acquire(&node, "m", &json!({"session": session, "mode": mode})).await;
        let lease = lease.success(200);
        assert_eq!(lease["mode"], mode);
        assert!(lease["fence"].as_u64().unwrap() > last);
        last = lease["fence"].as_u64().unwrap();
    }
    let page = node.get("/v1/locks/m/history").await.success(200);
    let events = page["events"].as_array().unwrap().iter();
    let causes: Vec<_> = events.filter_map(|event| event["cause"].as_str()).collect();
    assert_eq!(causes, ["downgraded", "upgraded"]);
    node.stop().await;
}

#[tokio::test]
async fn an_upgrade_waits_for_the_other_holders_only() {
    let node = Node::alone().await;
    let (up, other) = (node.session("up").await, node.session("other").await);
    let shared = |session: &str| json!({"session": session, "mode": "shared"});
    acquire(&node, "u", &shared(&up)).await.success(200);
    let lease = acquire(&node, "u", &shared(&other)).await.success(200);
    let ask = json!({"session": up, "wait_ms": 20_000});
    let upgrading = acquire(&node, "u", &ask);
    let releasing = async {
        node.lock_until("u", |lock| lock["queue_total"] == 1).await;
        let fence = lease["fence"].as_u64().unwrap();
        node.release("u", &other, fence).await.success(200);
    };
    let (upgraded, ()) = tokio::join!(upgrading, releasing);
    assert_eq!(upgraded.success(200)["mode"], "exclusive");
    node.stop().await;
}

#[tokio::test]
async fn many_locks_are_granted_by_one_command_or_not_at_all() {
    let node = Node::alone().await;
    let session = node.session("batch").await;
    let locks: Vec<_> = (0..1024)
        .map(|nth| json!({"lock": format!("b/{nth:04}")}))
        .collect();
    let before = node.get("/v1/locks/x").await.revision();
    let answer = many(&node, &json!({"session": session, "locks": locks})).await;
    let granted = answer.success(200);
    assert_eq!(answer.revision(), before + 1, "one command");
    assert_eq!(granted["leases"].as_array().unwrap().len(), 1024);
    assert_eq!(granted["leases"][0]["lock"], "b/0000");

    let other = node.session("other").await;
    let mixed = json!([{"lock": "free", "mode": "shared"}, {"lock": "b/0007"}]);
    let refused = many(&node, &json!({"session": other, "locks": mixed})).await;
    refused.problem(409, "held");
    let free = node.get("/v1/locks/free").await.success(200);
    assert_eq!(free["state"], "free", "nothing is left of it");
    node.stop().await;
}

#[tokio::test]
async fn a_wait_for_many_locks_is_sent_away_taken_up_and_granted_at_once() {
    let window = Duration::from_millis(50);
    let node = Node::with(Options::default(), window).await;
    let (holder, fence) = node.hold("m2").await;
    let session = node.session("many").await;
    let locks = json!([{"lock": "m1"}, {"lock": "m2"}]);
    let ask = json!({"session": session, "locks": locks, "wait_ms": 20_000}).to_string();
    let first = node.keyed("POST", "/v1/acquire", "all", &ask).await;
    let ticket = first.success(202)["ticket"].clone();
    let seen = node.get("/v1/locks/m1").await.success(200);
    assert_eq!(
        (&seen["state"], &seen["queue_total"]),
        (&"free".into(), &1.into())
    );
    let again = node.keyed("POST", "/v1/acquire", "all", &ask).await;
    assert_eq!(again.success(202)["ticket"], ticket);
    node.release("m2", &holder, fence).await.success(200);
    let granted = node.keyed("POST", "/v1/acquire", "all", &ask).await;
    let granted = granted.success(200);
    assert_eq!(granted["replayed"], true);
    assert_eq!(granted["leases"].as_array().unwrap().len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn a_parked_wait_for_many_locks_is_answered_by_the_release() {
    let node = Node::alone().await;
    let (holder, fence) = node.hold("w2").await;
    let session = node.session("many").await;
    let locks = json!([{"lock": "w1"}, {"lock": "w2"}]);
    let ask = json!({"session": session, "locks": locks, "wait_ms": 20_000});
    let waiting = many(&node, &ask);
    let releasing = async {
        node.lock_until("w1", |lock| lock["queue_total"] == 1).await;
        node.release("w2", &holder, fence).await
    };
    let (granted, released) = tokio::join!(waiting, releasing);
    assert_eq!(granted.success(200)["leases"].as_array().unwrap().len(), 2);
    assert_eq!(
        granted.revision(),
        released.revision(),
        "one command did both"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_lease_is_seen_with_its_value_until_another() {
    let node = Node::alone().await;
    let session = node.session("s").await;
    let ask = json!({"session": session, "value": "10.0.0.1"});
    let lease = acquire(&node, "v", &ask).await.success(200);
    let seen = node.get("/v1/locks/v").await.success(200);
    assert_eq!(seen["holders"][0]["value"], "10.0.0.1");
    let fence = lease["fence"].as_u64().unwrap();
    let set = json!({"session": session, "fence": fence, "value": "10.0.0.2"}).to_string();
    let answer = node.call("PUT", "/v1/locks/v/value", &set).await;
    assert_eq!(answer.success(200)["set"], true);
    let seen = node.get("/v1/locks/v").await.success(200);
    assert_eq!(seen["holders"][0]["value"], "10.0.0.2");
    let stale = json!({"session": session, "fence": fence + 1, "value": ""}).to_string();
    let stale = node.call("PUT", "/v1/locks/v/value", &stale).await;
    stale.problem(412, "fence_stale");
    node.stop().await;
}

#[tokio::test]
async fn a_lease_is_given_to_another_session_and_both_are_told() {
    let node = Node::alone().await;
    let (from, to) = (node.session("from").await, node.session("to").await);
    let lease = acquire(&node, "t", &json!({"session": from}))
        .await
        .success(200);
    let fence = lease["fence"].as_u64().unwrap();
    let events = |session: &str| format!("/v1/sessions/{session}/events");
    let mut giver = Stream::open(node.at, &events(&from), "").await;
    let mut taker = Stream::open(node.at, &events(&to), "").await;
    // Its first digits are enough to name it: only its owner knows the whole.
    let give = json!({"session": from, "fence": fence, "to": to[..8]}).to_string();
    let answer = node.post("/v1/locks/t/transfer", &give).await;
    let next = answer.success(200)["fence"].as_u64().unwrap();
    assert!(next > fence);
    assert_eq!(answer.header("lockring-fence"), Some(&*next.to_string()));
    let lost = giver.next().await.unwrap();
    assert_eq!(lost.data["cause"], "transferred");
    let granted = taker.next().await.unwrap();
    assert_eq!(
        (&*granted.event, &granted.data["fence"]),
        ("granted", &next.into())
    );
    node.release("t", &to, next).await.success(200);
    let late = json!({"session": from, "fence": fence, "to": "00000000"}).to_string();
    let late = node.post("/v1/locks/t/transfer", &late).await;
    late.problem(404, "not_found");
    node.stop().await;
}

#[tokio::test]
async fn a_revoke_asks_the_holder_and_ends_what_it_does_not_give_up() {
    let node = Node::alone().await;
    let session = node.session("slow").await;
    acquire(&node, "r", &json!({"session": session}))
        .await
        .success(200);
    let path = format!("/v1/sessions/{session}/events");
    let mut stream = Stream::open(node.at, &path, "").await;
    let ask = r#"{"reason":"maintenance","deadline_ms":300}"#;
    let answer = node.post("/v1/locks/r/revoke", ask).await.success(200);
    assert_eq!(answer["leases"], 1);
    let asked = stream.next().await.unwrap();
    assert_eq!(asked.event, "revoke_requested");
    assert_eq!(asked.data["reason"], "maintenance");
    assert!(asked.data["deadline_in_ms"].as_u64().unwrap() <= 300);
    let lost = stream.next().await.unwrap();
    assert_eq!(
        (&*lost.event, &lost.data["cause"]),
        ("lost", &"revoked".into())
    );
    assert_eq!(lost.data["reason"], "maintenance");
    node.stop().await;
}

#[tokio::test]
async fn a_break_ends_a_lease_now_and_is_kept_with_its_reason() {
    let node = Node::alone().await;
    let (session, fence) = node.hold("b").await;
    let broken = node
        .post("/v1/locks/b/break", r#"{"reason":"stuck"}"#)
        .await;
    assert_eq!(broken.success(200)["leases"], 1);
    let (_, next) = node.hold("b").await;
    assert!(next > fence);
    node.release("b", &session, fence)
        .await
        .problem(410, "session_gone");
    let page = node.get("/v1/locks/b/history").await.success(200);
    assert_eq!(page["events"][1]["event"], "broken");
    assert_eq!(page["events"][1]["reason"], "stuck");
    let free = node.post("/v1/locks/none/break", r#"{"reason":"x"}"#).await;
    assert_eq!(free.success(200)["leases"], 0);
    node.stop().await;
}

#[tokio::test]
async fn a_longest_hold_ends_a_lease_however_alive_its_session_is() {
    let node = Node::alone().await;
    let session = node.session("s").await;
    let ask = json!({"session": session, "max_hold_ms": 100});
    let lease = acquire(&node, "h", &ask).await.success(200);
    assert!(lease["hold_ends_in_ms"].as_u64().unwrap() <= 100);
    node.lock_until("h", |lock| lock["state"] == "free").await;
    let page = node.get("/v1/locks/h/history").await.success(200);
    assert_eq!(page["events"][1]["cause"], "max_hold");
    node.get(&format!("/v1/sessions/{session}"))
        .await
        .success(200);
    node.stop().await;
}

#[tokio::test]
async fn an_operator_ends_a_session_by_the_digits_that_everybody_sees() {
    let node = Node::alone().await;
    let session = node.session("victim").await;
    acquire(&node, "o", &json!({"session": session}))
        .await
        .success(200);
    let path = format!("/v1/sessions/{}?reason=gone%20mad", &session[..8]);
    let ended = node.keyed("DELETE", &path, "op", "").await.success(200);
    assert_eq!(ended["released"][0]["lock"], "o");
    // Whoever lost that answer asks again, and is not told that there never was such a session.
    let again = node.keyed("DELETE", &path, "op", "").await.success(200);
    assert_eq!(
        (&again["released"], &again["replayed"]),
        (&ended["released"], &true.into())
    );
    let gone = node.get(&format!("/v1/sessions/{session}")).await;
    assert_eq!(
        gone.problem(410, "session_gone")["cause"],
        "ended_by_operator"
    );
    let late = node.call("DELETE", &path, "").await;
    assert_eq!(
        late.problem(410, "session_gone")["cause"],
        "ended_by_operator"
    );
    let nobody = node.call("DELETE", "/v1/sessions/0000abcd?reason=x", "");
    nobody.await.problem(404, "not_found");
    let page = node.get("/v1/locks/o/history").await.success(200);
    assert_eq!(page["events"][1]["cause"], "ended_by_operator");
    assert_eq!(page["events"][1]["reason"], "gone mad");
    node.stop().await;
}
