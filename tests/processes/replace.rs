//! A node's directory is lost.
//!
//! Under its old identity the node would be a voter that forgot its vote and its log, and with it
//! two leaders could be elected. So it is refused, and brought back as what it is: a new node.

use std::process::Command;
use std::time::Duration;

use jepsen_lite::{Answer, Api, wait_for};
use serde_json::{Value, json};

use crate::calls::Caller;
use crate::three_nodes;

#[tokio::test]
async fn a_node_that_lost_its_directory_is_refused_until_it_is_replaced() {
    let mut cluster = three_nodes().await;
    let leader = cluster.leader().await.unwrap();
    let lost = cluster.others(leader)[0];
    let caller = Caller::of_nodes(&cluster, cluster.others(lost));
    let session = caller.open("holder", 600_000).await;
    let held = caller.acquire(&session, "held", 0).await;

    cluster.kill(lost).unwrap();
    cluster.wipe(lost).unwrap();
    cluster.restart(lost).unwrap();
    let api = cluster.api(lost);
    let refusal = first_word(&api).await;
    assert_eq!(refusal.status, 503, "{}", refusal.body);
    wait_told(&api, &format!("lockring cluster replace {lost}")).await;
    // It has nothing to say about any lock, whatever it is asked.
    let asked = api.get("/v1/locks/held").await.unwrap();
    assert_eq!(asked.status, 503, "{}", asked.body);

    // As a person would bring it back, who may well ask that very node first.
    let endpoints = [api.url(), cluster.api(leader).url()].join(",");
    let replace = Command::new(env!("CARGO_BIN_EXE_lockring"))
        .args(["cluster", "replace", &lost.to_string(), "--endpoints"])
        .arg(endpoints)
        .output()
        .unwrap();
    assert!(replace.status.success(), "{replace:?}");
    cluster.wait_ready(lost).await.unwrap();
    let seen = api
        .get("/v1/locks/held")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(seen["holders"][0]["fence"].as_u64(), Some(held.fence));

    // It is a voter again: the cluster goes on with it and without the leader.
    cluster.kill(leader).unwrap();
    let survivors = Caller::of_nodes(&cluster, cluster.others(leader));
    survivors.release(&held).await;
}

#[tokio::test]
async fn a_fourth_node_joins_and_a_node_leaves() {
    let mut cluster = three_nodes().await;
    let fourth = cluster.start_another().unwrap();
    let leader = cluster.leader_among(&[1, 2, 3]).await.unwrap();
    let (api, caller) = (cluster.api(fourth), Caller::of_nodes(&cluster, [1, 2, 3]));
    // It runs, and waits to be joined.
    let waiting = first_word(&api).await;
    assert_eq!(waiting.status, 503, "{}", waiting.body);
    let node = json!({"id": fourth, "api": api.url(), "peer": cluster.peer(fourth)});
    join(&cluster.api(leader), node).await;
    cluster.wait_ready(fourth).await.unwrap();
    let session = caller.open("holder", 600_000).await;
    let held = caller.acquire(&session, "held", 0).await;
    let seen = api
        .get("/v1/locks/held")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(seen["holders"][0]["fence"].as_u64(), Some(held.fence));

    let leaves = cluster.others(leader)[0];
    let path = format!("/v1/cluster/nodes/{leaves}");
    let removed = cluster.api(leader).delete(&path).await.unwrap();
    let removed = removed.expect(200).unwrap();
    let nodes = removed["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|node| node["id"] != leaves), "{removed}");
    caller.release(&held).await;
}

/// Asks a node to bring another in, again as long as it says that nothing came of it: on a busy
/// machine a leader may be without a quorum for a moment.
async fn join(at: &Api, node: Value) {
    let answered = wait_for(
        "the node to be joined",
        Duration::from_secs(30),
        async || {
            let answer = at.post("/v1/cluster/nodes", node.clone()).await.unwrap();
            let nothing = answer.status == 503 && answer.body["certainty"] == "no_effect";
            (!nothing).then_some(answer)
        },
    );
    answered.await.unwrap().expect(200).unwrap();
}

/// Waits until a node that is not ready says these words: it may have to ask the others first.
async fn wait_told(api: &Api, words: &str) {
    let told = async || {
        let answer = api.get("/readyz").await.ok()?;
        let detail = answer.body["detail"].as_str()?;
        detail.contains(words).then_some(())
    };
    wait_for(words, Duration::from_secs(30), told)
        .await
        .unwrap();
}

/// What a node says of its readiness as soon as it says something.
async fn first_word(api: &Api) -> Answer {
    let asked = async || api.get("/readyz").await.ok();
    let within = Duration::from_secs(30);
    wait_for("word from the node", within, asked).await.unwrap()
}
