//! Kills the leader again and again, and tells for how long nobody was served.
//!
//! ```sh
//! cargo build --release
//! cargo run --release -p jepsen-lite --example leader_kills -- target/release/lockring 100
//! ```
//!
//! The binary may also be named by `LOCKRING_BIN`; without a number it is 100 kills. Not a test:
//! how long an election takes is a distribution, and its tail is worth more than one sample.
//!
//! Three real processes serve a small steady load (`load.rs`), one lease that is held throughout,
//! and the queue behind it (`standing.rs`). Each round kills the leader (SIGKILL), asks both of
//! the others for a lock at once, and takes the time from before the kill to the first grant.
//! Then the killed node is started again and has to catch up before the next round. Meanwhile
//! `witness.rs` holds every answer against what was answered before; one contradiction ends the
//! run with 1.

#![expect(clippy::print_stdout, reason = "it is a program that prints figures")]

mod caller;
mod load;
mod standing;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use jepsen_lite::{Cluster, Options};
use serde_json::json;

use caller::Caller;
use load::Load;
use standing::Standing;
use witness::Witness;

const KILLS: usize = 100;
/// The promise: another node serves within this time of a leader's death.
const PROMISED: Duration = Duration::from_secs(1);
/// Grants to the load between two kills, so that each kill hits a cluster at work.
const GRANTS_BETWEEN: u64 = 40;
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);

/// What one kill came to.
struct Round {
    gap: Duration,
    /// How many terms the election took; more than one is a vote that was split or came late.
    terms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let (binary, kills) = arguments()?;
    let mut cluster = Cluster::start(Options::new(binary)).await?;
    let witness = Arc::new(Witness::default());
    let everybody = Caller::new(&cluster, cluster.ids(), &witness);
    let standing = Standing::begin(&cluster, &everybody).await?;
    let load = Load::begin(&everybody);
    let prober = everybody.open("prober").await?;

    let mut rounds = Vec::new();
    for nth in 1..=kills {
        let round = kill_once(&mut cluster, &witness, &standing, &prober, nth).await;
        rounds.push(round.with_context(|| cluster.log_tails())?);
        if !witness.contradictions().is_empty() {
            break;
        }
    }
    load.end().await;
    standing.end(&witness).await;
    witness.judge();

    print_figures(&rounds);
    let contradictions = witness.contradictions();
    for contradiction in &contradictions {
        println!("VIOLATION: {contradiction}");
    }
    if !contradictions.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "{} grants and {} releases: none contradicts another",
        witness.grants(),
        witness.releases()
    );
    Ok(ExitCode::SUCCESS)
}

/// The binary, by argument or environment, and how many kills.
fn arguments() -> anyhow::Result<(PathBuf, usize)> {
    let mut binary = std::env::var_os("LOCKRING_BIN").map(PathBuf::from);
    let mut kills = KILLS;
    for argument in std::env::args_os().skip(1) {
        match argument.to_str().and_then(|text| text.parse().ok()) {
            Some(number) => kills = number,
            None => binary = Some(PathBuf::from(argument)),
        }
    }
    let usage = "usage: leader_kills BINARY [KILLS], or LOCKRING_BIN=BINARY leader_kills [KILLS]";
    Ok((binary.context(usage)?, kills))
}

async fn kill_once(
    cluster: &mut Cluster,
    witness: &Arc<Witness>,
    standing: &Standing,
    prober: &str,
    nth: usize,
) -> anyhow::Result<Round> {
    load_goes_on(witness).await?;
    let killed = cluster.leader().await?;
    let term = term_at(cluster, killed).await?;
    let survivors = cluster.others(killed);
    let probes = survivors
        .iter()
        .map(|id| probe(cluster, witness, *id, prober, nth));
    let probes: Vec<_> = probes.collect();

    let killed_at = Instant::now();
    cluster.kill(killed)?;
    let probes: Vec<_> = probes.into_iter().map(tokio::spawn).collect();
    let mut gaps = Vec::new();
    for probe in probes {
        gaps.push(probe.await?? - killed_at);
    }
    let gap = gaps.into_iter().min().context("there are two survivors")?;

    if gap > PROMISED {
        // Why, is in the logs; with LOCKRING_LOG=info,openraft=info they tell every vote.
        for id in &survivors {
            println!("--- log of node {id}\n{}", cluster.log_tail(*id));
        }
    }

    let leader = cluster.leader_among(&survivors).await?;
    let terms = term_at(cluster, leader).await?.saturating_sub(term);
    let others = Caller::new(cluster, survivors, witness);
    standing.look(&others).await?;

    let restarted_at = Instant::now();
    cluster.restart(killed)?;
    cluster.wait_ready(killed).await?;
    catch_up(cluster, witness, killed).await?;
    println!(
        "kill {nth}: node {killed} -> {leader}, served after {} ms, {terms} term{}, back in {} ms",
        gap.as_millis(),
        if terms == 1 { "" } else { "s" },
        restarted_at.elapsed().as_millis()
    );
    Ok(Round { gap, terms })
}

/// Waits until the load was granted some more, so that it is known to run.
async fn load_goes_on(witness: &Witness) -> anyhow::Result<()> {
    let enough = witness.grants() + GRANTS_BETWEEN;
    jepsen_lite::wait_for("grants to the load", PROGRESS_WITHIN, async || {
        (witness.grants() >= enough).then_some(())
    })
    .await
}

async fn term_at(cluster: &Cluster, id: u64) -> anyhow::Result<u64> {
    let body = cluster.api(id).get("/v1/cluster").await?.expect(200)?;
    body["term"].as_u64().context("the cluster has a term")
}

/// Acquires one lock through one node as soon as it can, and answers when that was acknowledged.
fn probe(
    cluster: &Cluster,
    witness: &Arc<Witness>,
    id: u64,
    session: &str,
    nth: usize,
) -> impl Future<Output = anyhow::Result<Instant>> + Send + use<> {
    let caller = Caller::new(cluster, [id], witness);
    let (session, lock) = (session.to_owned(), format!("probe/{nth}/{id}"));
    async move {
        let fence = caller.acquire(&session, &lock).await?;
        let acknowledged_at = Instant::now();
        caller.release(&session, &lock, fence).await?;
        Ok(acknowledged_at)
    }
}

/// Waits until a node has applied all that anybody was told of by now.
async fn catch_up(cluster: &Cluster, witness: &Witness, id: u64) -> anyhow::Result<()> {
    let newest = witness.newest_revision();
    let path = format!("/v1/locks/held?consistency=stale&min_revision={newest}");
    let api = cluster.api(id);
    jepsen_lite::wait_for(
        "the killed node's catching up",
        PROGRESS_WITHIN,
        async || {
            let answer = api.get(&path).await.ok()?;
            (answer.status == 200).then_some(())
        },
    )
    .await
}

fn print_figures(rounds: &[Round]) {
    let mut gaps: Vec<_> = rounds.iter().map(|round| round.gap).collect();
    gaps.sort_unstable();
    let at = |part: usize| {
        let rank = (gaps.len() * part).div_ceil(100).max(1);
        gaps.get(rank - 1).map_or(0, Duration::as_millis)
    };
    let slow = gaps.iter().filter(|gap| **gap > PROMISED).count();
    let repeated = rounds.iter().filter(|round| round.terms > 1).count();
    let figures = json!({
        "kills": gaps.len(),
        "gap_ms": {"p50": at(50), "p99": at(99), "worst": at(100)},
        "over_1_s": slow,
        "more_than_one_term": repeated,
    });
    println!("{figures}");
}
