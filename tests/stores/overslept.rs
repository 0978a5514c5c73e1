//! The story that every guard is for, played with a real process that is really stopped.
//!
//! A holder reads the account, sees that its lease is in force, and is stopped. Its lease ends,
//! the next holder gets the lock and adds 100. The first one wakes up and writes what it had in
//! mind, a total that knows nothing of the 100.
//!
//! The holder is this same test, run again in a process of its own with a word in its environment.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use jepsen_lite::{Cluster, Options, wait_for};
use lockring_client::fence::Stale;
use lockring_client::{Client, Fence};
use rustix::process::{Pid, Signal, kill_process};

/// Something with one total in it.
pub(crate) trait Account {
    async fn total(&mut self) -> i64;
    /// Writes as one does who has never heard of fences.
    async fn write(&mut self, total: i64);
    async fn write_under(&mut self, fence: Fence, total: i64) -> Result<(), Stale>;
}

/// Whether fences go along with the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Guarded,
    Plain,
}

/// What the next holder adds.
const NEXT_ADDS: i64 = 100;
/// How often the one that overslept writes.
const LATE_WRITES: i64 = 20;
const TTL: Duration = Duration::from_secs(3);
const WITHIN: Duration = Duration::from_secs(60);
/// Endpoints of the cluster, address of the account, and the directory to talk through.
const HOLDER: &str = "LOCKRING_TEST_HOLDER";

/// How it came out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Writes of the one that overslept that were done.
    pub(crate) late_writes: i64,
    pub(crate) total: i64,
}

/// With the guard nothing of the one that overslept is written.
pub(crate) const NOTHING_LOST: Outcome = Outcome {
    late_writes: 0,
    total: NEXT_ADDS,
};

/// Without it, what the next holder added is lost.
pub(crate) const UPDATE_LOST: Outcome = Outcome {
    late_writes: LATE_WRITES,
    total: LATE_WRITES,
};

/// The address of the account, if this process is the holder; then the test calls [`hold`].
pub(crate) fn account_of_holder() -> Option<String> {
    let words = std::env::var(HOLDER).ok()?;
    Some(words.split(' ').nth(1)?.to_owned())
}

/// The holder: reads, is stopped, writes.
pub(crate) async fn hold(account: &mut impl Account, writes: Writes) {
    let words = std::env::var(HOLDER).unwrap();
    let words: Vec<_> = words.split(' ').collect();
    let client = Client::new(words[0].split(',')).unwrap();
    let session = client.session().ttl(TTL).open().await.unwrap();
    let guard = session.acquire("account").await.unwrap();
    let before = account.total().await;
    assert!(guard.is_valid(), "this machine is too slow for the test");
    kill_process(rustix::process::getpid(), Signal::STOP).unwrap();
    // The signal may reach another thread first: not one step is taken before the word.
    let dir = Path::new(words[2]);
    while !dir.join("awake").exists() {
        std::thread::yield_now();
    }
    let mut late = 0;
    for more in 1..=LATE_WRITES {
        match writes {
            Writes::Plain => account.write(before + more).await,
            Writes::Guarded => {
                let Err(stale) = account.write_under(guard.fence(), before + more).await else {
                    late += 1;
                    continue;
                };
                assert!(stale.least > guard.fence());
                continue;
            }
        }
        late += 1;
    }
    std::fs::write(dir.join("late"), late.to_string()).unwrap();
}

/// Plays the story. `test` is the name of the calling test, which is run again as the holder.
pub(crate) async fn play(
    test: &str,
    address: &str,
    account: &mut impl Account,
    writes: Writes,
) -> Outcome {
    let mut options = Options::new(env!("CARGO_BIN_EXE_lockring"));
    options.nodes = 1;
    let cluster = Cluster::start(options).await.unwrap();
    let endpoints = cluster.endpoints().join(",");
    let dir = tempfile::tempdir().unwrap();
    let words = format!("{endpoints} {address} {}", dir.path().display());
    let holder = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(HOLDER, words)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut holder = Ended(holder);
    let pid = Pid::from_raw(holder.0.id().cast_signed()).unwrap();
    let stopped = wait_for("the holder to be stopped", WITHIN, async || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The state follows the name, which is in brackets and may have any in it.
        state.rsplit_once(')')?.1.starts_with(" T").then_some(())
    });
    stopped.await.unwrap();

    let next = Client::new(cluster.endpoints()).unwrap();
    let next = next.session().open().await.unwrap();
    let guard = next.acquire_for("account", WITHIN).await.unwrap();
    let total = account.total().await + NEXT_ADDS;
    match writes {
        Writes::Plain => account.write(total).await,
        Writes::Guarded => account.write_under(guard.fence(), total).await.unwrap(),
    }

    std::fs::write(dir.path().join("awake"), "").unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    let ended = wait_for("the end of the holder", WITHIN, async || {
        holder.0.try_wait().transpose()
    });
    let ended = ended.await.unwrap().unwrap();
    assert!(ExitStatus::success(&ended), "the holder failed: {ended}");
    let late = std::fs::read_to_string(dir.path().join("late")).unwrap();
    guard.release().await.unwrap();
    Outcome {
        late_writes: late.parse().unwrap(),
        total: account.total().await,
    }
}

/// A process that does not outlive the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
