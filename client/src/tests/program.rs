//! What each client does: it opens sessions, asks for the one lock, works under it, lets it go.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::judge::Judge;
use super::{Chance, simulated_nanos};
use crate::{Client, Error, LockGuard, Session, State};

pub(super) struct Program {
    pub(super) number: usize,
    pub(super) chance: Chance,
    pub(super) judge: Judge,
}

fn now_ms() -> u64 {
    simulated_nanos().expect("it runs in a simulation") / 1_000_000
}

impl Program {
    fn time(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.chance.between(least_ms, most_ms))
    }

    pub(super) async fn run(mut self) {
        let client = Client::builder()
            .endpoint("http://simulated:1")
            .timeout(Duration::from_secs(2))
            .attempt_timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        loop {
            let ttl = self.time(500, 1_500);
            if let Ok(session) = client.session().ttl(ttl).open().await {
                self.use_session(session).await;
            }
            sleep(self.time(1, 100)).await;
        }
    }

    async fn use_session(&mut self, session: Session) {
        while !matches!(session.state(), State::Lost(_)) {
            let wait = self.time(0, 1_500);
            // Some waits are dropped before they are over.
            let patience = self.time(100, 2_000);
            match timeout(patience, session.acquire_for("db", wait)).await {
                Ok(Ok(guard)) => self.work(guard).await,
                Ok(Err(Error::Lost(_))) => return,
                Ok(Err(_)) | Err(_) => {}
            }
            sleep(self.time(0, 50)).await;
        }
    }

    async fn work(&mut self, guard: LockGuard) {
        let guard = Arc::new(guard);
        self.judge.holds(self.number, guard.clone());
        for _ in 0..self.chance.between(1, 40) {
            let write = sleep(self.time(1, 60));
            tokio::select! {
                biased;
                _ = guard.lost() => {
                    self.judge.told(self.number);
                    // It takes its time to find out what to do then.
                    sleep(self.time(0, 300)).await;
                    break;
                }
                () = write => {
                    let fence = guard.fence().number();
                    self.judge.works(self.number, fence, guard.is_valid(), now_ms());
                }
            }
        }
        self.judge.lets_go(self.number);
        let guard = Arc::into_inner(guard).expect("the judge has let it go");
        if self.chance.percent(70) {
            // Whether the lease was still there is not the question here.
            let _ = guard.release().await;
        }
    }
}
