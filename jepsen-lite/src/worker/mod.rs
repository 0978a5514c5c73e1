//! Workers: the processes that call the cluster and write down what they asked and got.
//!
//! They are processes, not tasks of the tool, because the worst that can happen to a client is
//! that it is stopped for a while and wakes up believing what it believed: a worker can be sent
//! SIGSTOP past its TTL like any service. Each runs several *hands*, each of which does one thing
//! at a time under a process number of its own.
//!
//! A worker reads its [`Spec`] from its command line and writes events to its standard output. It
//! stops beginning anything new when its standard input ends, and then winds up.

mod call;
mod cache;
mod guarded;
mod hand;
mod lease;
mod lock;
mod modes;
mod queue;
mod record;
mod resp;
mod retry;
mod ring;
mod stream;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::sync::watch::channel;
use tokio::task::JoinSet;

use crate::seed::Dice;
use crate::workload::Workload;
use hand::Hand;
use record::Recorder;

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Which workload.
    pub workload: Workload,
    /// Which of the workers this is, from 1 up.
    pub worker: u64,
    /// How many things it does at a time.
    pub hands: u64,
    /// The process number of its first hand.
    pub first_process: i64,
    /// How much a process number goes up when it retires.
    pub processes: i64,
    /// The process number of the first hand of this workload, and how many it has.
    pub of_workload: [i64; 2],
    /// The seed of the run.
    pub seed: u64,
    /// Where each node is reached from here, from node 1 up.
    pub endpoints: Vec<String>,
    /// The outside resource, for workloads that have one.
    pub resource: Option<SocketAddr>,
    /// The cache nodes, for the workload that has them.
    pub caches: Vec<CacheNode>,
    /// Where their values come from.
    pub origin: Option<SocketAddr>,
    /// How long sessions live without renewal.
    pub ttl_ms: u64,
    /// The pause of a hand between two things, on average.
    pub pause_ms: u64,
    /// How many locks or keys the hands share.
    pub keys: u64,
    /// When the run began, by the machine's monotonic clock.
    pub began: u64,
}

/// Where a cache node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CacheNode {
    /// For who knows the slots.
    pub resp: String,
    /// For anybody.
    pub proxy: String,
}

/// Whether a worker may begin something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Working,
    WindingUp,
}

/// Works until the standard input ends.
///
/// # Errors
/// When the history cannot be handed over any more.
pub async fn work(spec: Spec) -> anyhow::Result<()> {
    let (tell, phase) = channel(Phase::Working);
    let (recorder, writer) = Recorder::to_stdout(spec.began);
    let mut hands = JoinSet::new();
    for nth in 0..spec.hands {
        let hand = Hand::new(&spec, nth, recorder.clone(), phase.clone());
        hands.spawn(run(spec.workload, hand));
    }
    drop(recorder);
    let mut stdin = tokio::io::stdin();
    let mut bytes = [0; 64];
    // Until it ends, or is lost together with the tool.
    while stdin.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    tell.send_replace(Phase::WindingUp);
    let wound_up = async { while hands.join_next().await.is_some() {} };
    // What a hand still waits for after this is of unknown outcome, and is recorded so by silence.
    let _ = tokio::time::timeout(WIND_UP_WITHIN, wound_up).await;
    hands.shutdown().await;
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writer of the history panicked"))?
}

/// Longer than any single call of a hand.
const WIND_UP_WITHIN: Duration = Duration::from_secs(12);

async fn run(workload: Workload, hand: Hand) {
    match workload {
        Workload::Lock => lock::run(hand).await,
        Workload::FencedSet | Workload::UnfencedSet | Workload::Register => {
            guarded::run(workload, hand).await;
        }
        Workload::Lease => lease::run(hand).await,
        Workload::Queue => queue::run(hand).await,
        Workload::Retry => retry::run(hand).await,
        Workload::Modes => modes::run(hand).await,
        Workload::Watch => watch::run(hand).await,
        Workload::Ring => ring::run(hand).await,
        Workload::Cache => cache::run(hand).await,
    }
}

/// The pause before a hand's next step: from nothing to twice the average.
pub(crate) fn pause(dice: &mut Dice, average_ms: u64) -> Duration {
    Duration::from_millis(dice.between(0, average_ms * 2))
}
