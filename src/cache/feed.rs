//! The ring as a cache node follows it: the newest table, and how long it may be believed.
//!
//! The node asks the cluster for the ring's epoch several times a second, linearizably, and for
//! the table when the epoch is new. While the table in hand is of the epoch that was answered, it
//! was the newest when the call was sent, and is vouched for from then on for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockring_client::{BootTime, Client, Error, RingSnapshot};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(100);
/// For how long a table is vouched for after it was known to be the newest.
const VOUCHED_FOR: Duration = Duration::from_secs(3);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    ring: String,
    newest: watch::Sender<Arc<RingSnapshot>>,
    /// On the boot-time clock, in nanoseconds.
    vouched_until: AtomicU64,
}

impl Feed {
    /// Follows a ring from its newest table on.
    pub(crate) async fn follow(client: &Client, ring: &str) -> Result<Self, Error> {
        let sent = BootTime::now();
        let first = fetched(client, ring).await?;
        let shared = Arc::new(Shared {
            client: client.clone(),
            ring: ring.to_owned(),
            newest: watch::Sender::new(Arc::new(first)),
            vouched_until: AtomicU64::new(sent.plus(VOUCHED_FOR).nanos()),
        });
        let task = tokio::spawn(keep(shared.clone()));
        Ok(Self {
            shared,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// The ring as it is known now.
    pub(crate) fn now(&self) -> Arc<RingSnapshot> {
        self.shared.newest.borrow().clone()
    }

    /// Waits for another epoch than this one.
    pub(crate) async fn newer_than(&self, epoch: u64) -> Arc<RingSnapshot> {
        let mut newest = self.shared.newest.subscribe();
        let changed = newest.wait_for(|newest| newest.epoch() != epoch).await;
        changed.expect("the sender is in self").clone()
    }

    /// For how long the table may still be told to others.
    pub(crate) fn vouched_for(&self) -> Duration {
        let until = self.shared.vouched_until.load(Ordering::Acquire);
        BootTime::now().until(BootTime::from_nanos(until))
    }
}

async fn keep(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let sent = BootTime::now();
        if let Err(error) = shared.catch_up(sent).await {
            tracing::debug!(ring = shared.ring, %error, "the ring is not followed");
        }
    }
}

impl Shared {
    async fn catch_up(&self, sent: BootTime) -> Result<(), Error> {
        let known = self.newest.borrow().epoch();
        let rings = self.client.list_rings().await?.rings;
        let newest = rings.into_iter().find(|row| row.ring == self.ring);
        match newest.map(|row| row.epoch) {
            Some(epoch) if epoch <= known => {}
            Some(_) | None => {
                let next = fetched(&self.client, &self.ring).await?;
                if next.epoch() > known {
                    self.newest.send_replace(Arc::new(next));
                }
            }
        }
        let until = sent.plus(VOUCHED_FOR).nanos();
        self.vouched_until.fetch_max(until, Ordering::AcqRel);
        Ok(())
    }
}

/// The ring and its table, of one epoch.
async fn fetched(client: &Client, ring: &str) -> Result<RingSnapshot, Error> {
    loop {
        let table = client.ring_table(ring).await?;
        let ring = client.get_ring(ring).await?;
        if table.epoch == ring.epoch {
            let table = table.table().map_err(|error| Error::Invalid {
                what: "the ring's table",
                why: error.to_string(),
            })?;
            return Ok(RingSnapshot { ring, table });
        }
    }
}
