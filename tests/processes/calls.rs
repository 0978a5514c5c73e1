//! The calls that these tests make, and a caller that does not give up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jepsen_lite::{Answer, Api, Cluster};
use serde_json::{Value, json};

/// A client that knows all nodes and repeats a call, under one key, until an answer decides it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    apis: Vec<Api>,
}

/// A grant as it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) lock: String,
    pub(crate) session: String,
    pub(crate) fence: u64,
}

/// Long enough for an election on a machine that compiles something meanwhile.
const DECIDED_WITHIN: Duration = Duration::from_secs(60);

/// A key that no other call has.
pub(crate) fn fresh_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{next}", std::process::id())
}

impl Caller {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self::of_nodes(cluster, cluster.ids())
    }

    pub(crate) fn of_nodes(cluster: &Cluster, ids: impl IntoIterator<Item = u64>) -> Self {
        let apis = ids.into_iter().map(|id| cluster.api(id)).collect();
        Self { apis }
    }

    /// Posts until it is decided. A 202 is taken as "ask again", a 503, a 504 and a lost
    /// connection as "ask another".
    pub(crate) async fn post(&self, path: &str, key: &str, body: Value) -> Answer {
        let deadline = Instant::now() + DECIDED_WITHIN;
        let mut last = String::new();
        for api in self.apis.iter().cycle() {
            assert!(
                Instant::now() < deadline,
                "POST {path} is not decided: {last}"
            );
            match api.post_once(path, key, body.clone()).await {
                Ok(answer) if matches!(answer.status, 202 | 503 | 504) => {
                    last = answer.body.to_string();
                }
                Ok(answer) => return answer,
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("a cycle does not end")
    }

    /// Gets until it is decided.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let deadline = Instant::now() + DECIDED_WITHIN;
        for api in self.apis.iter().cycle() {
            assert!(Instant::now() < deadline, "GET {path} is not answered");
            if let Ok(answer) = api.get(path).await
                && answer.status == 200
            {
                return answer.body;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("a cycle does not end")
    }

    /// Opens a session and answers its id.
    pub(crate) async fn open(&self, owner: &str, ttl_ms: u64) -> String {
        let body = json!({"owner": owner, "ttl_ms": ttl_ms});
        let answer = self.post("/v1/sessions", &fresh_key(), body).await;
        let body = answer.expect(201).unwrap();
        body["session"].as_str().unwrap().to_owned()
    }

    /// Asks for a lock, waiting so long, and answers what came of it.
    pub(crate) async fn try_acquire(&self, session: &str, lock: &str, wait_ms: u64) -> Answer {
        let body = json!({"session": session, "wait_ms": wait_ms});
        let path = format!("/v1/locks/{lock}/acquire");
        self.post(&path, &fresh_key(), body).await
    }

    /// Acquires a lock that is sure to be granted.
    pub(crate) async fn acquire(&self, session: &str, lock: &str, wait_ms: u64) -> Granted {
        let answer = self.try_acquire(session, lock, wait_ms).await;
        let body = answer.expect(200).unwrap();
        Granted {
            lock: lock.to_owned(),
            session: session.to_owned(),
            fence: body["fence"].as_u64().unwrap(),
        }
    }

    /// Releases a lease that is sure to be held.
    pub(crate) async fn release(&self, lease: &Granted) {
        let answer = self.try_release(lease).await;
        answer.expect(200).unwrap();
    }

    pub(crate) async fn try_release(&self, lease: &Granted) -> Answer {
        let Granted {
            lock,
            session,
            fence,
        } = lease;
        let body = json!({"session": session, "fence": fence});
        let path = format!("/v1/locks/{lock}/release");
        self.post(&path, &fresh_key(), body).await
    }

    /// A lock as a linearizable read shows it.
    pub(crate) async fn lock(&self, lock: &str) -> Value {
        self.get(&format!("/v1/locks/{lock}")).await
    }

    /// The fence of a lock's only holder.
    pub(crate) async fn held_fence(&self, lock: &str) -> Option<u64> {
        self.lock(lock).await["holders"][0]["fence"].as_u64()
    }

    /// Waits until so many stand in a lock's queue.
    pub(crate) async fn wait_queued(&self, lock: &str, waiters: usize) {
        let what = format!("{waiters} waiters for {lock}");
        let queued = async || {
            let queue = self.lock(lock).await["queue"].as_array().map(Vec::len);
            (queue == Some(waiters)).then_some(())
        };
        jepsen_lite::wait_for(&what, DECIDED_WITHIN, queued)
            .await
            .unwrap();
    }
}
