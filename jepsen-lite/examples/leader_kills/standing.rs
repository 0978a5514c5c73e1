//! What must stand through every kill: one lease, kept alive by the client that services embed,
//! and the queue behind it, which is served in its order at the end.

use std::time::Duration;

use anyhow::{Context, ensure};
use jepsen_lite::Cluster;
use lockring_client::{Client, LockGuard};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::caller::Caller;
use crate::witness::Witness;

const LOCK: &str = "held";
const WAITERS: usize = 3;
const TTL: Duration = Duration::from_secs(10);
const QUEUED_WITHIN: Duration = Duration::from_secs(30);
const HANDED_ON_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Standing {
    held: LockGuard,
    /// The places in the queue, by their tickets.
    tickets: Vec<Value>,
    waiters: JoinSet<()>,
    /// Each waiter that was served, or why it was not; then it holds the lock until it is dropped.
    served: mpsc::Receiver<(usize, anyhow::Result<LockGuard>)>,
}

impl Standing {
    pub(crate) async fn begin(cluster: &Cluster, everybody: &Caller) -> anyhow::Result<Self> {
        let client = Client::new(cluster.endpoints())?;
        let session = client.session().ttl(TTL).owner("holder").open().await?;
        let held = session.try_acquire(LOCK).await?;
        let (tell, served) = mpsc::channel(WAITERS);
        let mut waiters = JoinSet::new();
        for nth in 0..WAITERS {
            let (client, tell) = (client.clone(), tell.clone());
            waiters.spawn(async move {
                // The receiver is gone only when the run has failed already.
                let _ = tell.send((nth, wait(&client, nth).await)).await;
            });
            jepsen_lite::wait_for("a place in the queue", QUEUED_WITHIN, async || {
                (tickets(everybody).await.ok()?.len() == nth + 1).then_some(())
            })
            .await?;
        }
        let tickets = tickets(everybody).await?;
        Ok(Self {
            held,
            tickets,
            waiters,
            served,
        })
    }

    /// Asks the survivors of a kill whether all stands as it stood.
    pub(crate) async fn look(&self, survivors: &Caller) -> anyhow::Result<()> {
        let lock = survivors.get(&format!("/v1/locks/{LOCK}")).await?;
        let fence = self.held.fence().number();
        let witness = survivors.witness();
        if lock["holders"][0]["fence"].as_u64() != Some(fence) || !self.held.is_valid() {
            witness.contradiction(format!("the lease under fence {fence} is lost: {lock}"));
        }
        let tickets = queue_of(&lock)?;
        if tickets != self.tickets {
            let was = &self.tickets;
            witness.contradiction(format!("the queue was {was:?} and is {tickets:?}"));
        }
        Ok(())
    }

    /// Gives the lease up, and sees it handed on from waiter to waiter.
    pub(crate) async fn end(mut self, witness: &Witness) {
        let floor = witness.highest_fence();
        let handed_on = async {
            self.held.release().await?;
            let mut before = floor;
            for nth in 0..WAITERS {
                let (who, guard) = self.served.recv().await.context("nobody waits any more")?;
                let guard = guard?;
                ensure!(who == nth, "waiter {who} was served in the place of {nth}");
                witness.granted(before, guard.fence().number(), None);
                before = guard.fence().number();
                guard.release().await?;
            }
            anyhow::Ok(())
        };
        let handed_on = tokio::time::timeout(HANDED_ON_WITHIN, handed_on).await;
        if let Err(error) = handed_on
            .context("the queue is not served in time")
            .flatten()
        {
            witness.contradiction(format!("{LOCK}: {error:#}"));
        }
        self.waiters.shutdown().await;
    }
}

async fn wait(client: &Client, nth: usize) -> anyhow::Result<LockGuard> {
    let owner = format!("waiter {nth}");
    let session = client.session().ttl(TTL).owner(owner).open().await?;
    Ok(session.acquire(LOCK).await?)
}

async fn tickets(caller: &Caller) -> anyhow::Result<Vec<Value>> {
    queue_of(&caller.get(&format!("/v1/locks/{LOCK}")).await?)
}

fn queue_of(lock: &Value) -> anyhow::Result<Vec<Value>> {
    let queue = lock["queue"].as_array().context("a lock has a queue")?;
    Ok(queue
        .iter()
        .map(|waiter| waiter["ticket"].clone())
        .collect())
}
