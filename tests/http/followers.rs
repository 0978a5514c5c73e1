//! Any node serves any call: three nodes, and a client that does not ask which of them leads.

use std::time::Duration;

use lockring::http::Options;
use lockring::network::Memory;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::node::Node;
use super::raw::{read, request};

/// Three nodes: the one that leads, and the others.
async fn three() -> (Node, Node, Node) {
    let network = Memory::new();
    let window = Duration::from_secs(25);
    let of = |id| Node::of(id, &[1, 2, 3], &network, Options::default(), window);
    let (one, two, three) = tokio::join!(of(1), of(2), of(3));
    tokio::select! {
        () = one.leads() => (one, two, three),
        () = two.leads() => (two, one, three),
        () = three.leads() => (three, one, two),
    }
}

#[tokio::test]
async fn a_follower_answers_and_tells_where_the_leader_is() {
    let (leader, one, two) = three().await;
    let lease = one.post("/v1/locks/f/acquire", "").await;
    let granted = lease.success(200);
    let own = leader.get("/v1/cluster").await.success(200);
    let named = own["leader"].as_u64().unwrap();
    let nodes = own["nodes"].as_array().unwrap();
    let there = nodes.iter().find(|node| node["id"] == named).unwrap();
    assert_eq!(lease.header("lockring-leader"), there["api"].as_str());
    assert_eq!(
        nodes.iter().filter(|node| node["role"] == "voter").count(),
        2
    );

    // What one follower acknowledged, the other shows at once.
    let seen = two.get("/v1/locks/f").await;
    assert_eq!(seen.success(200)["highest_fence"], granted["fence"]);
    assert!(seen.revision() >= lease.revision());
    for node in [&one, &two, &leader] {
        assert_eq!(node.get("/readyz").await.status, 200);
    }
    for node in [two, one, leader] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_lock_is_handed_over_from_node_to_node() {
    let (leader, one, two) = three().await;
    let (session, fence) = one.hold("h").await;
    let mut waiting = TcpStream::connect(two.at).await.unwrap();
    let call = request("POST", "/v1/locks/h/acquire", "", r#"{"wait_ms":20000}"#);
    waiting.write_all(&call).await.unwrap();
    leader
        .lock_until("h", |lock| lock["queue_total"] == 1)
        .await;
    let path = format!("/v1/sessions/{session}/renew");
    two.post(&path, "").await.success(200);
    leader.release("h", &session, fence).await.success(200);
    let granted = read(&mut waiting).await.success(200);
    assert!(granted["fence"].as_u64().unwrap() > fence);
    let next = granted["session"].as_str().unwrap();
    let fence = granted["fence"].as_u64().unwrap();
    one.release("h", next, fence).await.success(200);
    for node in [two, one, leader] {
        node.stop().await;
    }
}

#[tokio::test]
async fn nodes_at_one_revision_tell_the_same_digest() {
    let (leader, one, two) = three().await;
    one.hold("d").await;
    let told = async |node: &Node| {
        let answer = node.get("/v1/cluster/digest").await;
        let digest = answer.success(200)["digest"].as_str().unwrap().to_owned();
        (answer.revision(), digest)
    };
    // Until all three have applied the same.
    let same = async || loop {
        let seen = [told(&leader).await, told(&one).await, told(&two).await];
        if seen.iter().all(|(revision, _)| *revision == seen[0].0) {
            assert!(seen.iter().all(|now| *now == seen[0]), "{seen:?}");
            return seen[0].1.clone();
        }
    };
    let before = same().await;
    assert_eq!(before.len(), 16);
    two.hold("e").await;
    assert_ne!(same().await, before);
    for node in [two, one, leader] {
        node.stop().await;
    }
}

#[tokio::test]
async fn leadership_is_handed_over_and_calls_go_on() {
    let (leader, one, two) = three().await;
    let (session, fence) = one.hold("t").await;
    let moved = two.post("/v1/cluster/transfer", "").await.success(200);
    let cluster = one.get("/v1/cluster").await.success(200);
    assert!(moved["leader"].is_u64(), "{cluster}");
    leader.hold("u").await;
    two.release("t", &session, fence).await.success(200);
    for node in [two, one, leader] {
        node.stop().await;
    }
}
