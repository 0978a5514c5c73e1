//! Every field of every call beyond its bound: told by field, value and bound.

use super::node::Node;

const NOBODY: &str = "00000000000000000000000000000007";

/// Makes a call, and checks that this field of it is what is refused.
async fn refuses(node: &Node, call: (&str, &str, &str), field: &str) {
    let (method, path, body) = call;
    let answer = node.call(method, path, body).await;
    let problem = answer.problem(422, "invalid");
    assert_eq!(problem["field"], field, "{method} {path} {body}: {problem}");
    assert!(problem["value"].is_string(), "{problem}");
    assert!(!problem["bound"].as_str().unwrap().is_empty(), "{problem}");
}

/// A body with one field.
fn one(field: &str, value: &str) -> String {
    format!(r#"{{"{field}":{value}}}"#)
}

/// A text in JSON, of so many bytes.
fn long(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

#[tokio::test]
async fn of_sessions() {
    let node = Node::alone().await;
    for (field, value) in [
        ("ttl_ms", "499"),
        // The cluster's own bound, below that of the machine.
        ("ttl_ms", "60001"),
        ("ttl_ms", "-1"),
        ("ttl_ms", "1.5"),
        ("owner", &long(129)),
        ("metadata", &long(1025)),
        ("lock_delay_ms", "60001"),
        ("color", "1"),
    ] {
        let body = one(field, value);
        refuses(&node, ("POST", "/v1/sessions", &body), field).await;
    }
    for (call, field) in [
        (("POST", "/v1/sessions?x=1", ""), "x"),
        (("GET", "/v1/sessions?after=zz", ""), "after"),
        (("GET", "/v1/sessions/xyz", ""), "id"),
        (("GET", "/v1/sessions/00000000", ""), "id"),
        (("DELETE", "/v1/sessions/0000000", ""), "id"),
        (("DELETE", "/v1/sessions/00000000", ""), "reason"),
        (("DELETE", "/v1/sessions/00000000?reason=", ""), "reason"),
        (("GET", "/v1/sessions/00/events", ""), "id"),
    ] {
        refuses(&node, call, field).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn of_an_acquire() {
    let node = Node::alone().await;
    for (field, value) in [
        ("wait", "5"),
        ("wait_ms", "86400001"),
        ("session", "\"7\""),
        ("mode", "\"shard\""),
        ("mode", r#"{"permits":3,"of":2}"#),
        ("mode", r#"{"permits":0,"of":2}"#),
        ("mode", r#"{"permits":1,"of":1000001}"#),
        ("max_hold_ms", "0"),
        ("max_hold_ms", "2592000001"),
        ("value", &long(1025)),
    ] {
        let body = one(field, value);
        refuses(&node, ("POST", "/v1/locks/a/acquire", &body), field).await;
    }
    let half = r#"{"mode":{"permits":1}}"#;
    let both = format!(r#"{{"session":"{NOBODY}","ttl_ms":1000}}"#);
    let name = format!("/v1/locks/{}/acquire", "x".repeat(513));
    for (call, field) in [
        (("POST", "/v1/locks/a/acquire", half), "of"),
        (("POST", "/v1/locks/a/acquire", &*both), "ttl_ms"),
        (("POST", "/v1/locks/a%0Ab/acquire", ""), "name"),
        (("POST", "/v1/locks/%FF/acquire", ""), "name"),
        (("POST", &name, ""), "name"),
    ] {
        refuses(&node, call, field).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn of_an_acquire_of_many_locks() {
    let node = Node::alone().await;
    let locks = (0..1025).map(|nth| format!(r#"{{"lock":"{nth}"}}"#));
    let too_many = locks.collect::<Vec<_>>().join(",");
    for (locks, field) in [
        ("", "locks"),
        (r#"{"lock":"a"},{"lock":"a"}"#, "locks"),
        (&too_many, "locks"),
        (r#"{"lock":""}"#, "locks[0].lock"),
        (
            r#"{"lock":"a"},{"lock":"b","mode":{"permits":2,"of":1}}"#,
            "locks[1].mode",
        ),
    ] {
        let body = format!(r#"{{"session":"{NOBODY}","locks":[{locks}]}}"#);
        refuses(&node, ("POST", "/v1/acquire", &body), field).await;
    }
    let body = r#"{"locks":[{"lock":"a"}]}"#;
    refuses(&node, ("POST", "/v1/acquire", body), "session").await;
    node.stop().await;
}

#[tokio::test]
async fn of_what_is_done_with_leases() {
    let node = Node::alone().await;
    let value = format!(
        r#"{{"session":"{NOBODY}","fence":1,"value":{}}}"#,
        long(1025)
    );
    let to = format!(r#"{{"session":"{NOBODY}","fence":1,"to":"7"}}"#);
    let reason = one("reason", &long(513));
    let late = r#"{"reason":"x","deadline_ms":86400001}"#;
    for (call, field) in [
        (("POST", "/v1/locks/a/release", r#"{"fence":1}"#), "session"),
        (("PUT", "/v1/locks/a/value", &*value), "value"),
        (("PUT", "/v1/locks/a/value", ""), "session"),
        (("POST", "/v1/locks/a/transfer", &to), "to"),
        (
            ("POST", "/v1/locks/a/revoke", r#"{"reason":"x"}"#),
            "deadline_ms",
        ),
        (("POST", "/v1/locks/a/revoke", late), "deadline_ms"),
        (
            (
                "POST",
                "/v1/locks/a/revoke",
                r#"{"reason":"","deadline_ms":0}"#,
            ),
            "reason",
        ),
        (("POST", "/v1/locks/a/break", ""), "reason"),
        (("POST", "/v1/locks/a/break", &reason), "reason"),
        (
            ("POST", "/v1/locks/a/break", r#"{"reason":"a\u0007"}"#),
            "reason",
        ),
    ] {
        refuses(&node, call, field).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn of_reads_and_of_keys() {
    let node = Node::alone().await;
    for (path, field) in [
        ("/v1/locks?limit=1001", "limit"),
        ("/v1/locks?limit=x", "limit"),
        ("/v1/locks/a?consistency=maybe", "consistency"),
        ("/v1/locks/a/check", "fence"),
        ("/healthz?x=1", "x"),
    ] {
        refuses(&node, ("GET", path, ""), field).await;
    }
    let long_key = "k".repeat(65);
    for key in [&*long_key, "two words"] {
        let answer = node.keyed("POST", "/v1/sessions", key, "").await;
        assert_eq!(answer.problem(422, "invalid")["field"], "Idempotency-Key");
    }
    node.stop().await;
}
