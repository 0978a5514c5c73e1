//! `storm`: many leases whose sessions fall silent together, while others go on.
//!
//! Sessions take the locks and are renewed once more, all at the same time; then nobody renews
//! them, so that all leases end within a few milliseconds. The workers acquire and release locks
//! of their own all the while. What is told: how long after the last deadline the last lease was
//! gone, and the workers' latencies before that moment and around it.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use lockring_client::wire::{self, route};
use lockring_core::limits;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::tally::{Percentiles, Tally};
use super::worker::{Target, Worker, decode};
use super::workload;

/// The TTL is so much longer than the quiet time that is measured: nobody shall expire who is
/// still busy taking locks.
const TTL_MORE: Duration = Duration::from_secs(8);
/// What happens so long before the first deadline and after the last lease belongs to the storm.
const AROUND: Duration = Duration::from_millis(300);
/// Between two looks at whether a lease is left.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Leases that are there so long after their deadlines are not waited for.
const GONE_WITHIN: Duration = Duration::from_secs(120);

/// What a storm was like.
#[derive(Debug, Serialize)]
pub(super) struct Storm {
    /// How many leases ended.
    pub(super) leases: u64,
    /// Under how many sessions.
    pub(super) sessions: u32,
    /// From the last deadline to a look that found none of them.
    pub(super) gone_after_ms: i64,
    /// Acquires of the workers before it.
    pub(super) acquire_us_before: Percentiles,
    /// Acquires of the workers around it.
    pub(super) acquire_us_during: Percentiles,
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  storm       {} leases of {} sessions; the last gone {} ms after its deadline",
            self.leases, self.sessions, self.gone_after_ms
        )?;
        for (when, told) in [
            ("before it", self.acquire_us_before),
            ("around it", self.acquire_us_during),
        ] {
            let Percentiles { p50, p99, max, .. } = told;
            write!(
                f,
                "\n  {when:<10}  p50 {p50} us, p99 {p99} us, max {max} us"
            )?;
        }
        Ok(())
    }
}

/// When the sessions end that nobody renews any more: not before the first, not after the last.
struct Deadlines {
    first: Instant,
    last: Instant,
}

/// What leases a storm is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) sessions: u32,
    pub(super) locks: u32,
    /// How long the workers are measured before it.
    pub(super) quiet: Duration,
}

/// Raises a storm while the workers work.
pub(super) async fn raise(
    target: &Target,
    workers: Vec<Worker>,
    shape: Shape,
    tally: &Rc<Tally>,
) -> anyhow::Result<Storm> {
    let run = std::process::id();
    let prefix = format!("bench/{run}/storm/");
    let taken = Tally::new();
    let deadlines = prepare(target, shape, &prefix, &taken).await?;

    let mut working = JoinSet::new();
    for (nth, mut worker) in workers.into_iter().enumerate() {
        let tally = Rc::clone(tally);
        working.spawn_local(async move {
            let own = format!("bench/{run}/{nth}");
            workload::take_turns(&mut worker, &own, 0, Duration::ZERO, &tally).await;
        });
    }
    sleep_until(deadlines.first - AROUND).await;
    let before = tally.percentiles();
    tally.forget_times();
    let gone = last_gone(target, &prefix, deadlines.last + GONE_WITHIN).await?;
    sleep(AROUND).await;
    let during = tally.percentiles();
    working.shutdown().await;
    let late = gone.saturating_duration_since(deadlines.last).as_millis();
    let early = deadlines.last.saturating_duration_since(gone).as_millis();
    Ok(Storm {
        leases: taken.timed(),
        sessions: shape.sessions,
        gone_after_ms: i64::try_from(late)? - i64::try_from(early)?,
        acquire_us_before: before,
        acquire_us_during: during,
    })
}

/// Takes the locks, and renews the sessions for the last time.
async fn prepare(
    target: &Target,
    shape: Shape,
    prefix: &str,
    taken: &Tally,
) -> anyhow::Result<Deadlines> {
    let ttl = shape.quiet + TTL_MORE;
    let opening = (0..shape.sessions as usize).map(|nth| Worker::open_for(target, nth, ttl));
    let opened = futures_util::future::try_join_all(opening).await;
    let mut holders = opened.context("cannot open a session")?;
    let sessions = holders.len();
    let taking = holders.iter_mut().enumerate().map(|(nth, holder)| {
        let locks = (nth..shape.locks as usize).step_by(sessions);
        let locks = locks.map(|lock| format!("{prefix}{lock}")).collect();
        take(holder, locks, taken)
    });
    futures_util::future::try_join_all(taking).await?;
    let first = Instant::now() + ttl;
    let renewals = holders.iter_mut().map(Worker::renew);
    let ends = futures_util::future::try_join_all(renewals).await?;
    let last = ends.into_iter().max().context("no sessions")?;
    Ok(Deadlines { first, last })
}

/// Takes these locks, as many at once as one call may ask for.
async fn take(holder: &mut Worker, locks: Vec<String>, taken: &Tally) -> io::Result<()> {
    for some in locks.chunks(limits::LOCKS_PER_ACQUIRE_MAX) {
        let want = |lock: &String| wire::Want::exclusive(lock.as_str());
        let body = serde_json::to_string(&wire::AcquireAll {
            session: holder.session().to_owned(),
            locks: some.iter().map(want).collect(),
            wait_ms: None,
            max_hold_ms: None,
        })?;
        let ask = holder.target.request("POST", route::ACQUIRE, "", &body);
        let began = Instant::now();
        let granted: wire::GrantedAll = holder.insist(&ask).await?;
        for _ in &granted.leases {
            taken.time(began.elapsed());
        }
        holder.keep_alive().await?;
    }
    Ok(())
}

/// When a look found no lock left whose name starts so.
async fn last_gone(target: &Target, prefix: &str, until: Instant) -> anyhow::Result<Instant> {
    let mut connection = target.connect().await?;
    let prefix = route::segment(prefix);
    let path = format!("{}?prefix={prefix}&limit=1&consistency=stale", route::LOCKS);
    let ask = target.request("GET", &path, "", "");
    loop {
        let left: wire::LockPage = decode(&connection.call(&ask).await?)?;
        if left.locks.is_empty() {
            return Ok(Instant::now());
        }
        ensure!(
            Instant::now() < until,
            "leases are left {GONE_WITHIN:?} after their deadlines"
        );
        sleep(LOOK_EVERY).await;
    }
}
