//! A node's disk is full: it says so and stops, and the others serve.

use std::time::Duration;

use crate::calls::Caller;
use crate::three_nodes;

#[tokio::test]
async fn a_leader_whose_disk_is_full_says_so_and_stops_while_the_others_serve() {
    let mut cluster = three_nodes().await;
    let leader = cluster.leader().await.unwrap();
    let survivors = Caller::of_nodes(&cluster, cluster.others(leader));
    let session = survivors.open("holder", 600_000).await;
    let before = survivors.acquire(&session, "before", 0).await;

    cluster.fill_disk(leader).unwrap();
    let during = survivors.acquire(&session, "during", 0).await;
    let ended = cluster
        .wait_exit(leader, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(ended.code(), Some(1), "{ended}");
    let log = cluster.log_tail(leader);
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "one clear line at level ERROR, not: {log}");
    assert!(during.fence > before.fence);
    assert_eq!(survivors.held_fence("before").await, Some(before.fence));

    // With room again it comes back, and has what it missed.
    cluster.restart(leader).unwrap();
    cluster.wait_ready(leader).await.unwrap();
    let seen = Caller::of_nodes(&cluster, [leader])
        .held_fence("during")
        .await;
    assert_eq!(seen, Some(during.fence));
}
