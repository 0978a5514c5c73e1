//! One run: a cluster, its users, its faults, and the judgement.

mod after;
mod caches;
mod crew;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::Cluster;
use crate::checker::{self, Property, Verdict, strength};
use crate::clock;
use crate::history::History;
use crate::nemesis::{Fault, Nemesis, Stage};
use crate::options::{Options, Wiring};
use crate::report;
use crate::seed::Dice;
use crate::workload::Workload;
pub(crate) use crew::HANDS_EACH;
use crew::{Crew, Sizes};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The lockring binary.
    pub binary: PathBuf,
    /// This tool's own binary, which is also its workers.
    pub tool: PathBuf,
    /// What is asked of the cluster.
    pub workloads: Vec<Workload>,
    /// What is done to it.
    pub nemeses: Vec<Nemesis>,
    /// How many nodes.
    pub nodes: u64,
    /// For how long.
    pub time: Duration,
    /// Steps a second, of all hands together.
    pub rate: u64,
    /// How long sessions live without renewal.
    pub ttl: Duration,
    /// The seed.
    pub seed: u64,
    /// Where everything is written.
    pub out: PathBuf,
    /// The first of the ports to use; any that are free if not said.
    pub first_port: Option<u16>,
    /// For builds that plant bugs: which.
    pub plant: Option<String>,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The worst verdict of all properties.
    pub verdict: Verdict,
    /// The command that does it again.
    pub replay: String,
    /// The seed.
    pub seed: u64,
    /// Versions of all that took part.
    pub versions: Vec<(String, String)>,
    /// How long it ran, in milliseconds.
    pub ran_ms: u64,
    /// Calls by how they ended: ok, fail, info.
    pub calls: [u64; 3],
    /// Every property.
    pub properties: Vec<Property>,
    /// Every fault.
    pub faults: Vec<Fault>,
    /// The kinds of faults that were asked for.
    pub kinds: Vec<String>,
    /// For each fault that took a leader away: from then to the first change acknowledged, in
    /// milliseconds.
    pub failovers_ms: Vec<u64>,
    /// From the mending of each fault to the first change acknowledged by each node, in
    /// milliseconds, the worst of all nodes.
    pub healed_ms: Vec<u64>,
}

impl Results {
    /// The exit code that says it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Valid => 0,
            Verdict::Invalid => 1,
            Verdict::Unknown => 2,
        }
    }
}

impl Plan {
    /// The command that does it again.
    #[must_use]
    pub fn replay(&self) -> String {
        let names = |names: Vec<&str>| names.join(",");
        let workloads = names(self.workloads.iter().map(|it| it.name()).collect());
        let nemeses = names(self.nemeses.iter().map(|it| it.name()).collect());
        let plant = self.plant.as_ref().map(|plant| format!("--plant {plant} "));
        format!(
            "jepsen-lite run --workload {workloads} --nemesis {nemeses} --nodes {} --time {}ms \
             --rate {} --ttl {}ms --seed {} {}--binary {} --out DIR",
            self.nodes,
            self.time.as_millis(),
            self.rate,
            self.ttl.as_millis(),
            self.seed,
            plant.unwrap_or_default(),
            self.binary.display()
        )
    }

    fn options(&self) -> Options {
        let mut environment = Vec::new();
        if self.nemeses.contains(&Nemesis::Clock) {
            environment.extend(crate::nemesis::clock_environment().unwrap_or_default());
        }
        if let Some(plant) = &self.plant {
            environment.push(("LOCKRING_PLANT".to_owned(), plant.clone()));
        }
        // Small, so that logs are cut within a run.
        let sections = "[snapshots]\nevery_entries = 100\nkeep_entries = 20\n".to_owned();
        Options {
            nodes: self.nodes,
            sections,
            wiring: Wiring::Proxied {
                workers: Sizes::of(self).callers(),
                spares: u64::from(self.nemeses.contains(&Nemesis::Member)),
            },
            environment,
            first_port: self.first_port,
            ..Options::new(&self.binary)
        }
    }
}

/// Does what the plan says, judges it, and writes history, results and report.
///
/// # Errors
/// When the tool itself failed, so that nothing can be said of the cluster.
pub async fn run(plan: &Plan) -> anyhow::Result<Results> {
    fs::create_dir_all(&plan.out)
        .with_context(|| format!("cannot create {}", plan.out.display()))?;
    writable(&plan.out)?;
    let binary = plan.binary.display();
    anyhow::ensure!(plan.binary.exists(), "there is no binary {binary}");
    let version = version(&plan.binary)?;
    let cluster = Cluster::start(plan.options()).await?;
    let began = clock::now();
    let mut crew = Crew::start(plan, &cluster, began).await?;
    let watch = watch::Watch::start(&cluster, began);
    let dice = Dice::new(plan.seed, "nemesis");
    let mut stage = Stage::new(cluster, crew.sufferers(), plan.ttl, dice, began);
    let (faults, unhealed) = torment(plan, &mut stage, &mut crew).await?;
    let mut properties = Vec::new();
    let mut healed_ms = Vec::new();
    match &unhealed {
        None => {
            let healed = after::liveness(&mut stage).await?;
            properties.push(healed.property);
            healed_ms = healed.each_ms;
        }
        Some(why) => properties.push(after::dead(why)),
    }
    crew.wind_up().await?;
    let mut finals = crew.final_reads(plan, began).await?;
    finals.extend(crew.end_caches(began).await?);
    // Of a cluster that is not whole there is nothing to compare.
    if unhealed.is_none() {
        properties.push(after::equal_states(&stage).await);
        properties.push(after::no_leaks(&stage)?);
    }
    properties.push(after::quiet_logs(&stage, plan)?);
    keep_logs(&stage, &plan.out)?;

    let mut events = crew.into_events().await?;
    events.extend(finals);
    events.extend(watch.end().await);
    events.extend(faults.iter().map(Fault::event));
    events.append(&mut stage.told);
    let mut history = History::new(events);
    if unhealed.is_none() {
        history
            .events
            .extend(after::histories(&stage, &history).await);
    }
    let path = plan.out.join("history.jsonl");
    history.write(&path)?;
    let workloads: Vec<String> = plan.workloads.iter().map(ToString::to_string).collect();
    let kinds: Vec<String> = plan.nemeses.iter().map(ToString::to_string).collect();
    properties.push(strength::check(&history, &faults, &kinds, &workloads));
    properties.extend(checker::check(&history));
    let results = Results {
        verdict: worst(&properties),
        replay: plan.replay(),
        seed: plan.seed,
        versions: versions(version),
        ran_ms: (clock::now() - began) / clock::MS,
        calls: count(&history),
        failovers_ms: after::failovers(&history, &faults),
        healed_ms,
        properties,
        faults,
        kinds,
    };
    report::write(&plan.out, &history, &results)?;
    Ok(results)
}

/// Strikes again and again until the time is over, or the cluster does not come back; then it is
/// told why.
async fn torment(
    plan: &Plan,
    stage: &mut Stage,
    crew: &mut Crew,
) -> anyhow::Result<(Vec<Fault>, Option<String>)> {
    let until = Instant::now() + plan.time;
    let mut faults = Vec::new();
    // Each kind comes once before any comes twice.
    let mut order: Vec<Nemesis> = Vec::new();
    while Instant::now() < until {
        let calm = Duration::from_millis(stage.dice.between(600, 1_800));
        sleep_until((Instant::now() + calm).min(until)).await;
        crew.check()?;
        if Instant::now() >= until {
            break;
        }
        if order.is_empty() {
            order.clone_from(&plan.nemeses);
            stage.dice.shuffle(&mut order);
        }
        let Some(nemesis) = order.pop() else {
            sleep_until(until).await;
            break;
        };
        let hold = Duration::from_millis(stage.dice.between(1_500, 4_500));
        match nemesis.strike(stage, hold).await {
            Ok(fault) => faults.push(fault),
            Err(error) => return Ok((faults, Some(format!("{error:#}")))),
        }
    }
    crew.check()?;
    Ok((faults, None))
}

/// The worst verdict.
#[must_use]
pub fn worst(properties: &[Property]) -> Verdict {
    let verdicts = properties.iter().map(|property| property.verdict);
    verdicts.max().unwrap_or(Verdict::Unknown)
}

/// A full disk shall be found before an hour's run, and told as what it is.
fn writable(out: &Path) -> anyhow::Result<()> {
    let probe = out.join(".probe");
    let written = fs::write(&probe, [0; 4096]).and_then(|()| fs::remove_file(&probe));
    written.with_context(|| format!("cannot write to {}", out.display()))
}

fn version(binary: &Path) -> anyhow::Result<String> {
    let told = std::process::Command::new(binary).arg("--version").output();
    let told = told.with_context(|| format!("cannot run {}", binary.display()))?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

fn versions(lockring: String) -> Vec<(String, String)> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let pairs = [
        ("lockring", lockring),
        ("jepsen-lite", env!("CARGO_PKG_VERSION").to_owned()),
        ("kernel", kernel.trim().to_owned()),
        ("cores", cores.to_string()),
    ];
    pairs
        .map(|(name, version)| (name.to_owned(), version))
        .to_vec()
}

fn count(history: &History) -> [u64; 3] {
    let mut calls = [0; 3];
    for call in history.calls() {
        calls[call.end as usize] += 1;
    }
    calls
}

fn keep_logs(stage: &Stage, out: &Path) -> anyhow::Result<()> {
    for id in stage.cluster.ids() {
        let name = format!("node-{id}.log");
        fs::copy(stage.cluster.dir().join(&name), out.join(&name))?;
    }
    Ok(())
}
