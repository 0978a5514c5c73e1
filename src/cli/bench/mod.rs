//! `lockring bench`: a load generator against any cluster.
//!
//! Each worker is a connection to the leader and a session, and does one thing at a time: closed
//! loop, so that latency and rate belong together. All workers run on one thread, and a request
//! costs them a few microseconds, because on a small machine they compete with the servers.
//! What an operation is: an acquire, a release, a read. Only acquires are timed (for `read`, the
//! reads), from before the request is written until its answer is whole.

mod connection;
mod process;
mod report;
mod storm;
mod tally;
mod worker;
mod workload;

use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::endpoints::Endpoints;
use super::exit::Exit;
use super::print;
use process::Cost;
use report::Report;
use tally::Tally;
use worker::{Target, Worker, plain_address};

/// Measure a cluster under load
#[derive(Debug, Args)]
#[command(after_help = "\
Workloads:
  distinct  each worker acquires and releases a lock of its own
  hot       all workers wait for one lock; each holds it for --hold-ms and hands it on
  read      each worker reads a lock, linearizably
  hold      --locks leases are taken under --sessions sessions and kept for --seconds
  fresh     --locks locks that nobody has used before are acquired and released, each once
  storm     --locks leases of --sessions sessions expire together after --seconds, while the
            workers go on as for distinct

Examples:
  lockring bench --workload distinct --workers 64 --seconds 10
  lockring bench --workload hot --workers 16 --hold-ms 5 --json
  lockring bench --workload hold --locks 100000 --sessions 100 --pids 4711,4712,4713
  lockring bench --workload fresh --locks 1000000 --workers 256 --pids 4711,4712,4713
  lockring bench --workload storm --locks 10000 --sessions 100 --workers 8

In the report an acquire and a release are two operations. With --pids it tells what the server
processes cost, as /proc counts it.")]
pub(super) struct Bench {
    #[command(flatten)]
    endpoints: Endpoints,
    /// What to do
    #[arg(long, value_enum, default_value = "distinct")]
    workload: Workload,
    /// How many do it at the same time
    #[arg(long, default_value_t = 64, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    workers: u32,
    /// For how long
    #[arg(long, default_value_t = 10, value_name = "S")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How long to keep a lock before it is released
    #[arg(long, default_value_t = 0, value_name = "MS")]
    hold_ms: u64,
    /// hold, storm: under how many sessions
    #[arg(long, default_value_t = 100, value_name = "M")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// hold, storm: how many leases; fresh: how many locks
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    locks: u32,
    /// Server processes on this machine whose cost to report
    #[arg(long, value_delimiter = ',', value_name = "P,P,P")]
    pids: Vec<u32>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Workload {
    Distinct,
    Hot,
    Read,
    Hold,
    Fresh,
    Storm,
}

/// How long after the last lease is taken memory is looked at: the followers apply a little later.
const SETTLE: Duration = Duration::from_secs(1);

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let target = self.target()?;
        let report = LocalSet::new().block_on(&runtime, self.measure(&target))?;
        if self.json {
            print::json(&report)
        } else {
            Ok(print::line(report)?)
        }
    }

    fn target(&self) -> anyhow::Result<Target> {
        let plain = |url: &String| plain_address(url).map(str::to_owned);
        let endpoints: Result<Vec<_>, _> = self.endpoints.urls.iter().map(plain).collect();
        Ok(Target {
            endpoints: endpoints.map_err(Exit::usage)?,
            authorization: match &self.endpoints.token {
                Some(token) => format!("authorization: Bearer {token}\r\n"),
                None => String::new(),
            },
        })
    }

    async fn measure(&self, target: &Target) -> anyhow::Result<Report> {
        let count = match self.workload {
            Workload::Hold => self.sessions,
            _ => self.workers,
        };
        let mut workers = Vec::new();
        for nth in 0..count as usize {
            let worker = Worker::open(target, nth).await;
            workers.push(worker.context("cannot open a session")?);
        }
        let sessions: Vec<_> = workers.iter().map(|w| w.session().to_owned()).collect();
        let report = match self.workload {
            Workload::Hold => self.hold(workers).await,
            Workload::Fresh => self.fresh(workers).await,
            Workload::Storm => self.storm(target, workers).await,
            Workload::Distinct | Workload::Hot | Workload::Read => self.repeat(workers).await,
        };
        let closed = target.close(&sessions).await;
        let report = report?;
        closed.context("cannot close the sessions")?;
        Ok(report)
    }

    /// Most workloads: the workers repeat until the time is up.
    async fn repeat(&self, workers: Vec<Worker>) -> anyhow::Result<Report> {
        let tally = Rc::new(Tally::new());
        let hold = Duration::from_millis(self.hold_ms);
        let run = std::process::id();
        let workload = self.workload;
        let before = self.costs()?;
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for (nth, mut worker) in workers.into_iter().enumerate() {
            let tally = Rc::clone(&tally);
            tasks.spawn_local(async move {
                let own = format!("bench/{run}/{nth}");
                let hot = format!("bench/{run}/hot");
                let wait_ms = workload::HOT_WAIT_MS;
                match workload {
                    Workload::Read => workload::read(&mut worker, &own, &tally).await,
                    Workload::Hot => {
                        workload::take_turns(&mut worker, &hot, wait_ms, hold, &tally).await;
                    }
                    Workload::Distinct | Workload::Hold | Workload::Fresh | Workload::Storm => {
                        workload::take_turns(&mut worker, &own, 0, hold, &tally).await;
                    }
                }
            });
        }
        tokio::select! {
            () = progress(&tally) => {}
            () = sleep_until(began + Duration::from_secs(self.seconds)) => {}
        }
        let took = began.elapsed();
        let costs = self.costs()?;
        tasks.shutdown().await;
        Ok(self.report(&tally, took, &before, &costs))
    }

    /// `hold`: leases are taken and kept, and the memory that they take is looked at.
    async fn hold(&self, workers: Vec<Worker>) -> anyhow::Result<Report> {
        let tally = Rc::new(Tally::new());
        let run = std::process::id();
        let before = self.costs()?;
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        let sessions = workers.len();
        for (nth, mut worker) in workers.into_iter().enumerate() {
            let tally = Rc::clone(&tally);
            let locks = (nth..self.locks as usize).step_by(sessions);
            let locks = locks.map(|lock| format!("bench/{run}/{lock}")).collect();
            tasks.spawn_local(async move {
                let taken = workload::take(&mut worker, locks, &tally).await;
                taken.map(|()| worker)
            });
        }
        let mut holders = all(tasks, &tally).await?;
        let took = began.elapsed();
        sleep(SETTLE).await;
        let costs = self.costs()?;
        let until = Instant::now() + Duration::from_secs(self.seconds);
        while Instant::now() < until {
            for holder in &mut holders {
                holder.keep_alive().await?;
            }
            sleep_until(until.min(Instant::now() + SETTLE)).await;
        }
        let mut report = self.report(&tally, took, &before, &costs);
        report.add_memory(&before, &costs, tally.timed());
        Ok(report)
    }

    /// `fresh`: locks are used once each, and what they leave in memory is looked at.
    async fn fresh(&self, workers: Vec<Worker>) -> anyhow::Result<Report> {
        let tally = Rc::new(Tally::new());
        let run = std::process::id();
        let before = self.costs()?;
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        let count = workers.len();
        for (nth, mut worker) in workers.into_iter().enumerate() {
            let tally = Rc::clone(&tally);
            let locks = (nth..self.locks as usize).step_by(count);
            let mut locks = locks.map(move |lock| format!("bench/{run}/{lock}"));
            tasks.spawn_local(async move {
                let used = workload::use_once(&mut worker, &mut locks, &tally).await;
                used.map(|()| worker)
            });
        }
        all(tasks, &tally).await?;
        let took = began.elapsed();
        sleep(SETTLE).await;
        let costs = self.costs()?;
        let mut report = self.report(&tally, took, &before, &costs);
        report.add_start(&before);
        Ok(report)
    }

    /// `storm`: others' leases expire together while the workers work.
    async fn storm(&self, target: &Target, workers: Vec<Worker>) -> anyhow::Result<Report> {
        let tally = Rc::new(Tally::new());
        let shape = storm::Shape {
            sessions: self.sessions,
            locks: self.locks,
            quiet: Duration::from_secs(self.seconds),
        };
        let before = self.costs()?;
        let began = Instant::now();
        let raised = storm::raise(target, workers, shape, &tally).await?;
        let took = began.elapsed();
        let mut report = self.report(&tally, took, &before, &self.costs()?);
        report.add_storm(raised);
        Ok(report)
    }

    fn costs(&self) -> anyhow::Result<Vec<Cost>> {
        let cost = |pid: &u32| process::cost(*pid).with_context(|| format!("--pids {pid}"));
        self.pids.iter().map(cost).collect()
    }

    fn report(&self, tally: &Tally, took: Duration, before: &[Cost], after: &[Cost]) -> Report {
        let name = clap::ValueEnum::to_possible_value(&self.workload);
        let name = name.map_or_else(String::new, |value| value.get_name().to_owned());
        let workers = match self.workload {
            Workload::Hold => self.sessions,
            _ => self.workers,
        };
        let mut report = Report::new(name, workers, took, tally);
        if self.workload == Workload::Hot {
            report.add_hand_overs(tally.timed());
        }
        report.add_cpu(before, after);
        report
    }
}

/// Waits until every worker has done its part, and tells how it goes meanwhile.
async fn all(
    mut tasks: JoinSet<std::io::Result<Worker>>,
    tally: &Tally,
) -> anyhow::Result<Vec<Worker>> {
    let mut workers = Vec::new();
    let done = async {
        while let Some(done) = tasks.join_next().await {
            let worker = done.context("a worker broke down")?;
            workers.push(worker.context("a worker lost its connection")?);
        }
        anyhow::Ok(())
    };
    tokio::select! {
        () = progress(tally) => {}
        done = done => done?,
    }
    Ok(workers)
}

/// Tells once a second how it goes; never ends.
async fn progress(tally: &Tally) {
    let mut operations_before = 0;
    for second in 1_u64.. {
        sleep(Duration::from_secs(1)).await;
        let operations = tally.operations();
        let rate = operations - operations_before;
        operations_before = operations;
        let (so_far, errors) = (tally.percentiles(), tally.errors());
        print::note(format_args!(
            "{second:>4} s  {rate:>7} ops/s  p50 {:>6} us  p99 {:>6} us  errors {errors}",
            so_far.p50, so_far.p99
        ));
    }
}
