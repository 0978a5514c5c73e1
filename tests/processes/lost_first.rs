//! `lost` comes before the next grant: processes that are stopped, clusters that are killed.
//!
//! The holders are processes of their own, because a process is what gets stopped. Each looks at
//! its guard every two milliseconds and remembers when it believed in it last. All clocks that are
//! compared are one: the machine's boot-time clock. `client/src/tests/` shows the same in made-up
//! worlds, where it costs no time and many more orders of events come up.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jepsen_lite::{Cluster, wait_for};
use lockring_client::{Client, Session};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::three_nodes;

/// What the holders' processes are told by: endpoints, lock and the file to report to.
const HOLDER: &str = "LOCKRING_TEST_HOLDER";
const TEST: &str = "lost_first::a_holder_knows_that_it_lost_before_another_is_granted";
const TTL: Duration = Duration::from_millis(1_000);
const HOLDERS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

fn boot_nanos() -> u64 {
    let at = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (at.tv_sec.unsigned_abs(), at.tv_nsec.unsigned_abs());
    seconds * 1_000_000_000 + nanos
}

#[tokio::test]
async fn a_holder_knows_that_it_lost_before_another_is_granted() {
    if let Ok(told) = std::env::var(HOLDER) {
        return hold(&told).await;
    }
    let mut cluster = three_nodes().await;
    let mut runs = 0;
    for round in 0..3 {
        runs += stopped_holders(&cluster, round).await;
    }
    for round in 3..5 {
        runs += killed_cluster(&mut cluster, round).await;
    }
    println!("{runs} holders lost their locks to others");
    assert!(runs >= 20, "{runs}");
}

/// The part of a holder's process.
async fn hold(told: &str) {
    let [endpoints, lock, report]: [&str; 3] =
        told.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let client = Client::new(endpoints.split(',')).unwrap();
    let session = client.session().ttl(TTL).owner(lock).open().await.unwrap();
    let guard = session.acquire(lock).await.unwrap();
    let report = Path::new(report);
    std::fs::write(report.with_extension("held"), "").unwrap();
    let mut believed = 0;
    loop {
        tokio::select! {
            biased;
            _ = guard.lost() => break,
            () = tokio::time::sleep(Duration::from_millis(2)) => {
                // Before the look, so that a stop between the two does not count as belief.
                let now = boot_nanos();
                if guard.is_valid() {
                    believed = now;
                }
            }
        }
    }
    let new = report.with_extension("new");
    std::fs::write(&new, format!("{believed} {}", boot_nanos())).unwrap();
    std::fs::rename(new, report).unwrap();
}

/// A holder's process.
struct Holder {
    lock: String,
    process: Child,
    report: PathBuf,
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Holder {
    fn start(cluster: &Cluster, directory: &Path, lock: String) -> Self {
        let report = directory.join(&lock);
        let told = format!(
            "{} {lock} {}",
            cluster.endpoints().join(","),
            report.display()
        );
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST])
            .env(HOLDER, told)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            lock,
            process,
            report,
        }
    }

    async fn holds(&self) {
        let held = self.report.with_extension("held");
        let holds = wait_for("a holder that holds", PATIENCE, async || {
            held.exists().then_some(())
        });
        holds.await.unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// When it believed in its lease last, and when it was told that it is lost.
    async fn reports(&self) -> (u64, u64) {
        let text = wait_for("a holder's report", PATIENCE, async || {
            std::fs::read_to_string(&self.report).ok()
        });
        let text = text.await.unwrap();
        let (believed, lost) = text.split_once(' ').unwrap();
        (believed.parse().unwrap(), lost.parse().unwrap())
    }
}

/// Holders that hold, each its own lock, and a session that wants all of those.
async fn begin(cluster: &Cluster, directory: &Path, round: usize) -> (Vec<Holder>, Session) {
    let start = |at| Holder::start(cluster, directory, format!("job-{round}-{at}"));
    let holders: Vec<Holder> = (0..HOLDERS).map(start).collect();
    for holder in &holders {
        holder.holds().await;
    }
    let client = Client::new(cluster.endpoints()).unwrap();
    let ttl = Duration::from_secs(60);
    let next = client.session().ttl(ttl).owner("next").open().await;
    (holders, next.unwrap())
}

/// Waits for a holder's lock; when it was granted at the latest.
async fn take_over(next: &Session, lock: &str) -> u64 {
    let guard = next.acquire_for(lock, PATIENCE).await.unwrap();
    let granted = boot_nanos();
    guard.release().await.unwrap();
    granted
}

async fn stopped_holders(cluster: &Cluster, round: usize) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let (holders, next) = begin(cluster, directory.path(), round).await;
    let runs = holders.iter().enumerate().map(async |(at, holder)| {
        // Anywhere between two renewals.
        let after = (round * HOLDERS + at) as u64 * 37 % 333;
        tokio::time::sleep(Duration::from_millis(after)).await;
        holder.signal(Signal::STOP);
        let granted = take_over(&next, &holder.lock).await;
        holder.signal(Signal::CONT);
        let (believed, _) = holder.reports().await;
        assert!(believed < granted, "{}: {believed} {granted}", holder.lock);
    });
    futures_util::future::join_all(runs).await;
    next.close().await.unwrap();
    holders.len()
}

async fn killed_cluster(cluster: &mut Cluster, round: usize) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let (holders, next) = begin(cluster, directory.path(), round).await;
    for id in cluster.ids() {
        cluster.kill(id).unwrap();
    }
    // Nobody can renew: all are told by their own clocks.
    for holder in &holders {
        holder.reports().await;
    }
    for id in cluster.ids() {
        cluster.restart(id).unwrap();
    }
    for holder in &holders {
        let granted = take_over(&next, &holder.lock).await;
        let (believed, lost) = holder.reports().await;
        let all = format!("{}: {believed} {lost} {granted}", holder.lock);
        assert!(believed <= lost && lost < granted, "{all}");
    }
    next.close().await.unwrap();
    holders.len()
}
