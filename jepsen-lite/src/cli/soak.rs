//! `jepsen-lite soak`: run after run, each under another seed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::run::{Args as RunArgs, drawn, say_results};
use super::{duration, say};
use crate::checker::Verdict;
use crate::nemesis::Status;
use crate::run::{self, Results};

#[derive(clap::Args, Clone, Debug)]
#[group(id = "soak")]
pub(super) struct Args {
    /// For how long in all
    #[arg(long, default_value = "30m", value_parser = duration)]
    total: Duration,
    /// How each run is done; `--time` is that of one run
    #[command(flatten)]
    each: RunArgs,
}

#[derive(Default)]
struct Sums {
    runs: u64,
    calls: [u64; 3],
    faults: std::collections::BTreeMap<String, u64>,
    failovers_ms: Vec<u64>,
    unknown: Vec<u64>,
}

impl Sums {
    fn add(&mut self, results: &Results) {
        self.runs += 1;
        for (sum, more) in self.calls.iter_mut().zip(results.calls) {
            *sum += more;
        }
        let installed = results.faults.iter();
        for fault in installed.filter(|fault| fault.status == Status::Installed) {
            *self.faults.entry(fault.kind.clone()).or_default() += 1;
        }
        self.failovers_ms.extend(&results.failovers_ms);
        if results.verdict == Verdict::Unknown {
            self.unknown.push(results.seed);
        }
    }

    fn say(&mut self) {
        let [ok, fail, info] = self.calls;
        say(&format!(
            "{} runs, {ok} calls ok, {fail} failed, {info} unknown",
            self.runs
        ));
        let faults = self
            .faults
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"));
        say(&format!(
            "faults: {}",
            faults.collect::<Vec<_>>().join(", ")
        ));
        self.failovers_ms.sort_unstable();
        if let (Some(middle), Some(worst)) = (
            self.failovers_ms.get(self.failovers_ms.len() / 2),
            self.failovers_ms.last(),
        ) {
            let count = self.failovers_ms.len();
            say(&format!(
                "failovers: {count}, p50 {middle} ms, worst {worst} ms"
            ));
        }
        if !self.unknown.is_empty() {
            say(&format!(
                "too weak to say anything: seeds {:?}",
                self.unknown
            ));
        }
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    let until = Instant::now() + args.total;
    let mut seed = args.each.seed.unwrap_or_else(drawn);
    let place = args
        .each
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("jepsen-lite-soak"));
    let mut sums = Sums::default();
    while Instant::now() < until {
        let plan = args.each.plan(seed, place.join(format!("seed-{seed}")))?;
        let results = run::run(&plan).await?;
        sums.add(&results);
        say(&format!(
            "seed {seed}: {:?}, {:?} calls",
            results.verdict, results.calls
        ));
        if results.verdict == Verdict::Invalid {
            say_results(&results);
            sums.say();
            return Ok(results.exit_code());
        }
        // What was valid is told by its numbers; its files would fill the disk.
        if results.verdict == Verdict::Valid && plan.out.exists() {
            std::fs::remove_dir_all(&plan.out)?;
        }
        seed += 1;
    }
    sums.say();
    let all_strong = sums.unknown.is_empty() && sums.runs > 0;
    Ok(if all_strong { 0 } else { 2 })
}
