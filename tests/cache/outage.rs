//! The control plane is gone: cache nodes serve as long as they may, and come back by themselves.

use std::time::{Duration, Instant};

use jepsen_lite::{Cluster, Options};

use crate::node::{CacheNode, SOON, settled};

/// The life of the node's session: a slow machine's renewals are late by much less.
const TTL: Duration = Duration::from_secs(9);

async fn ask(address: &str, words: &[&str]) -> Result<String, redis::RedisError> {
    let client = redis::Client::open(format!("redis://{address}"))?;
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(SOON))
        .set_response_timeout(Some(SOON));
    let connected = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connected.await?;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await
}

#[tokio::test]
async fn without_a_control_plane_a_node_serves_until_its_session_ends_and_recovers_alone() {
    let mut cluster = Cluster::start(Options::new(env!("CARGO_BIN_EXE_lockring")))
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = CacheNode::living(TTL, &cluster, dir.path(), "a", &[]);
    settled(&cluster, &["a"]).await;
    ask(&node.resp, &["SET", "k", "v"]).await.unwrap();

    for id in cluster.ids() {
        cluster.kill(id).unwrap();
    }
    // No renewal is later than this. What is answered after a session's end was asked before it.
    let down = Instant::now();
    assert_eq!(ask(&node.resp, &["GET", "k"]).await.unwrap(), "v");
    let error = loop {
        let asked = down.elapsed();
        match ask(&node.resp, &["GET", "k"]).await {
            Ok(value) => assert_eq!(value, "v"),
            Err(error) => break error,
        }
        assert!(asked <= TTL, "it answers what it was asked after {asked:?}");
        assert!(down.elapsed() < SOON, "it never stops");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let served = down.elapsed();
    println!("it served for {served:?} without a control plane, its session is of {TTL:?}");
    assert_eq!(error.code(), Some("CLUSTERDOWN"), "{error}");
    assert!(served >= TTL / 3, "{served:?}");

    for id in cluster.ids() {
        cluster.restart(id).unwrap();
    }
    let back = Instant::now();
    while ask(&node.resp, &["SET", "k", "w"]).await.is_err() {
        assert!(back.elapsed() < SOON, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "it serves again {:?} after the control plane was started",
        back.elapsed()
    );
    assert_eq!(ask(&node.resp, &["GET", "k"]).await.unwrap(), "w");
}
