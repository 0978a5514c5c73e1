//! The steady load: each worker takes and gives back a lock of its own, and has both confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::caller::Caller;

const WORKERS: usize = 4;
/// Keeps the load small: what is measured is the election, not a machine that is full.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Load {
    workers: JoinSet<()>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    pub(crate) fn begin(everybody: &Caller) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for nth in 0..WORKERS {
            let caller = everybody.clone().turned(nth);
            let is_over = Arc::clone(&is_over);
            workers.spawn(async move {
                if let Err(error) = work(&caller, nth, &is_over).await {
                    // Nobody else uses its lock, so each refusal contradicts an earlier answer.
                    caller
                        .witness()
                        .contradiction(format!("worker {nth}: {error:#}"));
                }
            });
        }
        Self { workers, is_over }
    }

    pub(crate) async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.workers.join_all().await;
    }
}

async fn work(caller: &Caller, nth: usize, is_over: &AtomicBool) -> anyhow::Result<()> {
    let session = caller.open(&format!("worker {nth}")).await?;
    let lock = format!("work/{nth}");
    while !is_over.load(Ordering::Relaxed) {
        let fence = caller.acquire(&session, &lock).await?;
        if !caller.is_current(&lock, fence).await? {
            let what = format!("{lock}: the grant of fence {fence} was acknowledged, and is gone");
            caller.witness().contradiction(what);
        }
        caller.release(&session, &lock, fence).await?;
        if caller.is_current(&lock, fence).await? {
            let what = format!("{lock}: the release of fence {fence} was acknowledged, and undone");
            caller.witness().contradiction(what);
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
