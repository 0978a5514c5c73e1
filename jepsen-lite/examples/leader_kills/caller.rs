//! Calls that are repeated under one key until they are decided, and told to the witness.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jepsen_lite::{Answer, Api, Cluster};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::witness::Witness;

const DECIDED_WITHIN: Duration = Duration::from_secs(60);
/// Short against an election, so that it adds little to what is measured.
const PAUSE: Duration = Duration::from_millis(5);
/// So long that no session of the run ends by itself.
const TTL_MS: u64 = 3_600_000;

/// A client that asks each of some nodes in turn.
#[derive(Clone)]
pub(crate) struct Caller {
    apis: Vec<Api>,
    witness: Arc<Witness>,
}

impl Caller {
    pub(crate) fn new(
        cluster: &Cluster,
        ids: impl IntoIterator<Item = u64>,
        witness: &Arc<Witness>,
    ) -> Self {
        let apis = ids.into_iter().map(|id| cluster.api(id)).collect();
        let witness = Arc::clone(witness);
        Self { apis, witness }
    }

    pub(crate) fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Begins with another node.
    pub(crate) fn turned(mut self, by: usize) -> Self {
        let by = by % self.apis.len();
        self.apis.rotate_left(by);
        self
    }

    async fn decided(&self, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = format!("kills-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let deadline = Instant::now() + DECIDED_WITHIN;
        let mut last = String::new();
        for api in self.apis.iter().cycle() {
            if Instant::now() > deadline {
                break;
            }
            let answer = match &body {
                Some(body) => api.post_once(path, &key, body.clone()).await,
                None => api.get(path).await,
            };
            match answer {
                Ok(answer) if matches!(answer.status, 503 | 504) => last = answer.body.to_string(),
                Ok(answer) => return Ok(answer),
                Err(error) => last = format!("{error:#}"),
            }
            sleep(PAUSE).await;
        }
        bail!("{path} is not decided within {DECIDED_WITHIN:?}: {last}")
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.decided(path, None).await?.expect(200)
    }

    /// Opens a session that outlives the run.
    pub(crate) async fn open(&self, owner: &str) -> anyhow::Result<String> {
        let body = json!({"owner": owner, "ttl_ms": TTL_MS});
        let body = self
            .decided("/v1/sessions", Some(body))
            .await?
            .expect(201)?;
        let id = body["session"].as_str().context("a session has an id")?;
        Ok(id.to_owned())
    }

    /// Acquires a lock that nobody else uses, and answers the fence.
    pub(crate) async fn acquire(&self, session: &str, lock: &str) -> anyhow::Result<u64> {
        let floor = self.witness.highest_fence();
        let path = format!("/v1/locks/{}/acquire", lock.replace('/', "%2F"));
        let answer = self
            .decided(&path, Some(json!({"session": session})))
            .await?;
        let revision = answer.header("lockring-revision").map(str::to_owned);
        let body = answer.expect(200)?;
        let fence = body["fence"].as_u64().context("a grant has a fence")?;
        let revision = revision.context("an answer has a revision")?.parse()?;
        // A replay tells an old grant under a new revision, so that the two do not belong together.
        let is_first = body["replayed"] == false;
        self.witness
            .granted(floor, fence, is_first.then_some(revision));
        Ok(fence)
    }

    pub(crate) async fn release(
        &self,
        session: &str,
        lock: &str,
        fence: u64,
    ) -> anyhow::Result<()> {
        let path = format!("/v1/locks/{}/release", lock.replace('/', "%2F"));
        let body = json!({"session": session, "fence": fence});
        self.decided(&path, Some(body)).await?.expect(200)?;
        self.witness.released();
        Ok(())
    }

    /// Whether the lease with this fence is in force, by a linearizable read.
    pub(crate) async fn is_current(&self, lock: &str, fence: u64) -> anyhow::Result<bool> {
        let lock = lock.replace('/', "%2F");
        let body = self
            .get(&format!("/v1/locks/{lock}/check?fence={fence}"))
            .await?;
        body["current"].as_bool().context("a check says yes or no")
    }
}
