//! Figures for Prometheus, and whether the node serves, over HTTP.

use std::convert::Infallible;
use std::fmt::{Display, Write};
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::figures::BUCKETS;
use super::membership::Stage;
use super::node::Node;
use super::store::Tally;
use super::topology::runs;

/// What is told, and of what.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) node: Arc<Node>,
    pub(crate) stage: tokio::sync::watch::Receiver<Stage>,
}

/// Answers until it is dropped.
pub(crate) async fn serve(told: Told, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let told = told.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request: http::Request<_>| {
                let answer = told.answer(request.uri().path());
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            // A scraper that goes away is its own business.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

impl Told {
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let (status, text) = match path {
            "/metrics" => (StatusCode::OK, self.figures()),
            "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if self.serves() => (StatusCode::OK, "serving\n".to_owned()),
            "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not serving\n".to_owned()),
            _ => (
                StatusCode::NOT_FOUND,
                "/metrics, /readyz or /healthz\n".to_owned(),
            ),
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "text/plain; version=0.0.4")
            .body(Full::from(text))
            .expect("a status and a header that are always the same")
    }

    /// Whether clients are served: not before there is something to serve.
    fn serves(&self) -> bool {
        let view = self.node.now();
        let owns = view
            .me()
            .is_some_and(|me| view.table().owner.contains(&Some(me)));
        *self.stage.borrow() == Stage::Serving && view.serves() && owns
    }

    fn figures(&self) -> String {
        let (node, view) = (&self.node, self.node.now());
        let mut text = Text::default();
        for (name, help, value) in node.figures.rows() {
            text.family(&format!("{name}_total"), help, "counter");
            text.row(&format!("{name}_total"), "", value);
        }
        for (name, help, value) in [
            ("clients", "Open connections", node.figures.clients()),
            ("bytes", "Bytes that entries take", node.store.bytes()),
            (
                "bytes_max",
                "Bytes that they may take",
                node.store.bytes_max(),
            ),
            ("keys", "Entries", node.store.keys() as u64),
            (
                "epoch",
                "Epoch of the table that is obeyed",
                view.table().epoch,
            ),
            (
                "serves",
                "1 while the node may answer for its slots",
                u64::from(view.serves()),
            ),
        ] {
            text.family(name, help, "gauge");
            text.row(name, "", value);
        }
        self.by_run(&mut text);
        text.family(
            "batch_seconds",
            "From the first request of a batch to its last",
            "histogram",
        );
        let batches = node.figures.batches();
        for (n, count) in batches.iter().enumerate().take(BUCKETS - 1) {
            let seconds = (1_u64 << n) as f64 / 1e6;
            text.row(
                "batch_seconds_bucket",
                &format!("{{le=\"{seconds}\"}}"),
                *count,
            );
        }
        let all = batches[BUCKETS - 1];
        text.row("batch_seconds_bucket", "{le=\"+Inf\"}", all);
        text.row(
            "batch_seconds_sum",
            "",
            node.figures.in_batches().as_secs_f64(),
        );
        text.row("batch_seconds_count", "", all);
        text.0
    }

    /// What was counted of the slots that are ours, run by run.
    fn by_run(&self, text: &mut Text) {
        let view = self.node.now();
        let own = runs(view.table())
            .into_iter()
            .filter(|run| Some(run.owner) == view.me());
        let tallies: Vec<_> = own
            .map(|run| {
                let mut sum = Tally::default();
                for slot in run.first..=run.last {
                    sum += self.node.store.tally(slot);
                }
                (format!("{{slots=\"{}-{}\"}}", run.first, run.last), sum)
            })
            .collect();
        type Of = fn(&Tally) -> u64;
        let families: [(&str, &str, Of); 4] = [
            ("hits_total", "Keys that were here", |tally| tally.hits),
            ("misses_total", "Keys that were not", |tally| tally.misses),
            ("evictions_total", "Keys pushed out by others", |tally| {
                tally.evictions
            }),
            ("expiries_total", "Keys found expired", |tally| {
                tally.expiries
            }),
        ];
        for (name, help, of) in families {
            text.family(name, help, "counter");
            for (labels, tally) in &tallies {
                text.row(name, labels, of(tally));
            }
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, help: &str, kind: &str) {
        let name = format!("lockring_cache_{name}");
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("a String takes whatever is written");
    }

    fn row(&mut self, name: &str, labels: &str, value: impl Display) {
        writeln!(self.0, "lockring_cache_{name}{labels} {value}")
            .expect("a String takes whatever is written");
    }
}
