//! What happened to a lock, page by page.

use super::node::Node;

#[tokio::test]
async fn a_lock_tells_what_happened_to_it_and_why() {
    let node = Node::alone().await;
    let session = node.session("first").await;
    let body = format!(r#"{{"session":"{session}"}}"#);
    let lease = node.post("/v1/locks/h/acquire", &body).await.success(200);
    let fence = lease["fence"].as_u64().unwrap();
    node.release("h", &session, fence).await.success(200);
    node.hold("another").await;
    let lease = node.post("/v1/locks/h/acquire", &body).await.success(200);
    let path = format!("/v1/sessions/{session}");
    node.call("DELETE", &path, "").await.success(200);

    let answer = node.get("/v1/locks/h/history").await;
    let page = answer.success(200);
    assert_eq!(page["gaps"].as_array().unwrap().len(), 0, "{page}");
    assert!(page.get("next").is_none());
    let events = page["events"].as_array().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(kinds, ["granted", "released", "granted", "released"]);
    let causes: Vec<_> = events.iter().map(|event| &event["cause"]).collect();
    assert!(causes[0].is_null() && causes[2].is_null());
    assert_eq!(
        (causes[1], causes[3]),
        (&"released".into(), &"closed".into())
    );
    for event in events {
        assert_eq!(event["lock"], "h");
        assert_eq!(event["owner"], "first");
        assert_eq!(event["session"], session[..8]);
        assert_eq!(event["mode"], "exclusive");
        assert!(event["wall_ms"].is_u64() && event["at_ms"].is_u64());
    }
    assert_eq!(events[0]["fence"], fence);
    assert_eq!(events[2]["fence"], lease["fence"]);
    assert!(answer.revision() >= events[3]["revision"].as_u64().unwrap());
    assert!(!page.to_string().contains(&session), "no whole id");
    node.stop().await;
}

#[tokio::test]
async fn a_history_is_read_in_pages() {
    let node = Node::alone().await;
    for _ in 0..4 {
        let (session, fence) = node.hold("p").await;
        node.release("p", &session, fence).await.success(200);
    }
    let all = node.get("/v1/locks/p/history").await.success(200);
    let all = all["events"].as_array().unwrap();
    assert_eq!(all.len(), 8);
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/v1/locks/p/history?limit=3&after={after}");
        let page = node.get(&path).await.success(200);
        let events = page["events"].as_array().unwrap();
        assert!(events.len() <= 3, "{page}");
        seen.extend(events.iter().cloned());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, *all);
    node.stop().await;
}

#[tokio::test]
async fn a_lock_that_nobody_ever_held_has_an_empty_history() {
    let node = Node::alone().await;
    let page = node.get("/v1/locks/never/history").await.success(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 0);
    for wrong in ["limit=0", "limit=1001", "after=x", "colour=red"] {
        let refused = node.get(&format!("/v1/locks/n/history?{wrong}")).await;
        refused.problem(422, "invalid");
    }
    node.stop().await;
}
