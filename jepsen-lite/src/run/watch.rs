//! Who each node says leads, over the run: for the report's lanes.

use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::api::Api;
use crate::clock;
use crate::cluster::Cluster;
use crate::history::{Event, Kind, NEMESIS};

/// How often nodes are asked.
const EVERY: Duration = Duration::from_millis(150);

/// Asks all nodes, past their links, until it is told to end.
pub(super) struct Watch {
    stop: oneshot::Sender<()>,
    watching: JoinHandle<Vec<Event>>,
}

impl Watch {
    pub(super) fn start(cluster: &Cluster, began: u64) -> Self {
        let apis = cluster.ids().map(|id| (id, cluster.api(id))).collect();
        let (stop, stopped) = oneshot::channel();
        let watching = tokio::spawn(watch(apis, began, stopped));
        Self { stop, watching }
    }

    /// What changed, and when.
    pub(super) async fn end(self) -> Vec<Event> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        self.watching.await.unwrap_or_default()
    }
}

async fn watch(
    apis: Vec<(u64, Api)>,
    began: u64,
    mut stopped: oneshot::Receiver<()>,
) -> Vec<Event> {
    let mut seen: Vec<serde_json::Value> = vec![json!(null); apis.len()];
    let mut changes = Vec::new();
    loop {
        for (last, (id, api)) in seen.iter_mut().zip(&apis) {
            let asked = timeout(EVERY * 2, api.get("/v1/cluster")).await;
            let now = match asked {
                Ok(Ok(answer)) if answer.status == 200 => json!({
                    "node": id,
                    "leader": answer.body["leader"],
                    "term": answer.body["term"],
                }),
                Ok(_) | Err(_) => json!({"node": id, "silent": true}),
            };
            if *last != now {
                last.clone_from(&now);
                changes.push(Event {
                    t: clock::now().saturating_sub(began),
                    process: NEMESIS,
                    kind: Kind::Info,
                    f: "leader".to_owned(),
                    value: Some(now),
                    ..Event::default()
                });
            }
        }
        tokio::select! {
            () = sleep(EVERY) => {}
            _ = &mut stopped => return changes,
        }
    }
}
