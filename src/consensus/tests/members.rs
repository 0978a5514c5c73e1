//! Nodes join, leave, come back without their disk, and lead by request.

use super::cluster::{Cluster, SOON, eventually, granted, open_session};
use crate::consensus::{MemberRole, MembershipError, Standing, Timing};

fn roles(cluster: &Cluster, by: u64) -> Vec<(u64, MemberRole)> {
    let members = cluster.nodes[&by].status().members.into_iter();
    members.map(|member| (member.id, member.role)).collect()
}

#[tokio::test]
async fn a_node_joins_and_votes_and_another_leaves() {
    let mut cluster = Cluster::begin(&[1], Timing::default()).await;
    let session = open_session(&cluster.nodes[&1], 60_000).await;
    for id in [2, 3, 4] {
        cluster.start(id).await;
        let mut standing = cluster.nodes[&id].standing();
        let outside = standing.wait_for(|now| matches!(now, Standing::Outside(_)));
        tokio::time::timeout(SOON, outside).await.unwrap().unwrap();
        cluster.join(1, id).await;
    }
    let all = [1, 2, 3, 4];
    let voters = |cluster: &Cluster, by| {
        let members = roles(cluster, by).into_iter();
        let voters = members.filter(|(_, role)| *role != MemberRole::Learner);
        voters.map(|(id, _)| id).collect::<Vec<u64>>()
    };
    eventually("four voters everywhere", || {
        all.iter()
            .all(|by| voters(&cluster, *by) == all)
            .then_some(())
    })
    .await;
    let mut standing = cluster.nodes[&4].standing();
    let member = standing.wait_for(|now| *now == Standing::Member);
    tokio::time::timeout(SOON, member).await.unwrap().unwrap();
    granted(&cluster.nodes[&4], session, "by the newest").await;
    let leader = cluster.leader().await;
    let leaving = if leader == 4 { 3 } else { 4 };
    // Any node can be asked, also the one that leaves.
    cluster.nodes[&leaving].remove(leaving).await.unwrap();
    cluster.stop(leaving).await;
    let left: Vec<u64> = all.into_iter().filter(|id| *id != leaving).collect();
    eventually("three voters everywhere", || {
        left.iter()
            .all(|by| voters(&cluster, *by) == left)
            .then_some(())
    })
    .await;
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_leader_that_leaves_hands_over_first() {
    let mut cluster = Cluster::three().await;
    let leader = cluster.leader().await;
    cluster.nodes[&leader].remove(leader).await.unwrap();
    cluster.stop(leader).await;
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    let replica = &cluster.nodes[&next];
    let session = open_session(replica, 60_000).await;
    granted(replica, session, "after").await;
    assert!(roles(&cluster, next).iter().all(|(id, _)| *id != leader));
    cluster.stop_all().await;
}

#[tokio::test]
async fn the_last_voter_stays() {
    let mut cluster = Cluster::begin(&[1], Timing::default()).await;
    let refused = cluster.nodes[&1].remove(1).await.unwrap_err();
    assert!(matches!(refused, MembershipError::Refused(_)), "{refused}");
    let unknown = cluster.nodes[&1].remove(9).await.unwrap_err();
    assert_eq!(unknown, MembershipError::NotFound(9));
    cluster.stop_all().await;
}

#[tokio::test]
async fn leadership_moves_to_whom_it_is_given() {
    let mut cluster = Cluster::three().await;
    for round in 0..3 {
        let leader = cluster.leader().await;
        let to = cluster.follower().await;
        // Asked on the third node, which passes it on.
        let third = *cluster
            .nodes
            .keys()
            .find(|id| ![leader, to].contains(id))
            .unwrap();
        assert_eq!(cluster.nodes[&third].transfer(Some(to)).await, Ok(to));
        assert_eq!(cluster.leader().await, to);
        let session = open_session(&cluster.nodes[&third], 60_000).await;
        granted(&cluster.nodes[&leader], session, &format!("round-{round}")).await;
    }
    let leader = cluster.leader().await;
    let next = cluster.nodes[&leader].transfer(None).await.unwrap();
    assert_ne!(next, leader);
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_node_that_lost_its_directory_is_refused_until_it_is_replaced() {
    let mut cluster = Cluster::three().await;
    let lost = cluster.follower().await;
    let leader = cluster.leader().await;
    let session = open_session(&cluster.nodes[&leader], 60_000).await;
    granted(&cluster.nodes[&leader], session, "before").await;
    cluster.stop(lost).await;
    cluster.wipe(lost);
    cluster.start(lost).await;
    let mut standing = cluster.nodes[&lost].standing();
    let outside = standing.wait_for(|now| matches!(now, Standing::Outside(_)));
    let outside = tokio::time::timeout(SOON, outside).await.unwrap().unwrap();
    assert!(matches!(&*outside, Standing::Outside(why) if why.contains("lost")));
    drop(outside);
    granted(&cluster.nodes[&leader], session, "meanwhile").await;
    let figures = cluster.nodes[&lost].figures();
    assert_eq!(figures.last_log_index, None, "nobody sends it the log");

    let third = *cluster
        .nodes
        .keys()
        .find(|id| ![leader, lost].contains(id))
        .unwrap();
    cluster.join(third, lost).await;
    granted(&cluster.nodes[&lost], session, "after").await;
    cluster.agree().await;
    // It is a voter again: with one of the others gone, the two still are a majority.
    cluster.stop(third).await;
    granted(&cluster.nodes[&lost], session, "and later").await;
    cluster.stop_all().await;
}

#[tokio::test]
async fn the_lowest_member_does_not_begin_a_second_cluster_when_it_lost_its_directory() {
    let mut cluster = Cluster::three().await;
    let session = open_session(&cluster.nodes[&2], 600_000).await;
    let grant = granted(&cluster.nodes[&2], session, "only one").await;
    cluster.stop(1).await;
    cluster.wipe(1);
    cluster.start(1).await;
    let mut standing = cluster.nodes[&1].standing();
    let outside = standing.wait_for(|now| matches!(now, Standing::Outside(_)));
    tokio::time::timeout(SOON, outside).await.unwrap().unwrap();
    cluster.join(2, 1).await;
    let replica = &cluster.nodes[&1];
    replica.read_barrier(SOON).await.unwrap();
    let held = replica.view(|machine| machine.lock(&super::cluster::lock("only one")));
    assert_eq!(held.unwrap().holders[0].fence, grant.fence);
    cluster.stop_all().await;
}
