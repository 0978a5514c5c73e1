//! A node was away for longer than the log goes back.

use crate::calls::Caller;
use crate::with_sections;

#[tokio::test]
async fn a_node_that_lags_behind_the_cut_log_catches_up_by_snapshot() {
    let small = "[snapshots]\nevery_entries = 60\nkeep_entries = 10\n";
    let mut cluster = with_sections(small).await;
    let leader = cluster.leader().await.unwrap();
    let away = cluster.others(leader)[0];
    let caller = Caller::of_nodes(&cluster, cluster.others(away));
    let session = caller.open("holder", 600_000).await;
    let old = caller.acquire(&session, "old", 0).await;

    cluster.kill(away).unwrap();
    for _ in 0..200 {
        let lease = caller.acquire(&session, "busy", 0).await;
        caller.release(&lease).await;
    }
    let new = caller.acquire(&session, "new", 0).await;
    cluster.restart(away).unwrap();
    cluster.wait_ready(away).await.unwrap();

    let sent = cluster.log_tail(leader).contains("sends a snapshot");
    assert!(
        sent,
        "the log alone was enough, which this test is not about"
    );
    // It has it all, by its own word.
    for lease in [&old, &new] {
        let path = format!("/v1/locks/{}?consistency=stale", lease.lock);
        let seen = cluster.api(away).get(&path).await.unwrap();
        let seen = seen.expect(200).unwrap();
        assert_eq!(seen["holders"][0]["fence"].as_u64(), Some(lease.fence));
    }
    // And it votes on it: with the leader gone, it takes one of the two that are left.
    cluster.kill(leader).unwrap();
    let survivors = Caller::of_nodes(&cluster, cluster.others(leader));
    survivors.release(&new).await;
    assert_eq!(survivors.held_fence("old").await, Some(old.fence));
}
