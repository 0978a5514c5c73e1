//! What all connections of a cache node have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockring_client::BootTime;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::audit::Audit;
use super::figures::Figures;
use super::flight::Flights;
use super::handover::Handover;
use super::origin::Origin;
use super::peer::Peers;
use super::slot::SLOTS;
use super::store::{Store, Tally};
use super::view::View;

/// What a node is told at its start, as far as requests are concerned.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Bytes that the store may take.
    pub(crate) memory: u64,
    /// What clients have to say first, if anything.
    pub(crate) password: Option<String>,
    /// For how long after a move a slot's owner before is asked for values; zero for never.
    pub(crate) warm_for: Duration,
    /// Where the audit goes, if anywhere.
    pub(crate) audit: Option<PathBuf>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) options: Settings,
    pub(crate) store: Store,
    /// Locked for reading while a batch is answered, for writing when the picture changes.
    pub(crate) view: RwLock<Arc<View>>,
    /// How many pictures there have been: what waits for another one is woken by it.
    pub(crate) pictures: watch::Sender<u64>,
    pub(crate) figures: Figures,
    pub(crate) audit: Audit,
    pub(crate) flights: Flights,
    pub(crate) handover: Handover,
    pub(crate) peers: Peers,
    pub(crate) origin: Option<Origin>,
    pub(crate) started: Instant,
}

/// The wall clock, in milliseconds: expiry is in its terms, as clients say it.
pub(crate) fn wall_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1)
}

impl Node {
    pub(crate) fn new(
        options: Settings,
        member: &str,
        my_id: String,
        origin: Option<Origin>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            store: Store::new(options.memory),
            view: RwLock::new(Arc::new(View::blank(my_id))),
            pictures: watch::Sender::new(0),
            figures: Figures::default(),
            audit: Audit::open(options.audit.as_deref(), member)?,
            flights: Flights::default(),
            handover: Handover::new(options.warm_for),
            peers: Peers::new(member),
            origin,
            started: Instant::now(),
            options,
        })
    }

    /// The picture that hangs at the moment.
    pub(crate) fn now(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Puts up a picture. When this returns, no request is being answered under the one before;
    /// what was answered under it for slots that are no longer ours is in the audit.
    pub(crate) fn put_up(&self, new: View) {
        let mut view = self.view.write();
        let old = std::mem::replace(&mut *view, Arc::new(new));
        let new = view.clone();
        // The audit belongs to the epochs of the old picture, so nothing may be answered under
        // the new one before it is written.
        self.write_audit(&old, Some(&new));
        let (gained, lost) = self.handover.moved(&old, &new);
        drop(view);
        self.pictures.send_modify(|pictures| *pictures += 1);
        self.figures.moved(gained, lost);
    }

    /// Whether answers to requests in these slots may leave, which is asked right before they do.
    /// If so, the audit has them.
    pub(crate) fn settle(&self, view: &View, touched: &mut Vec<u16>) -> bool {
        if touched.is_empty() {
            return true;
        }
        let may = view.serves();
        if may {
            self.audit.answered(touched, BootTime::now().nanos());
        }
        touched.clear();
        may
    }

    /// Writes what has been answered since.
    pub(crate) fn audit_so_far(&self) {
        let view = self.view.read();
        self.write_audit(&view, None);
    }

    fn write_audit(&self, view: &View, next: Option<&View>) {
        if let Err(error) = self.audit.write(view, next) {
            tracing::error!(%error, "the audit cannot be written");
        }
    }

    /// Everything is forgotten, also what an owner before us may still have.
    pub(crate) fn flush(&self) {
        self.handover.forget_sources();
        self.store.flush();
    }

    /// What was counted of all slots.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for slot in (0..SLOTS).filter_map(|slot| u16::try_from(slot).ok()) {
            sum += self.store.tally(slot);
        }
        sum
    }
}
