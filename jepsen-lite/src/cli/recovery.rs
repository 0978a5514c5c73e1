//! `jepsen-lite recovery`: for how long nobody is served after a leader's death, and after a
//! partition is healed in which no side had a majority.
//!
//! Each time is from right before the SIGKILL, or before the links are mended, to the first
//! acknowledgement of a change that was asked for after that, by whichever node. Every node is
//! asked all the time, by several callers each, so that the time is the cluster's and not that of
//! a client that looks for a leader.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{binary_beside, say};
use crate::api::Api;
use crate::cluster::Cluster;
use crate::link::{End, Flow};
use crate::options::{Options, Wiring};
use crate::seed::Dice;

#[derive(clap::Args, Clone, Debug)]
#[group(id = "recovery")]
pub(super) struct Args {
    /// How often each is measured
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    times: u64,
    /// What decides for how long links are cut
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The lockring binary; beside this one if not said
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Callers of each node.
const CALLERS_EACH: u64 = 3;
/// After this a caller asks again; an answer that is late still counts for who waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two questions of one caller.
const EVERY: Duration = Duration::from_millis(5);
/// Nobody who measures has patience for more.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    let binary = args.binary.unwrap_or_else(binary_beside);
    anyhow::ensure!(binary.exists(), "there is no binary {}", binary.display());
    let mut cluster = Cluster::start(Options {
        wiring: Wiring::Proxied {
            workers: 0,
            spares: 0,
        },
        ..Options::new(&binary)
    })
    .await?;
    let mut dice = Dice::new(args.seed, "recovery");
    let mut killed = Vec::new();
    for _ in 0..args.times {
        cluster.wait_all_ready().await?;
        let leader = cluster.leader().await?;
        let left = cluster.others(leader);
        let begun = Instant::now();
        cluster.kill(leader)?;
        killed.push(first_served(&cluster, &left, begun).await?);
        cluster.restart(leader)?;
    }
    report("from the leader's SIGKILL", &mut killed);
    let mut healed = Vec::new();
    for _ in 0..args.times {
        cluster.wait_all_ready().await?;
        let all: Vec<u64> = cluster.ids().collect();
        for (from, to, _) in cluster.mesh().iter() {
            if let (End::Node(_), End::Node(_)) = (from, to) {
                cluster.mesh().treat(from, to, Flow::Lost);
            }
        }
        sleep(Duration::from_millis(dice.between(1_000, 4_000))).await;
        let begun = Instant::now();
        cluster.mesh().heal();
        healed.push(first_served(&cluster, &all, begun).await?);
    }
    report(
        "from the healing of a partition without a majority",
        &mut healed,
    );
    Ok(0)
}

/// How long after `begun` one of these nodes acknowledges a change that it was asked for since.
async fn first_served(
    cluster: &Cluster,
    nodes: &[u64],
    begun: Instant,
) -> anyhow::Result<Duration> {
    let (tell, mut told) = mpsc::channel(1);
    let mut callers = JoinSet::new();
    for (nth, id) in nodes.iter().enumerate() {
        for caller in 0..CALLERS_EACH {
            let phase = EVERY / 10 * u32::try_from(nth as u64 * CALLERS_EACH + caller)?;
            callers.spawn(ask(cluster.api(*id), phase, tell.clone()));
        }
    }
    let served = timeout(SERVED_WITHIN, told.recv()).await;
    let served = served.context("nobody is served any more")?;
    callers.shutdown().await;
    Ok(served.context("all callers ended")?.duration_since(begun))
}

async fn ask(api: Api, phase: Duration, tell: mpsc::Sender<Instant>) {
    sleep(phase).await;
    loop {
        let body = json!({"ttl_ms": 1_000, "owner": "recovery"});
        let asked = timeout(ANSWER_WITHIN, api.post("/v1/sessions", body)).await;
        if matches!(asked, Ok(Ok(answer)) if answer.status == 201) {
            // Only the first counts, and then nobody listens.
            let _ = tell.send(Instant::now()).await;
            return;
        }
        sleep(EVERY).await;
    }
}

fn report(from: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let ms = |percent: usize| {
        let at = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(at).map_or(0, Duration::as_millis)
    };
    say(&format!(
        "{from} to the first acknowledgement, {} times: p50 {} ms, p99 {} ms, worst {} ms",
        times.len(),
        ms(50),
        ms(99),
        ms(100)
    ));
}
