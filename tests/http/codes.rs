//! Every code of the contract, provoked once.

use std::time::Duration;

use lockring::http::{Options, Permission, Token, Tokens};
use lockring::network::Memory;
use lockring_client::wire::ErrorCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use sha2::{Digest, Sha256};

use super::node::Node;
use super::raw::{raw, request};

#[test]
fn every_code_has_its_test_here() {
    // Each test below says `problem(status, "code")` for the code it is about.
    let here = include_str!("codes.rs");
    for code in ErrorCode::ALL {
        let provoked = here.contains(&format!("problem({}, \"{code}\")", code.status()));
        assert!(provoked, "{code}");
    }
}

#[tokio::test]
async fn held_tells_by_whom_and_how_many_wait() {
    let node = Node::alone().await;
    node.post("/v1/locks/h/acquire", r#"{"owner":"first"}"#)
        .await
        .success(200);
    let held = node.post("/v1/locks/h/acquire", "").await;
    let problem = held.problem(409, "held");
    assert_eq!(problem["holders"][0]["owner"], "first");
    assert_eq!(problem["queue"], 0);
    held.revision();
    node.stop().await;
}

/// The body of an acquire.
fn body(session: &str, more: &str) -> String {
    format!(r#"{{"session":"{session}"{more}}}"#)
}

#[tokio::test]
async fn a_wait_that_would_close_a_circle_is_refused_with_the_circle() {
    let node = Node::alone().await;
    let (a, b) = (node.session("a").await, node.session("b").await);
    for (lock, session) in [("x", &a), ("y", &b)] {
        let path = format!("/v1/locks/{lock}/acquire");
        node.post(&path, &body(session, "")).await.success(200);
    }
    let ask = body(&a, r#","wait_ms":20000"#);
    let waiting = node.post("/v1/locks/y/acquire", &ask);
    let closing = async {
        node.lock_until("y", |lock| lock["queue_total"] == 1).await;
        let ask = body(&b, r#","wait_ms":20000"#);
        let refused = node.post("/v1/locks/x/acquire", &ask).await;
        let problem = refused.problem(409, "deadlock");
        let cycle = problem["cycle"].as_array().unwrap();
        let steps = cycle
            .iter()
            .map(|step| [&step["owner"], &step["holds"], &step["wants"]].map(ToString::to_string));
        let steps: Vec<_> = steps.collect();
        assert_eq!(
            steps,
            [["\"b\"", "\"y\"", "\"x\""], ["\"a\"", "\"x\"", "\"y\""]]
        );
        assert_eq!(cycle[0]["session"], b[..8]);
        let path = format!("/v1/sessions/{b}");
        node.call("DELETE", &path, "").await.success(200);
    };
    let (granted, ()) = tokio::join!(waiting, closing);
    granted.success(200);
    node.stop().await;
}

#[tokio::test]
async fn another_capacity_is_told_the_one_in_force() {
    let node = Node::alone().await;
    let two = r#"{"mode":{"permits":1,"of":2}}"#;
    node.post("/v1/locks/p/acquire", two).await.success(200);
    let three = r#"{"mode":{"permits":1,"of":3}}"#;
    let refused = node.post("/v1/locks/p/acquire", three).await;
    assert_eq!(refused.problem(409, "limit_mismatch")["of"], 2);
    node.stop().await;
}

#[tokio::test]
async fn a_change_of_mode_that_is_none_is_told_the_mode_in_force() {
    let node = Node::alone().await;
    let session = node.session("s").await;
    let permits = body(&session, r#","mode":{"permits":1,"of":2}"#);
    node.post("/v1/locks/u/acquire", &permits)
        .await
        .success(200);
    let refused = node.post("/v1/locks/u/acquire", &body(&session, "")).await;
    let problem = refused.problem(409, "upgrade_conflict");
    let in_force = serde_json::json!({"permits": 1, "of": 2});
    assert_eq!(problem["mode"], in_force);
    node.stop().await;
}

#[tokio::test]
async fn a_lock_that_was_lost_abnormally_is_closed_for_a_while() {
    let node = Node::alone().await;
    let opened = node
        .post("/v1/sessions", r#"{"lock_delay_ms":60000}"#)
        .await;
    let session = opened.success(201)["session"].as_str().unwrap().to_owned();
    node.post("/v1/locks/d/acquire", &body(&session, ""))
        .await
        .success(200);
    let broken = node.post("/v1/locks/d/break", r#"{"reason":"test"}"#).await;
    assert_eq!(broken.success(200)["leases"], 1);
    let refused = node.post("/v1/locks/d/acquire", "").await;
    let problem = refused.problem(409, "delayed");
    let later = problem["retry_after_ms"].as_u64().unwrap();
    assert!((50_000..=60_000).contains(&later), "{later}");
    let seen = node.get("/v1/locks/d").await.success(200);
    assert!(seen["delayed_for_ms"].as_u64().unwrap() <= 60_000);
    node.stop().await;
}

#[tokio::test]
async fn a_wait_that_ends_tells_who_holds_it() {
    let node = Node::alone().await;
    let (session, _) = node.hold("w").await;
    let late = node.post("/v1/locks/w/acquire", r#"{"wait_ms":30}"#).await;
    let problem = late.problem(408, "wait_timeout");
    assert_eq!(problem["holders"][0]["session"], session[..8]);
    node.stop().await;
}

#[tokio::test]
async fn a_session_that_is_gone_is_told_with_its_cause() {
    let node = Node::alone().await;
    let nobody = "00000000000000000000000000000007";
    let path = format!("/v1/sessions/{nobody}");
    let body = format!(r#"{{"session":"{nobody}"}}"#);
    let release = format!(r#"{{"session":"{nobody}","fence":1}}"#);
    for answer in [
        node.get(&path).await,
        node.post(&format!("{path}/renew"), "").await,
        node.call("DELETE", &path, "").await,
        node.post("/v1/locks/x/acquire", &body).await,
        node.post("/v1/locks/x/release", &release).await,
    ] {
        let problem = answer.problem(410, "session_gone");
        assert_eq!(problem["cause"], "never_existed");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_stale_fence_is_told_the_highest() {
    let node = Node::alone().await;
    let (session, fence) = node.hold("f").await;
    let other = node.session("other").await;
    for (session, claimed) in [(&session, fence + 1), (&other, fence)] {
        let stale = node.release("f", session, claimed).await;
        assert_eq!(stale.problem(412, "fence_stale")["highest_fence"], fence);
    }
    let free = node.release("free", &other, 1).await;
    let problem = free.problem(412, "fence_stale");
    assert!(problem["highest_fence"].is_null());
    assert!(problem.as_object().unwrap().contains_key("highest_fence"));
    node.stop().await;
}

#[tokio::test]
async fn a_route_that_is_not_there_is_not_found() {
    let node = Node::alone().await;
    for path in ["/", "/v1", "/v1/locks/a/b", "/v1/locks/a/", "/v2/locks"] {
        let missing = node.get(path).await;
        missing.problem(404, "not_found");
        missing.revision();
    }
    node.stop().await;
}

#[tokio::test]
async fn a_value_that_is_not_allowed_is_told_by_field_value_and_bound() {
    // `fields.rs` goes through all fields.
    let node = Node::alone().await;
    let answer = node.post("/v1/sessions", r#"{"ttl_ms":499}"#).await;
    let problem = answer.problem(422, "invalid");
    assert_eq!(problem["field"], "ttl_ms");
    assert_eq!(problem["value"], "499");
    assert_eq!(problem["bound"], "from 500 to 60000");
    node.stop().await;
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused() {
    let node = Node::alone().await;
    let head = "POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let told = format!("{head}content-length: 10485760\r\n\r\n");
    let answer = raw(node.at, told.as_bytes()).await;
    answer.problem(413, "too_large");

    // Chunked, so that nothing says beforehand how long it will be.
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..160 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b' '; 0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    let answer = raw(node.at, &chunked).await;
    let problem = answer.problem(413, "too_large");
    assert_eq!(problem["bound"], "at most 1048576 bytes");
    node.hold("still-serves").await;
    node.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_say_that_it_is_json_is_refused() {
    let node = Node::alone().await;
    for header in ["content-type: application/x-www-form-urlencoded\r\n", ""] {
        let body = "{}";
        let head = format!("{header}content-length: {}\r\n", body.len());
        let mut bytes = request("POST", "/v1/sessions", &head, "");
        bytes.extend_from_slice(body.as_bytes());
        let answer = raw(node.at, &bytes).await;
        answer.problem(415, "unsupported_media_type");
    }
    let charset = "content-type: application/json; charset=utf-8\r\ncontent-length: 2\r\n";
    let mut bytes = request("POST", "/v1/sessions", charset, "");
    bytes.extend_from_slice(b"{}");
    raw(node.at, &bytes).await.success(201);
    node.stop().await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_told_which_it_takes() {
    let node = Node::alone().await;
    for (method, path, allow) in [
        ("PUT", "/v1/sessions", "POST, GET, HEAD, OPTIONS"),
        ("GET", "/v1/locks/a/acquire", "POST, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("BREW", "/v1/locks/a", "GET, HEAD, OPTIONS"),
    ] {
        let answer = node.call(method, path, "").await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    node.stop().await;
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let node = Node::alone().await;
    for body in ["{", "wait_ms=5", r#"{"ttl_ms":}"#, "{} {}"] {
        let answer = node.post("/v1/sessions", body).await;
        answer.problem(400, "malformed");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_connection_too_many_is_told_which_limit_it_is_beyond() {
    let mut options = Options::default();
    options.limits.connections_per_address_max = 1;
    let node = Node::with(options, Duration::from_secs(25)).await;
    let first = tokio::net::TcpStream::connect(node.at).await.unwrap();
    let mut second = tokio::net::TcpStream::connect(node.at).await.unwrap();
    let answer = super::raw::read(&mut second).await;
    let problem = answer.problem(429, "limit");
    assert_eq!(problem["limit"], "connections_per_address");
    assert!(problem["retry_after_ms"].is_u64());
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(first);
    node.stop().await;
}

#[tokio::test]
async fn tokens_open_what_they_list() {
    let token = |text: &str, permissions: &[Permission]| Token {
        sha256: Sha256::digest(text).into(),
        permissions: permissions.to_vec(),
    };
    let tokens = Tokens::new(vec![
        token("reader", &[Permission::Read]),
        token("worker", &[Permission::Read, Permission::Lock]),
    ]);
    let options = Options {
        tokens,
        ..Options::default()
    };
    let node = Node::with(options, Duration::from_secs(25)).await;
    let with = async |method: &str, path: &str, token: &str| {
        let header = format!("authorization: Bearer {token}\r\n");
        raw(node.at, &request(method, path, &header, "")).await
    };
    let none = node.get("/v1/locks").await;
    let problem = none.problem(401, "unauthenticated");
    assert_eq!(problem["permission"], "read");
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    let wrong = with("GET", "/v1/locks", "guess").await;
    wrong.problem(401, "unauthenticated");
    with("GET", "/v1/locks", "reader").await.success(200);
    let reader = with("POST", "/v1/sessions", "reader").await;
    assert_eq!(reader.problem(403, "forbidden")["permission"], "lock");
    with("POST", "/v1/sessions", "worker").await.success(201);
    let worker = with("DELETE", "/v1/cluster/nodes/3", "worker").await;
    assert_eq!(worker.problem(403, "forbidden")["permission"], "operate");
    for open in ["/healthz", "/readyz", "/openapi.json", "/docs", "/ui"] {
        assert_eq!(node.get(open).await.status, 200, "{open}");
    }
    node.stop().await;
}

#[tokio::test]
async fn without_a_majority_there_is_no_answer_but_a_stale_one() {
    let network = Memory::new();
    let window = Duration::from_secs(25);
    let node = Node::of(1, &[1, 2], &network, Options::default(), window).await;
    let (ready, write, read) = tokio::join!(
        node.get("/readyz"),
        node.post("/v1/sessions", ""),
        node.get("/v1/locks/x"),
    );
    let problem = ready.problem(503, "unready");
    assert!(
        problem["detail"].as_str().unwrap().contains("node 2"),
        "{problem}"
    );
    for answer in [write, read] {
        answer.problem(503, "unready");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.revision(), 0);
    }
    let stale = node.get("/v1/locks/x?consistency=stale").await;
    assert_eq!(stale.success(200)["state"], "free");
    assert!(node.get("/v1/cluster").await.success(200)["leader"].is_null());
    assert_eq!(node.get("/healthz").await.status, 200);
    node.stop().await;
}

#[tokio::test]
async fn a_command_whose_majority_is_lost_has_no_known_outcome() {
    let network = Memory::new();
    let window = Duration::from_secs(25);
    let of = |id| Node::of(id, &[1, 2], &network, Options::default(), window);
    let (one, two) = tokio::join!(of(1), of(2));
    let (leader, other) = tokio::select! {
        () = one.leads() => (one, two),
        () = two.leads() => (two, one),
    };
    leader.hold("before").await;
    other.fall_silent().await;
    let answer = leader.post("/v1/sessions", "").await;
    answer.problem(504, "indeterminate");
    leader.stop().await;
}

/// A figure that cannot be told.
#[derive(Debug)]
struct Broken;

impl Collector for Broken {
    fn encode(&self, _: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        panic!("an invariant of the test's own")
    }
}

#[tokio::test]
async fn a_broken_invariant_is_told_with_the_id_of_its_log_line() {
    let mut options = Options::default();
    options.registry.register_collector(Box::new(Broken));
    let node = Node::with(options, Duration::from_secs(25)).await;
    let problem = node.get("/metrics").await.problem(500, "bug");
    assert_eq!(problem["log_id"].as_str().unwrap().len(), 16);
    assert!(!problem.to_string().contains("of the test's own"));
    node.hold("still-serves").await;
    node.stop().await;
}
