//! What each call answers when it succeeds.

use std::collections::BTreeSet;

use super::node::Node;
use super::raw::{raw, request};

#[tokio::test]
async fn a_session_is_opened_renewed_seen_listed_and_closed() {
    let node = Node::alone().await;
    let body = r#"{"ttl_ms":5000,"owner":"billing","metadata":"zone a"}"#;
    let answer = node.post("/v1/sessions", body).await;
    let opened = answer.success(201);
    let id = opened["session"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(opened["ttl_ms"], 5000);
    assert_eq!(opened["replayed"], false);
    assert!(opened["expires_in_ms"].as_u64().unwrap() <= 5000);
    let leader = format!("http://{}", node.at);
    assert_eq!(answer.header("lockring-leader"), Some(&*leader));

    let renewed = node.post(&format!("/v1/sessions/{id}/renew"), "").await;
    let left = renewed.success(200)["expires_in_ms"].as_u64().unwrap();
    assert!((4000..=5000).contains(&left), "{left}");
    assert!(renewed.revision() > answer.revision());

    let lease = format!(r#"{{"session":"{id}"}}"#);
    node.post("/v1/locks/a/acquire", &lease).await.success(200);
    let seen = node.get(&format!("/v1/sessions/{id}")).await.success(200);
    assert_eq!(seen["session"], *id);
    assert_eq!(seen["owner"], "billing");
    assert_eq!(seen["metadata"], "zone a");
    assert_eq!(seen["leases"][0]["lock"], "a");
    assert_eq!(seen["leases"][0]["mode"], "exclusive");
    assert_eq!(seen["leases_total"], 1);
    assert_eq!(seen["waits"].as_array().unwrap().len(), 0);

    let page = node.get("/v1/sessions?owner=billing").await.success(200);
    assert_eq!(page["sessions"][0]["session"], id[..8]);
    assert_eq!(page["sessions"][0]["leases"], 1);
    assert!(page.get("next").is_none());
    assert!(!page.to_string().contains(id), "a list shows no whole id");
    let nobody = node.get("/v1/sessions?owner=nobody").await.success(200);
    assert_eq!(nobody["sessions"].as_array().unwrap().len(), 0);

    let closed = node.call("DELETE", &format!("/v1/sessions/{id}"), "").await;
    let closed = closed.success(200);
    assert_eq!(closed["released"][0]["lock"], "a");
    assert!(closed["released"][0]["fence"].as_u64().unwrap() >= 1);
    node.stop().await;
}

#[tokio::test]
async fn renewals_that_arrive_together_are_one_command() {
    let node = Node::alone().await;
    let mut paths = Vec::new();
    for _ in 0..20 {
        paths.push(format!("/v1/sessions/{}/renew", node.session("many").await));
    }
    let renewals = paths.iter().map(|path| node.post(path, ""));
    let mut revisions = BTreeSet::new();
    for answer in futures_util::future::join_all(renewals).await {
        answer.success(200);
        revisions.insert(answer.revision());
    }
    assert!(revisions.len() <= 10, "{revisions:?}");
    node.stop().await;
}

#[tokio::test]
async fn pages_of_sessions_are_followed_to_their_end() {
    let node = Node::alone().await;
    let mut opened = Vec::new();
    for _ in 0..7 {
        opened.push(node.session("pages").await[..8].to_owned());
    }
    opened.sort();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = node.get(&format!("/v1/sessions?limit=3{after}")).await;
        let page = page.success(200);
        let rows = page["sessions"].as_array().unwrap();
        seen.extend(
            rows.iter()
                .map(|row| row["session"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, opened);
    node.stop().await;
}

#[tokio::test]
async fn a_lock_is_acquired_seen_checked_and_released() {
    let node = Node::alone().await;
    let session = node.session("worker-7").await;
    let path = "/v1/locks/db%2Fprimary";
    let body = format!(r#"{{"session":"{session}","mode":"exclusive"}}"#);
    let answer = node.post(&format!("{path}/acquire"), &body).await;
    let lease = answer.success(200);
    let fence = lease["fence"].as_u64().unwrap();
    assert_eq!(lease["lock"], "db/primary");
    assert_eq!(lease["session"], *session);
    assert_eq!(lease["mode"], "exclusive");
    assert_eq!(lease["replayed"], false);
    assert!(lease["expires_in_ms"].as_u64().unwrap() <= 10_000);
    assert_eq!(answer.header("lockring-fence"), Some(&*fence.to_string()));

    // What a session holds already is the same lease.
    let again = node.post(&format!("{path}/acquire"), &body).await;
    assert_eq!(again.success(200)["fence"], fence);

    let seen = node.get(path).await.success(200);
    assert_eq!(seen["lock"], "db/primary");
    assert_eq!(seen["state"], "held");
    let holder = &seen["holders"][0];
    assert_eq!(holder["session"], session[..8]);
    assert_eq!(holder["owner"], "worker-7");
    assert_eq!(holder["fence"], fence);
    assert!(holder["held_ms"].is_u64() && holder["expires_in_ms"].is_u64());
    assert!(holder["value"].is_null());
    assert_eq!(seen["highest_fence"], fence);
    assert!(!seen.to_string().contains(&session));

    let check = async |fence| node.get(&format!("{path}/check?fence={fence}")).await;
    let current = check(fence).await.success(200);
    assert_eq!(
        (&current["current"], &current["highest_fence"]),
        (&true.into(), &fence.into())
    );
    assert_eq!(check(fence + 1).await.success(200)["current"], false);

    let released = node.release("db%2Fprimary", &session, fence).await;
    assert_eq!(released.success(200)["released"], true);
    let free = node.get(path).await.success(200);
    assert_eq!(free["state"], "free");
    assert!(free["highest_fence"].is_null());
    assert!(check(fence).await.success(200)["highest_fence"].is_null());
    node.stop().await;
}

#[tokio::test]
async fn a_lease_without_a_session_has_one_that_ends_with_it() {
    let node = Node::alone().await;
    let body = r#"{"ttl_ms":2000,"owner":"cron"}"#;
    let lease = node.post("/v1/locks/job/acquire", body).await.success(200);
    let session = lease["session"].as_str().unwrap();
    let fence = lease["fence"].as_u64().unwrap();
    node.get(&format!("/v1/sessions/{session}"))
        .await
        .success(200);
    node.release("job", session, fence).await.success(200);
    let gone = node.get(&format!("/v1/sessions/{session}")).await;
    assert_eq!(gone.problem(410, "session_gone")["cause"], "closed");
    let (_, next) = node.hold("job").await;
    assert!(next > fence);
    node.stop().await;
}

#[tokio::test]
async fn locks_are_listed_by_prefix_and_page() {
    let node = Node::alone().await;
    for lock in ["b", "a%2F1", "a%2F2", "a%2F3"] {
        node.hold(lock).await;
    }
    let names = |page: serde_json::Value| -> Vec<String> {
        let locks = page["locks"].as_array().unwrap().clone();
        locks
            .iter()
            .map(|lock| lock["lock"].as_str().unwrap().to_owned())
            .collect()
    };
    let page = node.get("/v1/locks?prefix=a/&limit=2").await.success(200);
    assert_eq!(page["next"], "a/2");
    assert_eq!(names(page), ["a/1", "a/2"]);
    let page = node
        .get("/v1/locks?prefix=a%2F&limit=2&after=a/2")
        .await
        .success(200);
    assert!(page.get("next").is_none());
    assert_eq!(names(page), ["a/3"]);
    assert_eq!(names(node.get("/v1/locks").await.success(200)).len(), 4);
    node.stop().await;
}

#[tokio::test]
async fn a_repeated_key_is_answered_with_the_first_outcome() {
    let node = Node::alone().await;
    let first = node
        .keyed("POST", "/v1/sessions", "open-1", "")
        .await
        .success(201);
    let again = node
        .keyed("POST", "/v1/sessions", "open-1", "")
        .await
        .success(201);
    assert_eq!(first["session"], again["session"]);
    assert_eq!(
        (&first["replayed"], &again["replayed"]),
        (&false.into(), &true.into())
    );

    let acquire = ("POST", "/v1/locks/k/acquire");
    let first = node
        .keyed(acquire.0, acquire.1, "lease-1", "")
        .await
        .success(200);
    let again = node
        .keyed(acquire.0, acquire.1, "lease-1", "")
        .await
        .success(200);
    assert_eq!(first["fence"], again["fence"]);
    assert_eq!(first["session"], again["session"]);
    assert_eq!(again["replayed"], true);

    let path = format!("/v1/sessions/{}", first["session"].as_str().unwrap());
    let closed = node
        .keyed("DELETE", &path, "close-1", "")
        .await
        .success(200);
    let again = node
        .keyed("DELETE", &path, "close-1", "")
        .await
        .success(200);
    assert_eq!(closed["released"], again["released"]);
    assert_eq!(
        (&closed["replayed"], &again["replayed"]),
        (&false.into(), &true.into())
    );
    let other = node.keyed("DELETE", &path, "close-2", "").await;
    assert_eq!(other.problem(410, "session_gone")["cause"], "closed");

    let reused = node
        .keyed("POST", "/v1/sessions", "open-1", r#"{"owner":"x"}"#)
        .await;
    assert_eq!(reused.problem(422, "invalid")["field"], "Idempotency-Key");
    node.stop().await;
}

#[tokio::test]
async fn the_cluster_is_seen_and_its_nodes_are_named() {
    let node = Node::alone().await;
    let cluster = node.get("/v1/cluster").await.success(200);
    assert_eq!(cluster["cluster"], "test");
    assert_eq!(cluster["leader"], 1);
    assert!(cluster["term"].as_u64().unwrap() >= 1);
    let own = &cluster["nodes"][0];
    assert_eq!(own["id"], 1);
    assert_eq!(own["api"], format!("http://{}", node.at));
    assert_eq!(own["peer"], "peer-1");
    assert_eq!(own["role"], "leader");
    assert_eq!(own["version"], env!("CARGO_PKG_VERSION"));

    let missing = node.call("DELETE", "/v1/cluster/nodes/9", "").await;
    missing.problem(404, "not_found");
    let shape = r#"{"id":2,"api":"node-2:1","peer":"node-2:2"}"#;
    let wrong = node.post("/v1/cluster/nodes", shape).await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "api");
    let itself = node.post("/v1/cluster/transfer", r#"{"to":1}"#).await;
    assert_eq!(itself.success(200)["leader"], 1);
    node.stop().await;
}

#[tokio::test]
async fn the_node_tells_of_itself() {
    let node = Node::alone().await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, &*answer.body), (200, text));
    }
    node.hold("one").await;
    let held = node.post("/v1/locks/one/acquire", "").await;
    held.problem(409, "held");
    let figures = node.get("/metrics").await;
    assert_eq!(figures.status, 200);
    for line in [
        "lockring_leases 1",
        "lockring_sessions 1",
        "lockring_leader 1",
        "lockring_parked_calls 0",
        "lockring_connections 1",
        r#"lockring_http_problems_total{code="held"} 1"#,
        r#"lockring_http_request_seconds_count{call="acquire"} 2"#,
    ] {
        let has = figures.body.lines().any(|here| here == line);
        assert!(has, "{line}\n{}", figures.body);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_stale_read_and_a_read_of_a_revision_are_answered() {
    let node = Node::alone().await;
    let lease = node.post("/v1/locks/r/acquire", "").await;
    let at = lease.revision();
    for query in [
        format!("min_revision={at}"),
        format!("consistency=stale&min_revision={at}"),
        "consistency=linearizable".to_owned(),
    ] {
        let seen = node.get(&format!("/v1/locks/r?{query}")).await;
        assert_eq!(seen.success(200)["state"], "held", "{query}");
        assert!(seen.revision() >= at);
    }
    node.stop().await;
}

#[tokio::test]
async fn head_and_options_are_answered_without_a_body() {
    let node = Node::alone().await;
    let head = node.call("HEAD", "/v1/locks/x", "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    head.revision();
    let options = raw(node.at, &request("OPTIONS", "/v1/locks/x", "", "")).await;
    assert_eq!((options.status, &*options.body), (204, ""));
    assert_eq!(options.header("allow"), Some("GET, HEAD, OPTIONS"));
    node.stop().await;
}
