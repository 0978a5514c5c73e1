//! The client's examples, run as they are against a real cluster.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::three_nodes;

#[expect(
    dead_code,
    unreachable_pub,
    reason = "an example, whose main is for people"
)]
#[path = "../../client/examples/cron_once.rs"]
mod cron_once;

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
