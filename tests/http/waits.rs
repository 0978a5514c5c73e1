//! Calls that wait: handed over, timed out, sent away, taken up again, and left.

use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::node::Node;
use super::raw::{read, request};
use lockring::http::Options;
use lockring::service::{Acquire, By, Key};
use lockring_core::{LockName, Mode, Owner, Ttl};

const WAIT: &str = r#"{"wait_ms":20000}"#;

/// A call that is written, and whose answer is read later or never.
async fn begin(node: &Node, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    let request = request("POST", path, headers, body);
    stream.write_all(&request).await.unwrap();
    stream
}

fn queued(lock: &serde_json::Value) -> u64 {
    lock["queue_total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_release_hands_the_lock_to_the_first_in_the_queue() {
    let node = Node::alone().await;
    let (session, fence) = node.hold("l").await;
    let mut first = begin(&node, "/v1/locks/l/acquire", "", WAIT).await;
    node.lock_until("l", |lock| queued(lock) == 1).await;
    let waiting = node.session("second").await;
    let body = format!(r#"{{"session":"{waiting}","wait_ms":20000}}"#);
    let mut second = begin(&node, "/v1/locks/l/acquire", "", &body).await;
    let seen = node.lock_until("l", |lock| queued(lock) == 2).await;
    assert_eq!(seen["queue"][1]["owner"], "second");
    assert_eq!(seen["queue"][1]["session"], waiting[..8]);
    assert!(seen["queue"][1]["ticket"].is_u64());
    assert!(seen["queue"][1]["ends_in_ms"].as_u64().unwrap() <= 20_000);

    let released = node.release("l", &session, fence).await;
    let lease = read(&mut first).await;
    let granted = lease.success(200);
    let next = granted["fence"].as_u64().unwrap();
    assert!(next > fence);
    assert_eq!(lease.header("lockring-fence"), Some(&*next.to_string()));
    assert_eq!(
        lease.revision(),
        released.revision(),
        "one command did both"
    );

    let place = node
        .get(&format!("/v1/sessions/{waiting}"))
        .await
        .success(200);
    assert_eq!(place["waits"][0]["lock"], "l");
    assert_eq!(place["waits"][0]["position"], 0);
    let holder = granted["session"].as_str().unwrap();
    node.release("l", holder, next).await.success(200);
    let last = read(&mut second).await.success(200);
    assert_eq!(last["session"], *waiting);
    assert!(last["fence"].as_u64().unwrap() > next);
    node.stop().await;
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline_in_the_log() {
    let node = Node::alone().await;
    node.hold("t").await;
    let late = node.post("/v1/locks/t/acquire", r#"{"wait_ms":60}"#).await;
    let problem = late.problem(408, "wait_timeout");
    assert_eq!(problem["position"], 0);
    assert_eq!(problem["holders"].as_array().unwrap().len(), 1);
    let seen = node.get("/v1/locks/t").await.success(200);
    assert_eq!(queued(&seen), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_wait_beyond_the_window_is_taken_up_again_under_its_key() {
    let window = Duration::from_millis(50);
    let node = Node::with(Options::default(), window).await;
    let (session, fence) = node.hold("w").await;
    let acquire = "/v1/locks/w/acquire";
    let first = node.keyed("POST", acquire, "mine", WAIT).await;
    let ticket = first.success(202);
    assert_eq!(ticket["position"], 0);
    assert!(ticket["retry_after_ms"].is_u64());
    assert_eq!(first.header("idempotency-key"), None);

    node.post(acquire, WAIT).await.success(202);
    let again = node.keyed("POST", acquire, "mine", WAIT).await.success(202);
    assert_eq!(again["ticket"], ticket["ticket"], "the old place");
    assert_eq!(again["position"], 0);

    node.release("w", &session, fence).await.success(200);
    let granted = node.keyed("POST", acquire, "mine", WAIT).await.success(200);
    assert_eq!(granted["replayed"], true);
    assert!(granted["fence"].as_u64().unwrap() > fence);
    node.stop().await;
}

#[tokio::test]
async fn whoever_waits_without_a_key_is_told_one_to_come_back_with() {
    let window = Duration::from_millis(50);
    let node = Node::with(Options::default(), window).await;
    node.hold("k").await;
    let first = node.post("/v1/locks/k/acquire", WAIT).await;
    let ticket = first.success(202);
    let key = first.header("idempotency-key").unwrap();
    let again = node.keyed("POST", "/v1/locks/k/acquire", key, WAIT).await;
    assert_eq!(again.success(202)["ticket"], ticket["ticket"]);
    node.stop().await;
}

#[tokio::test]
async fn a_place_goes_when_its_connection_does() {
    let node = Node::alone().await;
    node.hold("gone").await;
    for headers in ["", "idempotency-key: with-a-key\r\n"] {
        let call = begin(&node, "/v1/locks/gone/acquire", headers, WAIT).await;
        node.lock_until("gone", |lock| queued(lock) == 1).await;
        drop(call);
        node.lock_until("gone", |lock| queued(lock) == 0).await;
    }
    let figures = node.get("/metrics").await.body;
    assert!(figures.contains("lockring_parked_calls 0\n"), "{figures}");
    node.stop().await;
}

/// An acquire whose caller vanishes while its command is under way.
async fn vanish(node: &Node, lock: &str, wait_ms: u64) {
    let ask = Acquire {
        lock: LockName::parse(lock).unwrap(),
        by: By::OneLease {
            ttl: Ttl::parse(60_000).unwrap(),
            owner: Owner::default(),
        },
        mode: Mode::Exclusive,
        wait_ms,
        max_hold_ms: None,
        value: String::new(),
        key: Key::Absent,
    };
    let mut call = Box::pin(node.service.acquire(ask));
    let once = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending()));
    assert!(once.await, "its command is under way");
}

#[tokio::test]
async fn nothing_is_left_of_a_caller_that_vanished_before_it_was_answered() {
    let node = Node::alone().await;
    // A lease that it was granted: the acquire is one command, its undoing the next.
    let before = node.get("/v1/locks/v").await.revision();
    vanish(&node, "v", 0).await;
    let path = format!("/v1/locks/v?min_revision={}", before + 2);
    assert_eq!(node.get(&path).await.success(200)["state"], "free");

    // A place that it was given.
    let (session, fence) = node.hold("v").await;
    let before = node.get("/v1/locks/v").await.revision();
    vanish(&node, "v", 20_000).await;
    let path = format!("/v1/locks/v?min_revision={}", before + 2);
    assert_eq!(queued(&node.get(&path).await.success(200)), 0);

    // A place that became a lease before its caller was seen to be gone, or nearly.
    vanish(&node, "v", 20_000).await;
    node.release("v", &session, fence).await.success(200);
    node.lock_until("v", |lock| lock["state"] == "free").await;
    let page = node.get("/v1/sessions").await.success(200);
    assert_eq!(page["sessions"].as_array().unwrap().len(), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_caller_that_came_back_keeps_its_place_when_its_old_connection_goes() {
    let node = Node::alone().await;
    let (session, fence) = node.hold("back").await;
    let key = "idempotency-key: back\r\n";
    let old = begin(&node, "/v1/locks/back/acquire", key, WAIT).await;
    let seen = node.lock_until("back", |lock| queued(lock) == 1).await;
    let before = node.get("/v1/locks/back").await.revision();
    let mut new = begin(&node, "/v1/locks/back/acquire", key, WAIT).await;
    node.get(&format!("/v1/locks/back?min_revision={}", before + 1))
        .await;
    drop(old);
    // The abandonment is the next command.
    let path = format!("/v1/locks/back?min_revision={}", before + 2);
    let after = node.get(&path).await.success(200);
    assert_eq!(after["queue"][0]["ticket"], seen["queue"][0]["ticket"]);
    node.release("back", &session, fence).await.success(200);
    read(&mut new).await.success(200);
    node.stop().await;
}

#[tokio::test]
async fn a_waiter_is_told_when_its_session_ends() {
    let node = Node::alone().await;
    node.hold("s").await;
    let session = node.session("short").await;
    let body = format!(r#"{{"session":"{session}","wait_ms":20000}}"#);
    let mut call = begin(&node, "/v1/locks/s/acquire", "", &body).await;
    node.lock_until("s", |lock| queued(lock) == 1).await;
    node.call("DELETE", &format!("/v1/sessions/{session}"), "")
        .await
        .success(200);
    let gone = read(&mut call).await.problem(410, "session_gone");
    assert_eq!(gone["cause"], "closed");
    node.stop().await;
}

#[tokio::test]
async fn an_expired_holder_gives_way_and_is_told() {
    let node = Node::alone().await;
    let short = r#"{"ttl_ms":500,"owner":"silent"}"#;
    let lease = node.post("/v1/locks/e/acquire", short).await.success(200);
    let next = node.post("/v1/locks/e/acquire", WAIT).await.success(200);
    assert!(next["fence"].as_u64() > lease["fence"].as_u64());
    let session = lease["session"].as_str().unwrap();
    let late = node
        .post(&format!("/v1/sessions/{session}/renew"), "")
        .await;
    assert_eq!(late.problem(410, "session_gone")["cause"], "expired");
    let fence = lease["fence"].as_u64().unwrap();
    let late = node.release("e", session, fence).await;
    late.problem(410, "session_gone");
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_sends_its_waiters_away_with_their_places() {
    let node = Node::alone().await;
    node.hold("stop").await;
    let key = "idempotency-key: stays\r\n";
    let mut keyed = begin(&node, "/v1/locks/stop/acquire", key, WAIT).await;
    let mut bare = begin(&node, "/v1/locks/stop/acquire", "", WAIT).await;
    node.lock_until("stop", |lock| queued(lock) == 2).await;
    node.service.send_away();
    read(&mut keyed).await.success(202);
    read(&mut bare).await.problem(503, "unready");
    // Nothing came of it, as it was told: its place is gone by then.
    let lock = node.get("/v1/locks/stop").await.success(200);
    assert_eq!(queued(&lock), 1);
    node.stop().await;
}
