//! The client against a real cluster: what it leaves behind, what it is told, what it follows.

use std::time::Duration;

use jepsen_lite::{Cluster, wait_for};
use lockring_client::wire::{EventKind, GoneCause, Revoke};
use lockring_client::{Client, LostCause, Mode, Notice, Session, Want, blocking};
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

#[tokio::test]
async fn a_dropped_wait_for_many_locks_or_for_an_upgrade_leaves_what_was_before() {
    let cluster = three_nodes().await;
    let client = client(&cluster);
    let (one, two) = (open(&client, "one").await, open(&client, "two").await);
    let held = one.acquire("b").await.unwrap();
    let wants = ["a", "b", "c"].map(Want::exclusive);
    let dropped = timeout(Duration::from_millis(80), two.acquire_all(wants)).await;
    assert!(dropped.is_err());
    for (lock, holders) in [("a", 0), ("b", 1), ("c", 0)] {
        settles(&client, lock, holders).await;
    }
    held.release().await.unwrap();

    let shared = one.lock("s").shared().acquire().await.unwrap();
    let mut upgrader = two.lock("s").shared().acquire().await.unwrap();
    let upgrade = upgrader.upgrade(Duration::from_secs(20));
    assert!(timeout(Duration::from_millis(80), upgrade).await.is_err());
    settles(&client, "s", 2).await;
    assert!(upgrader.is_valid() && shared.is_valid());
    shared.release().await.unwrap();
    let before = upgrader.fence();
    upgrader.upgrade(PATIENCE).await.unwrap();
    assert!(upgrader.fence() > before && upgrader.mode() == Mode::Exclusive);
    upgrader.downgrade().await.unwrap();
    assert_eq!(upgrader.mode(), Mode::Shared);
    upgrader.release().await.unwrap();
    settles(&client, "s", 0).await;
}

#[tokio::test]
async fn a_holder_is_told_what_an_operator_does() {
    let cluster = three_nodes().await;
    let client = client(&cluster);
    let session = open(&client, "holder").await;
    let (broken, asked) = (session.acquire("one").await, session.acquire("two").await);
    let (broken, asked) = (broken.unwrap(), asked.unwrap());
    client
        .break_lock("one", "a stuck deployment")
        .await
        .unwrap();
    let cause = timeout(PATIENCE, broken.lost()).await.unwrap();
    let reason = "a stuck deployment".to_owned();
    assert_eq!(cause, LostCause::Broken { reason });
    assert!(!broken.is_valid() && asked.is_valid());

    let revoke = Revoke {
        reason: "maintenance".to_owned(),
        deadline_ms: 60_000,
    };
    client.revoke_lock("two", &revoke).await.unwrap();
    let revocation = timeout(PATIENCE, asked.revoke_requested()).await.unwrap();
    assert_eq!(revocation.reason, "maintenance");
    assert!(asked.is_valid());

    let reason = "the whole machine goes";
    let digits = &session.id()[..8];
    client.end_session(digits, reason).await.unwrap();
    let ended = LostCause::Gone {
        cause: GoneCause::EndedByOperator,
        reason: Some(reason.to_owned()),
    };
    assert_eq!(timeout(PATIENCE, asked.lost()).await.unwrap(), ended);
    assert_eq!(timeout(PATIENCE, session.lost()).await.unwrap(), ended);
}

#[tokio::test]
async fn a_lease_ends_at_its_longest_hold_by_the_holders_own_count() {
    let cluster = three_nodes().await;
    let client = client(&cluster);
    let (one, two) = (open(&client, "one").await, open(&client, "two").await);
    let hold = Duration::from_millis(400);
    let guard = one.lock("db").max_hold(hold).acquire().await.unwrap();
    let (lost, next) = tokio::join!(timeout(PATIENCE, guard.lost()), two.acquire("db"));
    assert_eq!(lost.unwrap(), LostCause::MaxHold);
    assert!(!guard.is_valid() && next.unwrap().fence() > guard.fence());
    assert!(one.remaining() > hold, "the session lives on");
}

#[tokio::test]
async fn a_lease_is_given_to_another_session() {
    let cluster = three_nodes().await;
    let client = client(&cluster);
    let (one, two) = (open(&client, "one").await, open(&client, "two").await);
    let guard = one.lock("db").value("from one").acquire().await.unwrap();
    guard.set_value("changed").await.unwrap();
    let fence = guard.transfer(two.id()).await.unwrap();
    assert_eq!(guard.lost().await, LostCause::Transferred);
    let guard = two.try_acquire("db").await.unwrap();
    assert_eq!(guard.fence(), fence);
    let view = client.get_lock("db").await.unwrap();
    assert_eq!(view.holders[0].value.as_deref(), Some("changed"));
    guard.release().await.unwrap();
}

#[tokio::test]
async fn events_go_on_over_the_death_of_the_node_that_told_them() {
    let mut cluster = three_nodes().await;
    let client = client(&cluster);
    let session = open(&client, "worker").await;
    let mut events = client.events().prefix("jobs/").subscribe();
    events.connect().await.unwrap();
    let mut fences = Vec::new();
    for round in 0..6 {
        if round == 3 {
            let leader = client.cluster().await.unwrap().leader.unwrap();
            cluster.kill(leader).unwrap();
        }
        let guard = session.acquire(&format!("jobs/{round}")).await.unwrap();
        fences.push(guard.fence().number());
        guard.release().await.unwrap();
    }
    let mut told = Vec::new();
    while told.len() < fences.len() {
        match timeout(PATIENCE, events.next()).await.unwrap().unwrap() {
            Notice::Event(event) if event.event == EventKind::Granted => {
                told.push(event.fence.unwrap());
            }
            Notice::Event(_) => {}
            Notice::Gap(gap) => panic!("nothing was dropped: {gap:?}"),
        }
    }
    assert_eq!(told, fences);
}

#[tokio::test]
async fn the_facade_that_waits_may_be_called_where_nothing_should_wait() {
    let cluster = three_nodes().await;
    // Deliberately not in `spawn_blocking`: it must not panic, whoever calls it.
    let client = blocking::Client::new(cluster.endpoints()).unwrap();
    let session = client.session(|session| session.owner("blocking")).unwrap();
    let guard = session.acquire("db").unwrap();
    assert!(guard.is_valid());
    let other = client.session(|session| session.owner("other")).unwrap();
    assert!(other.try_acquire("db").unwrap_err().is_held());
    let wait = Duration::from_secs(5);
    let shared = other.acquire_with("s", wait, |lock| lock.shared()).unwrap();
    assert_eq!(shared.mode(), Mode::Shared);
    assert_eq!(guard.lost_within(Duration::from_millis(10)), None);
    guard.release().unwrap();
    let guard = other.acquire_for("db", wait).unwrap();
    drop((shared, guard, session, other));
    // The last handle waits until the sessions are closed.
    drop(client);
    let check = self::client(&cluster);
    assert!(check.get_lock("db").await.unwrap().holders.is_empty());
    assert!(check.get_lock("s").await.unwrap().holders.is_empty());
}
