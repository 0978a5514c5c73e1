//! A ring as a service holds it: looked up offline, followed, and vouched for.
//!
//! *The problem.* A service asks for the owner of a key a million times a second, and the table
//! changes a few times a day. So it has to hold the table itself; but then it has to know when it
//! has changed, and it must not trust a table that nobody can tell it any more is the newest.
//!
//! *The answer.* A [`RingView`] has three parts. The *table* is immutable and shared: a lookup
//! takes no lock and no allocation. A *watch* follows the ring's event stream, over broken
//! connections and failovers, and puts the next table in the place of the one before. And a
//! *vouching* call asks the cluster each second, linearizably, for the ring's newest epoch: while
//! the table is of that epoch, it was the newest at a moment not before the call was sent, and the
//! view is *vouched for* from that moment on for three seconds. Whoever must not act on an old
//! table looks at [`RingView::is_vouched`] before.
//!
//! *What it does not do.* It does not serve slots. A member's right to serve is its own session,
//! which it counts down itself; the table only says which slots that right is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use lockring_core::{MemberName, RingTable};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::Client;
use crate::countdown::BootTime;
use crate::error::Error;
use crate::stream::EventStream;
use crate::wire::{Ring, RingEvent, RingMember, route};

/// How long a table is vouched for after it was known to be the newest, if not said.
const VOUCHED_FOR: Duration = Duration::from_secs(3);
/// The pause after a stream that broke; each further one is twice as long, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// See [`PAUSE_FIRST`].
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One ring at one epoch. It never changes; the view gets another one.
#[derive(Clone, Debug, PartialEq)]
pub struct RingSnapshot {
    /// The ring: its members, their states and addresses.
    pub ring: Ring,
    /// Whose each slot is.
    pub table: RingTable,
}

/// Whose one key is, at one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// Its slot.
    pub slot: u16,
    /// The owner; nobody, if the ring is empty.
    pub owner: Option<&'a MemberName>,
    /// Who may still serve it, while it moves to its owner.
    pub moving_from: Option<&'a MemberName>,
    /// The fencing token of the slot.
    pub slot_epoch: u64,
}

impl RingSnapshot {
    /// Its number: that of the ring's last change.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.table.epoch()
    }

    /// Whose a key is.
    #[must_use]
    pub fn locate(&self, key: &[u8]) -> Located<'_> {
        self.locate_slot(self.table.slot(key))
    }

    /// Whose a slot is.
    #[must_use]
    pub fn locate_slot(&self, slot: u16) -> Located<'_> {
        Located {
            slot,
            owner: self.table.owner(slot),
            moving_from: self.table.moving_from(slot),
            slot_epoch: self.table.slot_epoch(slot),
        }
    }

    /// One member, as it is listed.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&RingMember> {
        let at = self
            .ring
            .members
            .binary_search_by(|member| member.member.as_str().cmp(name));
        at.ok().map(|at| &self.ring.members[at])
    }

    /// Where a member is reached for something, such as `resp`.
    #[must_use]
    pub fn address(&self, member: &str, what: &str) -> Option<&str> {
        let member = self.member(member)?;
        member.addresses.get(what).map(String::as_str)
    }
}

/// What a view is made from; [`Client::ring`].
#[derive(Clone, Debug)]
#[must_use = "nothing is followed before `follow`"]
pub struct RingViewBuilder {
    client: Client,
    ring: String,
    vouched_for: Duration,
}

impl Client {
    /// Prepares to follow a ring.
    ///
    /// ```no_run
    /// # async fn example(client: lockring_client::Client) -> Result<(), lockring_client::Error> {
    /// let view = client.ring("cache").follow().await?;
    /// let now = view.now();
    /// let located = now.locate(b"user:42");
    /// if let Some(owner) = located.owner {
    ///     println!("{:?} at {:?}", owner, now.address(owner.as_str(), "resp"));
    /// }
    /// // Wait for the next table.
    /// let next = view.newer_than(now.epoch()).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ring(&self, name: impl Into<String>) -> RingViewBuilder {
        RingViewBuilder {
            client: self.clone(),
            ring: name.into(),
            vouched_for: VOUCHED_FOR,
        }
    }
}

impl RingViewBuilder {
    /// How long a table is vouched for after it was known to be the newest; three times in each
    /// such span the cluster is asked. 3 s if not said.
    pub fn vouched_for(mut self, span: Duration) -> Self {
        self.vouched_for = span;
        self
    }

    /// Fetches the table and follows the ring from there.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is no such ring.
    pub async fn follow(self) -> Result<RingView, Error> {
        let Self {
            client,
            ring,
            vouched_for,
        } = self;
        let (mut stream, sent) = open(&client, &ring, None).await?;
        let first = match stream.next().await {
            Ok(Some(told)) => serde_json::from_str::<RingEvent>(&told.data).ok(),
            Ok(None) | Err(_) => None,
        };
        let first = first.and_then(|event| snapshot(&event, None));
        let first = first.ok_or_else(|| Error::Invalid {
            what: "the ring's stream",
            why: "does not begin with its table".to_owned(),
        })?;
        let shared = Arc::new(Shared {
            client,
            name: ring,
            vouched_for,
            epochs: watch::Sender::new(first.epoch()),
            now: ArcSwap::from_pointee(first),
            vouched_until: AtomicU64::new(0),
            behind: Notify::new(),
        });
        // The stream begins with a table as new as its call.
        shared.vouch(sent);
        let followed = Arc::clone(&shared);
        let tasks = [
            tokio::spawn(async move { followed.follow(stream).await }),
            tokio::spawn(vouch(Arc::clone(&shared))),
        ];
        Ok(RingView { shared, tasks })
    }
}

/// A ring that is followed for as long as this lives.
#[derive(Debug)]
pub struct RingView {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for RingView {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Debug)]
struct Shared {
    client: Client,
    name: String,
    vouched_for: Duration,
    now: ArcSwap<RingSnapshot>,
    epochs: watch::Sender<u64>,
    /// A [`BootTime`], in nanoseconds.
    vouched_until: AtomicU64,
    /// The cluster has a newer table than the stream has told.
    behind: Notify,
}

impl RingView {
    /// The ring as it is known now. Takes no lock; costs a reference count.
    #[must_use]
    pub fn now(&self) -> Arc<RingSnapshot> {
        self.shared.now.load_full()
    }

    /// Looks at the ring as it is known now; cheaper than [`Self::now`], for a look that is short.
    pub fn look<R>(&self, look: impl FnOnce(&RingSnapshot) -> R) -> R {
        look(&self.shared.now.load())
    }

    /// Waits for a table of another epoch than this one.
    pub async fn newer_than(&self, epoch: u64) -> Arc<RingSnapshot> {
        let mut epochs = self.shared.epochs.subscribe();
        let changed = epochs.wait_for(|newest| *newest != epoch).await;
        drop(changed.expect("the sender is in self"));
        self.now()
    }

    /// Until when the table is vouched for: at a moment at most `vouched_for` before that, it was
    /// the newest.
    #[must_use]
    pub fn vouched_until(&self) -> BootTime {
        BootTime::from_nanos(self.shared.vouched_until.load(Ordering::Acquire))
    }

    /// Whether the table is vouched for now.
    #[must_use]
    pub fn is_vouched(&self) -> bool {
        !BootTime::now().until(self.vouched_until()).is_zero()
    }

    /// Asks the cluster now whether the table is the newest, and waits until it is.
    ///
    /// # Errors
    /// [`Error`] when nobody could tell, or the newest table did not come, for as long as the
    /// client tries calls.
    pub async fn refresh(&self) -> Result<Arc<RingSnapshot>, Error> {
        let deadline = Instant::now() + self.shared.client.timeout();
        let sent = BootTime::now();
        let newest = self.shared.newest().await?;
        let mut epochs = self.shared.epochs.subscribe();
        self.shared.hurry(newest);
        let come = epochs.wait_for(|epoch| *epoch >= newest);
        if tokio::time::timeout_at(deadline, come).await.is_err() {
            return Err(Error::NoAnswer {
                within: self.shared.client.timeout(),
                last: format!("the table of epoch {newest} did not come"),
                certainty: crate::wire::Certainty::NoEffect,
            });
        }
        self.shared.vouch(sent);
        Ok(self.now())
    }
}

impl Shared {
    /// The ring's newest epoch, as the cluster has it.
    async fn newest(&self) -> Result<u64, Error> {
        let list = self.client.list_rings().await?;
        let row = list.rings.into_iter().find(|row| row.ring == self.name);
        row.map(|row| row.epoch).ok_or_else(|| Error::Invalid {
            what: "the ring",
            why: format!("`{}` is gone", self.name),
        })
    }

    /// The table in place was the newest at `sent` or later.
    fn vouch(&self, sent: BootTime) {
        let until = sent.plus(self.vouched_for).nanos();
        self.vouched_until.fetch_max(until, Ordering::AcqRel);
    }

    /// Lets the stream be opened anew if it has not told of this epoch.
    fn hurry(&self, newest: u64) -> bool {
        let behind = *self.epochs.borrow() < newest;
        if behind {
            self.behind.notify_one();
        }
        behind
    }

    fn put(&self, snapshot: RingSnapshot) {
        let epoch = snapshot.epoch();
        self.now.store(Arc::new(snapshot));
        self.epochs.send_replace(epoch);
    }

    /// Follows the stream, and the streams after it.
    async fn follow(&self, first: EventStream) {
        let mut stream = Some(first);
        loop {
            if let Some(stream) = stream.take() {
                self.read(stream).await;
            }
            let known = *self.epochs.borrow();
            match open(&self.client, &self.name, Some(known)).await {
                Ok((opened, _)) => stream = Some(opened),
                Err(error) => {
                    tracing::debug!(ring = self.name, %error, "the ring is not followed");
                    tokio::time::sleep(PAUSE_MAX).await;
                }
            }
        }
    }

    /// Reads one stream until it breaks or has fallen behind.
    async fn read(&self, mut stream: EventStream) {
        loop {
            let told = tokio::select! {
                told = stream.next() => told,
                () = self.behind.notified() => return,
            };
            let Ok(Some(told)) = told else { return };
            let Ok(event) = serde_json::from_str::<RingEvent>(&told.data) else {
                // What a newer server tells is passed over.
                continue;
            };
            let now = self.now.load_full();
            match snapshot(&event, Some(&now)) {
                Some(next) if next.epoch() > now.epoch() => self.put(next),
                Some(_) => {}
                // It changes a table that is not this one: begin again with a whole one.
                None => return,
            }
        }
    }
}

/// Asks again and again whether the table in place is the newest.
async fn vouch(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(shared.vouched_for / 3);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_behind = false;
    loop {
        every.tick().await;
        let sent = BootTime::now();
        match shared.newest().await {
            Ok(newest) if newest <= *shared.epochs.borrow() => {
                shared.vouch(sent);
                was_behind = false;
            }
            // A table that is on its way is not hurried; one that does not come is.
            Ok(newest) if was_behind => was_behind = !shared.hurry(newest),
            Ok(_) => was_behind = true,
            Err(error) => tracing::debug!(ring = shared.name, %error, "nobody vouches"),
        }
    }
}

/// Opens a stream behind an epoch, and tells when the call was sent.
async fn open(
    client: &Client,
    ring: &str,
    known: Option<u64>,
) -> Result<(EventStream, BootTime), Error> {
    let deadline = Instant::now() + client.timeout();
    let mut pause = PAUSE_FIRST;
    loop {
        let path = route::ring_part(ring, "watch");
        let after = known.map(|epoch| epoch.to_string());
        let sent = BootTime::now();
        let error = match EventStream::open(client, path, after).await {
            Ok(stream) => return Ok((stream, sent)),
            Err(error) => error,
        };
        if !error.is_passing() || Instant::now() + pause >= deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What an event makes of the snapshot before it; nothing if they do not belong together.
fn snapshot(event: &RingEvent, before: Option<&RingSnapshot>) -> Option<RingSnapshot> {
    let table = match event.since {
        None => event.table.table(),
        Some(since) => {
            let before = before.filter(|before| before.epoch() == since)?;
            event.table.change(&before.table)
        }
    };
    let ring = event.ring.clone();
    let table = table.inspect_err(|error| tracing::warn!(%error, "a ring's event makes no table"));
    Some(RingSnapshot {
        ring,
        table: table.ok()?,
    })
}
