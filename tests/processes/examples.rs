//! The client's examples, run as they are against a real cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use lockring_client::MultiGuard;
use tokio::time::timeout;

use crate::three_nodes;

#[expect(
    dead_code,
    unreachable_pub,
    reason = "an example, whose main is for people"
)]
#[path = "../../client/examples/batch_job.rs"]
mod batch_job;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "an example, whose main is for people"
)]
#[path = "../../client/examples/cron_once.rs"]
mod cron_once;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "an example, whose main is for people"
)]
#[path = "../../client/examples/leader_election.rs"]
mod leader_election;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "an example, whose main is for people"
)]
#[path = "../../client/examples/worker_pool.rs"]
mod worker_pool;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_cron_job_that_starts_on_many_machines_runs_once_a_period() {
    let cluster = three_nodes().await;
    let directory = tempfile::tempdir().unwrap();
    let ran = AtomicU32::new(0);
    let start = async |period: &str| {
        let work = async {
            ran.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let run = cron_once::run(cluster.endpoints(), directory.path(), period, work);
        timeout(PATIENCE, run).await.unwrap().unwrap()
    };
    let (one, two, three) = tokio::join!(start("monday"), start("monday"), start("monday"));
    let done = [one, two, three].map(|run| run == cron_once::Run::Done);
    assert_eq!(
        done.iter().filter(|done| **done).count(),
        1,
        "{one:?} {two:?} {three:?}"
    );
    assert_eq!(start("monday").await, cron_once::Run::WasDone);
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    assert_eq!(start("tuesday").await, cron_once::Run::Done);
    assert_eq!(ran.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn of_two_candidates_one_leads_at_a_time_and_both_are_seen() {
    let cluster = three_nodes().await;
    let leading = Arc::new(AtomicU32::new(0));
    let lead = |address: &'static str| {
        let (endpoints, leading) = (cluster.endpoints(), leading.clone());
        leader_election::run(endpoints, address, move |_| async move {
            assert_eq!(leading.fetch_add(1, Ordering::Relaxed), 0, "two lead");
            tokio::time::sleep(Duration::from_millis(700)).await;
            leading.fetch_sub(1, Ordering::Relaxed);
        })
    };
    // Nobody, then one, then the other, perhaps with nobody in between or after.
    let followed = leader_election::follow(cluster.endpoints(), 3);
    let (followed, one, two) = timeout(PATIENCE, async {
        tokio::join!(followed, lead("a"), lead("b"))
    })
    .await
    .unwrap();
    assert!(one.unwrap() && two.unwrap());
    let seen: Vec<String> = followed.unwrap().into_iter().flatten().collect();
    assert!(
        !seen.is_empty() && seen.iter().all(|who| ["a", "b"].contains(&&**who)),
        "{seen:?}"
    );
}

#[tokio::test]
async fn no_more_workers_work_at_a_time_than_there_are_permits() {
    let cluster = three_nodes().await;
    let (working, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let task = {
        let most = most.clone();
        move |_| {
            let (working, most) = (working.clone(), most.clone());
            async move {
                most.fetch_max(
                    working.fetch_add(1, Ordering::Relaxed) + 1,
                    Ordering::Relaxed,
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
                working.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    let run = worker_pool::run(cluster.endpoints(), 8, task);
    assert_eq!(timeout(PATIENCE, run).await.unwrap().unwrap(), 8);
    let most = most.load(Ordering::Relaxed);
    assert!(
        (2..=worker_pool::PERMITS).contains(&most),
        "{most} at a time"
    );
}

#[tokio::test]
async fn batch_jobs_in_opposite_orders_do_all_steps_and_lose_nothing() {
    let cluster = three_nodes().await;
    let accounts: Arc<[AtomicU64]> = [1_000, 1_000, 1_000].map(AtomicU64::new).into();
    let job = |owner: &'static str, steps: Vec<batch_job::Step>| {
        let accounts = accounts.clone();
        let apply = async move |guards: &MultiGuard, (from, to, amount): batch_job::Step| {
            assert_eq!(guards.iter().len(), 3);
            // Read, wait, write: what a lock is for.
            let (has, gets) = (&accounts[from], &accounts[to]);
            let (before, there) = (has.load(Ordering::Relaxed), gets.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(5)).await;
            has.store(before - amount, Ordering::Relaxed);
            gets.store(there + amount, Ordering::Relaxed);
        };
        batch_job::run(cluster.endpoints(), owner, steps, apply)
    };
    let there = (0..12).map(|n| (n % 3, (n + 1) % 3, 10)).collect();
    let back = (0..12).map(|n| ((n + 1) % 3, n % 3, 10)).collect();
    let both = async { tokio::join!(job("there", there), job("back", back)) };
    let (there, back) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!((there.unwrap(), back.unwrap()), (12, 12));
    let left = accounts
        .iter()
        .map(|account| account.load(Ordering::Relaxed));
    assert_eq!(left.collect::<Vec<_>>(), [1_000; 3]);
}
