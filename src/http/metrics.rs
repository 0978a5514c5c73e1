//! Figures, in the Prometheus text format.
//!
//! What is counted by each call is a handle that was made once: no label is hashed and no map
//! looked up on the way of a request. What the rest of the node knows anyway (what the machine
//! holds, who leads) is read when somebody asks, and costs nothing until then.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Api;
use super::ask::Ask;
use super::calls::Call;
use super::error::Failure;
use super::limits::Doorman;
use super::reply::Reply;
use crate::service::{Figures, Service, Vitals as Now};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// From 100 µs, which is a fast commit, to 30 s, which is a parked call.
const LATENCY_SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    15.0, 30.0,
];

/// What this floor counts.
#[derive(Debug)]
pub(super) struct Metrics {
    latency: [Histogram; Call::ALL.len()],
    problems: Family<ByCode, Counter<u64, AtomicU64>>,
    registry: Mutex<Registry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

/// What is read from the node when somebody asks.
#[derive(Debug)]
struct Vitals {
    service: Service,
    doorman: Arc<Doorman>,
}

impl Metrics {
    /// Counts from zero; `registry` may hold what the floors below count already.
    pub(super) fn new(mut registry: Registry, service: Service, doorman: Arc<Doorman>) -> Self {
        let latency =
            Family::<ByCall, Histogram>::new_with_constructor(|| Histogram::new(LATENCY_SECONDS));
        let problems = Family::<ByCode, Counter>::default();
        registry.register(
            "lockring_http_request_seconds",
            "From the head of a request to its answer, waits included",
            latency.clone(),
        );
        registry.register(
            "lockring_http_problems",
            "Answers that were not a success, by their code",
            problems.clone(),
        );
        registry.register_collector(Box::new(Vitals { service, doorman }));
        let of = |call: Call| {
            let call = call.spec().name;
            latency.get_or_create_owned(&ByCall { call })
        };
        Self {
            latency: Call::ALL.map(of),
            problems,
            registry: Mutex::new(registry),
        }
    }

    pub(super) fn answered(&self, call: Call, after: Duration) {
        self.latency[call as usize].observe(after.as_secs_f64());
    }

    pub(super) fn problem(&self, code: &'static str) {
        self.problems.get_or_create(&ByCode { code }).inc();
    }

    fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock()).expect("a String takes whatever is written");
        text
    }
}

pub(super) fn get(api: &Api, ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    let text = api.metrics().text();
    Ok(Reply::of(StatusCode::OK, OPEN_METRICS, text))
}

type Gauge = (&'static str, &'static str, u64);

/// How much there is of what.
fn amounts(now: &Now, connections: usize) -> [Gauge; 9] {
    let (counts, figures) = (&now.counts, &now.figures);
    [
        ("sessions", "Live sessions", counts.sessions as u64),
        (
            "locks",
            "Locks that are held or queued for",
            counts.locks as u64,
        ),
        ("leases", "Leases in force", counts.leases as u64),
        ("waiters", "Places in queues", counts.waiters as u64),
        (
            "parked_calls",
            "Calls that wait at this node",
            now.parked as u64,
        ),
        (
            "connections",
            "Open connections of clients",
            connections as u64,
        ),
        ("term", "The current term", figures.term),
        (
            "leader",
            "1 if this node leads and may stamp entries",
            u64::from(figures.leads),
        ),
        ("revision", "Newest command applied", figures.revision),
    ]
}

/// Where the log is. An index that there is none of yet is not told: 0 would be an entry.
fn indexes(figures: &Figures) -> impl Iterator<Item = Gauge> {
    let indexes = [
        (
            "last_log_index",
            "Newest log entry on disk",
            figures.last_log_index,
        ),
        (
            "committed_index",
            "Newest log entry known to be committed",
            figures.committed_index,
        ),
        (
            "applied_index",
            "Newest log entry applied",
            figures.applied_index,
        ),
        (
            "snapshot_index",
            "Newest log entry that a snapshot covers",
            figures.snapshot_index,
        ),
        (
            "purged_index",
            "Newest log entry cut off",
            figures.purged_index,
        ),
    ];
    let told = |(name, help, index)| Option::map(index, |index| (name, help, index));
    indexes.into_iter().filter_map(told)
}

impl Collector for Vitals {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = self.service.vitals();
        let amounts = amounts(&now, self.doorman.connections());
        for (name, help, value) in amounts.into_iter().chain(indexes(&now.figures)) {
            let gauge = ConstGauge::new(value);
            let name = format!("lockring_{name}");
            let to = to.encode_descriptor(&name, help, None, gauge.metric_type())?;
            gauge.encode(to)?;
        }
        let proposals = ConstCounter::new(now.proposals);
        let to = to.encode_descriptor(
            "lockring_proposals",
            "Commands proposed for callers of this node",
            None,
            proposals.metric_type(),
        )?;
        proposals.encode(to)
    }
}
