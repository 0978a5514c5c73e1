//! What a healthy cluster does.

use std::time::Duration;

use lockring_core::{Command, Op, Outcome, Refusal, What};

use super::cluster::{Cluster, SOON, acquire, certain, eventually, granted, lock, open_session};

#[tokio::test]
async fn any_node_serves_and_all_agree() {
    let mut cluster = Cluster::three().await;
    let mut fences = Vec::new();
    for (id, replica) in &cluster.nodes {
        let session = open_session(replica, 60_000).await;
        let grant = granted(replica, session, &format!("lock-{id}")).await;
        fences.push(grant.fence);
    }
    assert!(
        fences.is_sorted_by(|before, after| before < after),
        "{fences:?}"
    );
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn one_of_many_gets_the_lock_whichever_node_they_ask() {
    let mut cluster = Cluster::three().await;
    let attempts = cluster.nodes.values().flat_map(|replica| {
        (0..20).map(move |_| async move {
            let session = open_session(replica, 60_000).await;
            acquire(replica, session, "one").await
        })
    });
    let outcomes = futures_util::future::join_all(attempts).await;
    let won = |outcome: &&Outcome| matches!(outcome, Outcome::Granted(_));
    let lost = |outcome: &&Outcome| matches!(outcome, Outcome::Refused(Refusal::Held { .. }));
    assert_eq!(outcomes.iter().filter(won).count(), 1);
    assert_eq!(outcomes.iter().filter(lost).count(), 59);
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn whoever_is_answered_finds_the_revision_applied_where_it_asked() {
    let mut cluster = Cluster::three().await;
    let replica = &cluster.nodes[&cluster.follower().await];
    let session = open_session(replica, 60_000).await;
    for number in 0..50 {
        let name = format!("lock-{number}");
        granted(replica, session, &name).await;
        let held = replica.view(|machine| machine.lock(&lock(&name)));
        assert!(held.is_some(), "{name}");
    }
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_barrier_on_any_node_shows_what_was_acknowledged_on_another() {
    let mut cluster = Cluster::three().await;
    let writer = &cluster.nodes[&cluster.leader().await];
    let session = open_session(writer, 60_000).await;
    for number in 0..50 {
        let name = format!("lock-{number}");
        granted(writer, session, &name).await;
        for (id, reader) in &cluster.nodes {
            let now = reader.read_barrier(SOON).await.unwrap();
            let held = reader.view(|machine| machine.lock(&lock(&name)));
            assert!(held.is_some(), "{name} on node {id}");
            assert!(now >= reader.view(lockring_core::Machine::clock));
        }
    }
    cluster.stop_all().await;
}

#[tokio::test]
async fn every_node_tells_the_same_events_in_the_order_of_revisions() {
    let mut cluster = Cluster::three().await;
    let mut listeners: Vec<_> = cluster
        .nodes
        .values()
        .map(|node| node.subscribe())
        .collect();
    let replica = &cluster.nodes[&1];
    let session = open_session(replica, 60_000).await;
    for number in 0..20 {
        granted(replica, session, &format!("lock-{number}")).await;
    }
    certain(replica, Op::Close { session }).await;
    let mut told = Vec::new();
    for news in &mut listeners {
        let mut events = Vec::new();
        let closed = |what: &What| matches!(what, What::SessionEnded { .. });
        while !events.iter().any(closed) {
            let news = tokio::time::timeout(SOON, news.recv())
                .await
                .unwrap()
                .unwrap();
            let revisions: Vec<u64> = news.events.iter().map(|event| event.revision).collect();
            assert!(revisions.is_sorted(), "{revisions:?}");
            events.extend(news.events.iter().map(|event| event.what.clone()));
        }
        told.push(events);
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[1], told[2]);
    cluster.stop_all().await;
}

#[tokio::test]
async fn what_is_due_falls_due_by_a_tick_and_not_before_its_time() {
    let mut cluster = Cluster::three().await;
    let started = crate::clock::instant();
    let session = open_session(&cluster.nodes[&cluster.leader().await], 500).await;
    let ended_after = loop {
        // Where the machine is busy, another may lead by now.
        let leader = &cluster.nodes[&cluster.leader().await];
        let ticked = leader.tick().await;
        if ticked.is_ok() && leader.view(|machine| machine.session(session).is_err()) {
            break started.elapsed();
        }
        assert!(started.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(ended_after >= Duration::from_millis(500), "{ended_after:?}");
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn without_a_majority_nothing_is_taken_and_the_caller_is_told() {
    let mut cluster = Cluster::three().await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster
        .nodes
        .keys()
        .copied()
        .filter(|id| *id != leader)
        .collect();
    for id in others {
        cluster.stop(id).await;
    }
    let replica = &cluster.nodes[&leader];
    let within = Duration::from_millis(300);
    assert!(replica.read_barrier(within).await.is_err());
    eventually("a leader that knows it has lost its majority", || {
        (!replica.role().borrow().leads || replica.status().leader.is_some()).then_some(())
    })
    .await;
    let close = Op::Close {
        session: lockring_core::SessionId::from_bits(1),
    };
    let command = Command {
        request: None,
        op: close,
    };
    assert!(replica.propose(command, within).await.is_err());
    cluster.stop_all().await;
}
