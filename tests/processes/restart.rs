//! All nodes die at once, and come back.

use serde_json::Value;

use crate::calls::Caller;
use crate::three_nodes;

#[tokio::test]
async fn a_cluster_that_died_whole_comes_back_with_all_that_it_acknowledged() {
    let mut cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let session = caller.open("holder", 600_000).await;
    let mut leases = Vec::new();
    for nth in 0..20 {
        leases.push(caller.acquire(&session, &format!("lock-{nth}"), 0).await);
    }
    let given_up = leases.pop().unwrap();
    caller.release(&given_up).await;
    let other = caller.open("waiter", 600_000).await;
    let waiting = tokio::spawn({
        let caller = caller.clone();
        async move { caller.acquire(&other, "lock-0", 600_000).await }
    });
    caller.wait_queued("lock-0", 1).await;

    for id in cluster.ids() {
        cluster.kill(id).unwrap();
    }
    for id in cluster.ids() {
        cluster.restart(id).unwrap();
    }
    cluster.wait_all_ready().await.unwrap();

    for lease in &leases {
        assert_eq!(caller.held_fence(&lease.lock).await, Some(lease.fence));
    }
    assert_eq!(
        caller.lock(&given_up.lock).await["state"],
        Value::from("free")
    );
    // The place outlived every process that knew of it.
    caller.wait_queued("lock-0", 1).await;
    caller.release(&leases[0]).await;
    let granted = waiting.await.unwrap();
    let highest = given_up.fence.max(leases.last().unwrap().fence);
    assert!(granted.fence > highest, "{granted:?} after {highest}");
}

#[tokio::test]
async fn two_nodes_of_three_can_be_stopped_and_started_one_after_the_other() {
    let mut cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let session = caller.open("holder", 600_000).await;
    for id in cluster.ids() {
        let lease = caller.acquire(&session, "rolling", 0).await;
        let ended = cluster.terminate(id).await.unwrap();
        assert!(ended.success(), "{ended}");
        assert_eq!(caller.held_fence("rolling").await, Some(lease.fence));
        caller.release(&lease).await;
        cluster.restart(id).unwrap();
        cluster.wait_ready(id).await.unwrap();
    }
}
