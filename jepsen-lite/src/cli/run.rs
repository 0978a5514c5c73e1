//! `jepsen-lite run`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::{binary_beside, duration, say, say_properties};
use crate::checker::Verdict;
use crate::nemesis::Nemesis;
use crate::run::{self, Plan, Results};
use crate::workload::Workload;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// What is asked of the cluster, of all workloads if not said
    #[arg(long, value_delimiter = ',')]
    pub(super) workload: Vec<Workload>,
    /// What is done to it, see `jepsen-lite nemeses`; `none` for nothing
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "kill,pause,holder,partition,leader"
    )]
    pub(super) nemesis: Vec<String>,
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(super) nodes: u64,
    /// For how long
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(super) time: Duration,
    /// Steps a second, of all users together
    #[arg(long, default_value_t = 150)]
    pub(super) rate: u64,
    /// How long sessions live without renewal
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(super) ttl: Duration,
    /// What decides; drawn if not said
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Where history, results and report go; in `jepsen-lite-SEED` if not said
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// The lockring binary; beside this one if not said
    #[arg(long)]
    pub(super) binary: Option<PathBuf>,
    /// The first of the nodes' ports; any that are free if not said
    #[arg(long)]
    pub(super) first_port: Option<u16>,
    /// For a build that plants bugs: which
    #[arg(long)]
    pub(super) plant: Option<String>,
}

impl Args {
    /// The plan under this seed, written to this place.
    pub(super) fn plan(&self, seed: u64, out: PathBuf) -> anyhow::Result<Plan> {
        let named = self.nemesis.iter().filter(|name| *name != "none");
        let nemeses = named.map(|name| name.parse().map_err(anyhow::Error::msg));
        let workloads = match self.workload.is_empty() {
            true => Workload::ALL.to_vec(),
            false => self.workload.clone(),
        };
        Ok(Plan {
            binary: self.binary.clone().unwrap_or_else(binary_beside),
            tool: std::env::current_exe().context("where this program is")?,
            workloads,
            nemeses: nemeses.collect::<Result<Vec<Nemesis>, _>>()?,
            nodes: self.nodes,
            time: self.time,
            rate: self.rate,
            ttl: self.ttl,
            seed,
            out,
            first_port: self.first_port,
            plant: self.plant.clone(),
        })
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    let seed = args.seed.unwrap_or_else(drawn);
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("jepsen-lite-{seed}")));
    let plan = args.plan(seed, out)?;
    let results = run::run(&plan).await?;
    say_results(&results);
    say(&format!(
        "report: {}",
        plan.out.join("report.html").display()
    ));
    Ok(results.exit_code())
}

/// A seed that was not used before, short enough to be typed.
pub(super) fn drawn() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |since| since.as_millis() as u64 % 1_000_000_000)
}

pub(super) fn say_results(results: &Results) {
    for fault in &results.faults {
        let status = fault.status.why().map(|why| format!(" [{why}]"));
        let seconds = fault.from / 1_000_000_000;
        let (kind, what) = (&fault.kind, &fault.what);
        say(&format!(
            "{seconds:>4} s {kind}: {what}{}",
            status.unwrap_or_default()
        ));
    }
    say_properties(&results.properties);
    let [ok, fail, info] = results.calls;
    let faults = results.faults.len();
    let (seed, ran) = (results.seed, results.ran_ms / 1_000);
    let summary = format!(
        "{ok} calls ok, {fail} failed, {info} unknown; {faults} faults; {ran} s; seed {seed}"
    );
    match results.verdict {
        Verdict::Valid => say(&format!("no violation found in {summary}")),
        Verdict::Unknown => say(&format!("UNKNOWN: too weak to say anything, {summary}")),
        Verdict::Invalid => {
            say(&format!("VIOLATED: {summary}"));
            say(&format!("REPRODUCE {}", results.replay));
        }
    }
}
