//! `jepsen-lite plant`: who tests the tester.
//!
//! A build with the feature `planted` has one of its bugs when it is told to. For each bug there
//! is a run that must find it within two minutes, and the same run without the bug must find
//! nothing: else the checker is blind, or cries wolf.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{duration, run::say_results, say};
use crate::checker::Verdict;
use crate::nemesis::Nemesis;
use crate::run::{self, Plan};
use crate::workload::Workload;

#[derive(clap::Args, Clone, Debug)]
#[group(id = "plant")]
pub(super) struct Args {
    /// A lockring binary that was built with `--features planted`
    #[arg(long)]
    binary: PathBuf,
    /// Only these bugs
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The seed of every run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where runs that were not as they should be are kept
    #[arg(long, default_value = "jepsen-lite-plant")]
    out: PathBuf,
    /// How long a bug may go unfound
    #[arg(long, default_value = "2m", value_parser = duration)]
    within: Duration,
}

/// A bug, and the run that finds it.
struct Bug {
    name: &'static str,
    workloads: &'static [Workload],
    nemeses: &'static [Nemesis],
    seconds: u64,
}

const fn bug(
    name: &'static str,
    workloads: &'static [Workload],
    nemeses: &'static [Nemesis],
    seconds: u64,
) -> Bug {
    Bug {
        name,
        workloads,
        nemeses,
        seconds,
    }
}

/// Every bug that a build can have.
const BUGS: &[Bug] = &[
    bug("no-fence-check", &[Workload::Lock], &[], 20),
    bug("no-owner-check", &[Workload::Lock], &[], 20),
    bug("wall-clock-fence", &[Workload::Lock], &[Nemesis::Clock], 20),
    bug(
        "grant-to-expired",
        &[Workload::Queue],
        &[Nemesis::Stutter],
        30,
    ),
    bug(
        "corrupt-suffix-cut",
        &[Workload::Lock],
        &[Nemesis::Corrupt],
        25,
    ),
    bug("ack-before-sync", &[Workload::Lock], &[Nemesis::Disk], 25),
    bug(
        "stale-leader-read",
        &[Workload::Lock],
        &[Nemesis::Comeback],
        40,
    ),
    bug(
        "replays-not-in-snapshot",
        &[Workload::Retry],
        &[Nemesis::RestartAll],
        40,
    ),
    bug(
        "kept-anchor",
        &[Workload::Lease, Workload::Lock],
        &[Nemesis::Transfer, Nemesis::Leader],
        60,
    ),
    bug(
        "no-term-guard",
        &[Workload::Lease, Workload::Lock],
        &[Nemesis::Comeback],
        70,
    ),
    bug("ring-epoch-not-bumped", &[Workload::Ring], &[], 20),
    bug("two-owners-in-a-move", &[Workload::Ring], &[], 30),
];

/// What a run with or without a bug came to.
struct Tried {
    verdict: Verdict,
    took: Duration,
    found: String,
}

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    for name in &args.only {
        anyhow::ensure!(
            BUGS.iter().any(|bug| bug.name == *name),
            "there is no bug {name:?} to plant"
        );
    }
    let wanted = |bug: &&Bug| args.only.is_empty() || args.only.iter().any(|it| it == bug.name);
    let mut found = 0;
    let mut all = 0;
    for bug in BUGS.iter().filter(wanted) {
        all += 1;
        let with = attempt(&args, bug, bug.name).await?;
        let without = attempt(&args, bug, "none").await?;
        let is_found = with.verdict == Verdict::Invalid && with.took <= args.within;
        let is_quiet = without.verdict == Verdict::Valid;
        found += u32::from(is_found && is_quiet);
        let seconds = with.took.as_secs();
        say(&match (is_found, is_quiet) {
            (true, true) => format!("found     {} in {seconds} s: {}", bug.name, with.found),
            (false, _) => format!("NOT FOUND {} in {seconds} s", bug.name),
            (true, false) => format!(
                "CRIES WOLF {}: without the bug {:?}, {}",
                bug.name, without.verdict, without.found
            ),
        });
    }
    say(&format!(
        "{found} of {all} planted bugs found, and nothing found without them"
    ));
    Ok(if found == all { 0 } else { 1 })
}

async fn attempt(args: &Args, bug: &Bug, plant: &str) -> anyhow::Result<Tried> {
    let plan = Plan {
        binary: args.binary.clone(),
        tool: std::env::current_exe()?,
        workloads: bug.workloads.to_vec(),
        nemeses: bug.nemeses.to_vec(),
        nodes: 3,
        time: Duration::from_secs(bug.seconds),
        rate: 120,
        ttl: Duration::from_secs(2),
        seed: args.seed,
        out: args.out.join(format!("{}-{plant}", bug.name)),
        first_port: None,
        plant: Some(plant.to_owned()),
    };
    let began = Instant::now();
    let results = run::run(&plan).await?;
    let took = began.elapsed();
    let as_wanted = (results.verdict == Verdict::Invalid) == (plant != "none");
    if as_wanted {
        std::fs::remove_dir_all(&plan.out)?;
    } else {
        say_results(&results);
    }
    let mut properties = results.properties.into_iter();
    let broken = properties.find(|property| property.verdict == results.verdict);
    let found = broken.map(|property| format!("{}: {}", property.name, property.found));
    Ok(Tried {
        verdict: results.verdict,
        took,
        found: found.unwrap_or_default(),
    })
}
