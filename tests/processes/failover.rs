//! The leader dies, in the middle of everything: what was acknowledged is still true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jepsen_lite::Cluster;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::calls::{Caller, Granted};
use crate::three_nodes;

/// What the documentation says is one second; a machine that runs other tests at the same time
/// gets three.
const SERVES_AGAIN_WITHIN: Duration = Duration::from_secs(3);

/// What one worker was told, in order.
#[derive(Default)]
struct Told {
    granted: Vec<Granted>,
    /// Whether the last grant's release was acknowledged too.
    released: bool,
    /// When each grant was acknowledged.
    at: Vec<Instant>,
}

/// Takes and releases one lock until it is told to stop; half of the time it stops holding it.
async fn work(caller: Caller, lock: String, stop: Arc<AtomicBool>) -> Told {
    let session = caller.open("worker", 60_000).await;
    let mut told = Told::default();
    while !stop.load(Ordering::Relaxed) {
        let lease = caller.acquire(&session, &lock, 0).await;
        told.granted.push(lease.clone());
        told.at.push(Instant::now());
        told.released = false;
        if stop.load(Ordering::Relaxed) && lease.fence.is_multiple_of(2) {
            break;
        }
        caller.release(&lease).await;
        told.released = true;
    }
    told
}

fn assert_rising(fences: impl IntoIterator<Item = u64>) {
    let mut last = 0;
    for fence in fences {
        assert!(last < fence, "fence {fence} after {last}");
        last = fence;
    }
}

#[tokio::test]
async fn a_killed_leader_takes_nothing_that_was_acknowledged_with_it() {
    let mut cluster = three_nodes().await;
    let leader = cluster.leader().await.unwrap();
    let everybody = Caller::of(&cluster);
    let survivors = Caller::of_nodes(&cluster, cluster.others(leader));

    let holder = everybody.open("holder", 60_000).await;
    let held = everybody.acquire(&holder, "held", 0).await;
    let mut waiters = queue_up(&survivors, "held", 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for nth in 0..8 {
        let lock = format!("work-{nth}");
        workers.spawn(work(everybody.clone(), lock, Arc::clone(&stop)));
    }
    wait_for_grants(&everybody, 200).await;
    let before = everybody.lock("held").await;
    let looked_at = Instant::now();

    cluster.kill(leader).unwrap();
    let killed_at = Instant::now();
    let next = cluster.leader_among(&cluster.others(leader)).await.unwrap();
    wait_for_grants(&survivors, 200).await;
    stop.store(true, Ordering::Relaxed);
    let told = workers.join_all().await;

    let gap = longest_silence(&told, killed_at);
    println!("node {leader} was killed; node {next} led and granted again after {gap:?}");
    assert!(gap < SERVES_AGAIN_WITHIN, "no grant for {gap:?}");
    assert_what_was_told_is_true(&survivors, &told).await;

    let seen = survivors.lock("held").await;
    assert_eq!(seen["holders"][0]["fence"].as_u64(), Some(held.fence));
    assert_same_standing(&before, &seen, looked_at.elapsed());

    // It is handed on in that order, under fences above all before.
    let highest = told.iter().flat_map(|told| &told.granted).map(|g| g.fence);
    let highest = highest.max().unwrap();
    survivors.release(&held).await;
    let mut fences = vec![highest];
    for nth in 0..3 {
        let (who, lease) = waiters.join_next().await.unwrap().unwrap();
        assert_eq!(who, nth);
        fences.push(lease.fence);
        survivors.release(&lease).await;
    }
    assert_rising(fences);
}

/// Lets so many sessions wait for a lock, one after the other.
async fn queue_up(
    caller: &Caller,
    lock: &'static str,
    waiters: usize,
) -> JoinSet<(usize, Granted)> {
    let mut waiting = JoinSet::new();
    for nth in 0..waiters {
        let waiter = caller.clone();
        waiting.spawn(async move {
            let session = waiter.open(&format!("waiter {nth}"), 60_000).await;
            (nth, waiter.acquire(&session, lock, 60_000).await)
        });
        caller.wait_queued(lock, nth + 1).await;
    }
    waiting
}

/// The longest time after `from` in which nobody was granted anything.
fn longest_silence(told: &[Told], from: Instant) -> Duration {
    let mut at: Vec<_> = told.iter().flat_map(|told| told.at.clone()).collect();
    at.retain(|at| *at > from);
    at.push(from);
    at.sort();
    let gaps = at.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().expect("somebody was granted a lock")
}

/// The lease is as long as it was, less the time that passed, and the queue as it stood.
fn assert_same_standing(before: &Value, after: &Value, passed: Duration) {
    let remaining = |lock: &Value| lock["holders"][0]["expires_in_ms"].as_u64().unwrap();
    let (was, is) = (remaining(before), remaining(after));
    let kept = u128::from(is) + passed.as_millis() >= u128::from(was);
    assert!(kept, "{was} ms before, {is} ms after {passed:?}");
    let tickets = |lock: &Value| -> Vec<_> {
        let queue = lock["queue"].as_array().unwrap();
        queue
            .iter()
            .map(|waiter| waiter["ticket"].clone())
            .collect()
    };
    assert_eq!(tickets(before), tickets(after));
}

/// Waits until so many more commands have been applied, which only the workers make.
async fn wait_for_grants(caller: &Caller, commands: u64) {
    let session = caller.open("looker", 60_000).await;
    let from = caller.acquire(&session, "looked-at", 0).await;
    caller.release(&from).await;
    jepsen_lite::wait_for(
        "progress of the workers",
        Duration::from_secs(60),
        async || {
            let now = caller.acquire(&session, "looked-at", 0).await;
            caller.release(&now).await;
            (now.fence > from.fence + commands / 2).then_some(())
        },
    )
    .await
    .unwrap();
}

async fn assert_what_was_told_is_true(caller: &Caller, told: &[Told]) {
    let mut all: Vec<_> = Vec::new();
    for told in told {
        let fences = told.granted.iter().map(|lease| lease.fence);
        all.extend(fences.clone());
        assert_rising(fences);
        let last = told.granted.last().expect("every worker got going");
        let wanted = (!told.released).then_some(last.fence);
        assert_eq!(caller.held_fence(&last.lock).await, wanted, "{}", last.lock);
    }
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(count, all.len(), "a fence was given twice");
}

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_hands_over_and_ends_well() {
    let mut cluster = three_nodes().await;
    let leader = cluster.leader().await.unwrap();
    let survivors = Caller::of_nodes(&cluster, cluster.others(leader));
    let session = survivors.open("holder", 60_000).await;
    let held = survivors.acquire(&session, "held", 0).await;

    let asked_at = Instant::now();
    let (ended, granted) = tokio::join!(cluster.terminate(leader), async {
        let lease = survivors.acquire(&session, "other", 0).await;
        survivors.release(&lease).await;
        asked_at.elapsed()
    });
    let ended = ended.unwrap();
    println!("granted {granted:?} after the leader was asked to stop");
    assert!(ended.success(), "{ended}");
    let next = leader_of(&cluster, leader).await;
    assert_ne!(next, leader);
    assert_eq!(survivors.held_fence("held").await, Some(held.fence));
}

async fn leader_of(cluster: &Cluster, without: u64) -> u64 {
    cluster
        .leader_among(&cluster.others(without))
        .await
        .unwrap()
}
