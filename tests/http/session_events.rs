//! What a session's owner is told.

use super::node::Node;
use super::stream::{Sent, Stream};

async fn watch(node: &Node, session: &str, after: &str) -> Stream {
    let path = format!("/v1/sessions/{session}/events{after}");
    Stream::open(node.at, &path, "").await
}

fn kinds(seen: &[Sent]) -> Vec<&str> {
    seen.iter().map(|sent| sent.event.as_str()).collect()
}

#[tokio::test]
async fn a_session_is_told_of_its_leases_and_of_its_end_and_of_nobody_elses() {
    let node = Node::alone().await;
    let session = node.session("mine").await;
    let mut stream = watch(&node, &session, "").await;
    let body = format!(r#"{{"session":"{session}"}}"#);
    let lease = node.post("/v1/locks/a/acquire", &body).await.success(200);
    node.hold("others").await;
    let fence = lease["fence"].as_u64().unwrap();
    node.release("a", &session, fence).await.success(200);
    node.post("/v1/locks/b/acquire", &body).await.success(200);
    let path = format!("/v1/sessions/{session}");
    node.call("DELETE", &path, "").await.success(200);

    let seen = stream.until(|sent| sent.event == "ended").await;
    assert_eq!(
        kinds(&seen),
        ["granted", "lost", "granted", "lost", "ended"]
    );
    assert_eq!(seen[0].data["lock"], "a");
    assert_eq!(seen[0].data["mode"], "exclusive");
    assert_eq!(seen[0].data["fence"], fence);
    assert_eq!(seen[1].data["cause"], "released");
    assert_eq!(seen[3].data["lock"], "b");
    assert_eq!(seen[3].data["cause"], "closed");
    assert_eq!(seen[4].data["cause"], "closed");
    assert_eq!(
        stream.next().await,
        None,
        "the stream ends with the session"
    );

    // Whoever was away meanwhile is told the same, from wherever it broke off.
    for (nth, sent) in seen.iter().enumerate().take(4) {
        let after = format!("?after={}", sent.id.as_ref().unwrap());
        let mut again = watch(&node, &session, &after).await;
        let rest = again.until(|sent| sent.event == "ended").await;
        assert_eq!(kinds(&rest), kinds(&seen)[nth + 1..], "{after}");
        assert_eq!(again.next().await, None);
    }
    let late = node.get(&format!("{path}/events")).await;
    assert_eq!(late.problem(410, "session_gone")["cause"], "closed");
    node.stop().await;
}

#[tokio::test]
async fn a_silent_session_is_warned_and_then_told_what_it_lost() {
    let node = Node::alone().await;
    let opened = node.post("/v1/sessions", r#"{"ttl_ms":1500}"#).await;
    let session = opened.success(201)["session"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"session":"{session}"}}"#);
    node.post("/v1/locks/w/acquire", &body).await.success(200);
    let mut stream = watch(&node, &session, "").await;
    let warning = stream.next().await.unwrap();
    assert_eq!((warning.event.as_str(), &warning.id), ("expiring", &None));
    let left = warning.data["expires_in_ms"].as_u64().unwrap();
    assert!(left <= 500, "{left}");
    let seen = stream.until(|sent| sent.event == "ended").await;
    assert_eq!(kinds(&seen), ["lost", "ended"]);
    assert_eq!(seen[0].data["cause"], "expired");
    assert_eq!(seen[1].data["cause"], "expired");
    node.stop().await;
}

#[tokio::test]
async fn a_renewed_session_is_not_warned() {
    let node = Node::alone().await;
    let opened = node.post("/v1/sessions", r#"{"ttl_ms":60000}"#).await;
    let session = opened.success(201)["session"].as_str().unwrap().to_owned();
    let mut stream = watch(&node, &session, "").await;
    node.post(&format!("/v1/sessions/{session}/renew"), "")
        .await
        .success(200);
    let body = format!(r#"{{"session":"{session}"}}"#);
    node.post("/v1/locks/r/acquire", &body).await.success(200);
    assert_eq!(stream.next().await.unwrap().event, "granted");
    node.stop().await;
}

#[tokio::test]
async fn a_session_that_never_was_has_no_stream() {
    let node = Node::alone().await;
    for after in ["", "?after=0"] {
        let path = format!("/v1/sessions/{}/events{after}", "0".repeat(32));
        let gone = node.get(&path).await.problem(410, "session_gone");
        assert_eq!(gone["cause"], "never_existed");
    }
    node.stop().await;
}
