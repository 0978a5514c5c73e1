//! Leaders go, nodes go, all go; what was acknowledged stays.

use std::time::Duration;

use lockring_core::{ClusterTime, Outcome};

use super::cluster::{Cluster, SOON, acquire, eventually, granted, lock, open_session};
use crate::clock;
use crate::consensus::Timing;

#[tokio::test]
async fn another_node_serves_when_the_leader_goes() {
    let mut cluster = Cluster::three().await;
    let survivor = cluster.follower().await;
    let session = open_session(&cluster.nodes[&survivor], 60_000).await;
    let before = granted(&cluster.nodes[&survivor], session, "held").await;
    let leader = cluster.leader().await;
    let term = cluster.nodes[&survivor].role().borrow().term;
    cluster.stop(leader).await;
    let after = granted(&cluster.nodes[&survivor], session, "next").await;
    assert!(after.fence > before.fence);
    assert!(cluster.nodes[&survivor].role().borrow().term > term);
    let held = cluster.nodes[&survivor].view(|machine| machine.lock(&lock("held")));
    assert_eq!(held.unwrap().holders[0].fence, before.fence);
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn commands_under_way_when_the_leader_goes_have_one_effect() {
    let mut cluster = Cluster::three().await;
    let survivor = cluster.follower().await;
    let leader = cluster.leader().await;
    let replica = cluster.nodes[&survivor].clone();
    let session = open_session(&replica, 60_000).await;
    let working = tokio::spawn(async move {
        let mut fences = Vec::new();
        for number in 0..300 {
            fences.push(
                granted(&replica, session, &format!("lock-{number}"))
                    .await
                    .fence,
            );
        }
        fences
    });
    let watched = cluster.nodes[&survivor].clone();
    eventually("work under way", || {
        (watched.view(|machine| machine.counts().leases) >= 50).then_some(())
    })
    .await;
    cluster.stop(leader).await;
    let fences = tokio::time::timeout(SOON, working).await.unwrap().unwrap();
    assert!(fences.is_sorted_by(|before, after| before < after));
    let leases = cluster.nodes[&survivor].view(|machine| machine.counts().leases);
    assert_eq!(leases, 300);
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn no_session_ends_early_across_a_failover() {
    let mut cluster = Cluster::three().await;
    let survivor = cluster.follower().await;
    let ttl = Duration::from_millis(1_500);
    let opened = clock::instant();
    let session = open_session(&cluster.nodes[&survivor], 1_500).await;
    let leader = cluster.leader().await;
    cluster.stop(leader).await;
    let next = cluster.leader().await;
    let replica = &cluster.nodes[&next];
    let ended_after = loop {
        // A tick that finds its leader deposed says so, and another leads soon.
        let _ = replica.tick().await;
        if replica.view(|machine| machine.session(session).is_err()) {
            break opened.elapsed();
        }
        assert!(opened.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(ended_after >= ttl, "{ended_after:?}");
    cluster.stop_all().await;
}

#[tokio::test]
async fn cluster_time_stands_still_while_nobody_leads() {
    let mut cluster = Cluster::three().await;
    open_session(&cluster.nodes[&1], 60_000).await;
    let clock_of = |cluster: &Cluster, id: u64| -> ClusterTime {
        cluster.nodes[&id].view(lockring_core::Machine::clock)
    };
    cluster.agree().await;
    let before = clock_of(&cluster, 1);
    cluster.stop_all().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let restarted = clock::instant();
    let leader = cluster.leader().await;
    cluster.nodes[&leader].tick().await.unwrap();
    let passed = clock_of(&cluster, leader).ms_since(before);
    assert!(
        u128::from(passed) <= restarted.elapsed().as_millis(),
        "{passed} ms"
    );
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_restart_of_all_keeps_what_was_acknowledged() {
    let mut cluster = Cluster::three().await;
    let session = open_session(&cluster.nodes[&2], 60_000).await;
    let grant = granted(&cluster.nodes[&2], session, "kept").await;
    cluster.stop_all().await;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let replica = &cluster.nodes[&3];
    replica.read_barrier(SOON).await.unwrap();
    let kept = replica.view(|machine| machine.lock(&lock("kept"))).unwrap();
    assert_eq!(kept.holders[0].fence, grant.fence);
    let other = open_session(replica, 60_000).await;
    assert!(matches!(
        acquire(replica, other, "kept").await,
        Outcome::Refused(_)
    ));
    let next = granted(replica, other, "other").await;
    assert!(next.fence > grant.fence);
    cluster.agree().await;
    cluster.stop_all().await;
}

/// A leader tried the log stream to a node that was down thousands of times a second, with all of
/// a core: openraft's pause between attempts is in the stream's input, which nobody had awaited.
#[tokio::test]
async fn a_node_that_is_down_is_dialed_in_moderation_and_followed_at_once() {
    let mut cluster = Cluster::three().await;
    let down = cluster.follower().await;
    let leader = cluster.leader().await;
    cluster.stop(down).await;
    let session = open_session(&cluster.nodes[&leader], 60_000).await;
    let (before, since) = (cluster.network.refused(), clock::instant());
    let mut number = 0;
    while since.elapsed() < Duration::from_secs(1) {
        granted(&cluster.nodes[&leader], session, &format!("lock-{number}")).await;
        number += 1;
    }
    let dialed = cluster.network.refused() - before;
    let bound = 60 * (1 + since.elapsed().as_millis() / 1000);
    assert!(
        u128::from(dialed) < bound,
        "{dialed} in {:?}",
        since.elapsed()
    );
    cluster.start(down).await;
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_node_behind_the_purged_log_catches_up_by_snapshot() {
    let timing = Timing {
        snapshot_entries: 100,
        kept_entries: 10,
        ..Timing::default()
    };
    let mut cluster = Cluster::begin(&[1, 2, 3], timing).await;
    let laggard = cluster.follower().await;
    let leader = cluster.leader().await;
    cluster.stop(laggard).await;
    let session = open_session(&cluster.nodes[&leader], 60_000).await;
    let replica = &cluster.nodes[&leader];
    for number in 0..400 {
        granted(replica, session, &format!("lock-{number}")).await;
    }
    eventually("a purged log", || {
        (replica.figures().purged_index? > 200).then_some(())
    })
    .await;
    cluster.start(laggard).await;
    cluster.agree().await;
    let caught_up = &cluster.nodes[&laggard];
    assert!(caught_up.figures().snapshot_index.is_some());
    // What it got is durable: it is there without anybody else's help.
    granted(caught_up, session, "after").await;
    cluster.stop_all().await;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.nodes[&laggard].read_barrier(SOON).await.unwrap();
    let leases = cluster.nodes[&laggard].view(|machine| machine.counts().leases);
    assert_eq!(leases, 401);
    cluster.agree().await;
    cluster.stop_all().await;
}
