//! The client against a real cluster: what it leaves behind, what it is told, what it follows.

use std::time::Duration;

use jepsen_lite::{Cluster, wait_for};
use lockring_client::{Client, Session};
use tokio::time::timeout;

use crate::three_nodes;

const PATIENCE: Duration = Duration::from_secs(30);

async fn open(client: &Client, owner: &str) -> Session {
    let ttl = Duration::from_secs(60);
    client.session().ttl(ttl).owner(owner).open().await.unwrap()
}

fn client(cluster: &Cluster) -> Client {
    Client::new(cluster.endpoints()).unwrap()
}

/// Waits until nobody waits for the lock, and holders are as many as that.
async fn settles(client: &Client, lock: &str, holders: usize) {
    let what = format!("{lock}: {holders} holders and nobody who waits");
    let settled = wait_for(&what, PATIENCE, async || {
        let view = client.get_lock(lock).await.ok()?;
        (view.queue.is_empty() && view.holders.len() == holders).then_some(())
    });
    settled.await.unwrap();
}

#[tokio::test]
async fn a_dropped_acquire_leaves_neither_a_place_nor_a_lease() {
    let cluster = three_nodes().await;
    let client = client(&cluster);
    let (holder, other) = (open(&client, "holder").await, open(&client, "other").await);
    for round in 0..12 {
        let guard = holder.acquire("db").await.unwrap();
        let patience = Duration::from_millis(round * 4);
        let dropped = timeout(patience, other.acquire("db")).await;
        assert!(dropped.is_err(), "it cannot have been granted");
        settles(&client, "db", 1).await;
        guard.release().await.unwrap();
        settles(&client, "db", 0).await;
    }
    // The grant and the drop at the same moment: whichever came first, nothing is left.
    for round in 0..12 {
        let guard = holder.acquire("db").await.unwrap();
        let patience = Duration::from_millis(round);
        let (released, dropped) = tokio::join!(
            async {
                tokio::time::sleep(patience).await;
                guard.release().await
            },
            timeout(patience + Duration::from_millis(3), other.acquire("db")),
        );
        released.unwrap();
        drop(dropped);
        settles(&client, "db", 0).await;
    }
}
