//! Warm hand-over: what a slot's owner before us still has, we fetch when it is asked for.
//!
//! A member that gives a slot away keeps what it had there for a while. The new owner, when it
//! misses a key in that time, *takes* it from there: the old owner hands it out and forgets it. So
//! a value exists at one of the two at any time, and once the new owner has asked for a key, the
//! old one has no older version of it that could come back later, whatever happens to the key in
//! between: deleted, expired, pushed out, written again.
//!
//! When a take fails, nobody knows whether the value is still there. Then the source is closed for
//! all slots that came with it: to forget some values is what caches do, to bring back an old one
//! is not.
//!
//! What nobody has asked for yet is not here: a walk over the keys (`SCAN`, `DBSIZE`) in that time
//! does not tell of it.
//!
//! The old owner answers only its direct successor, by the slot's epoch: a slot that has moved on
//! in the meantime has had another owner, whose changes nobody here has seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::slot::SLOTS;
use super::view::{Place, Table, View};

/// Another member that may still have values of slots that are ours now.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it listens for members.
    pub(crate) peer: String,
    until: Instant,
    closed: AtomicBool,
}

impl Source {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire) && Instant::now() < self.until
    }
}

/// A slot on its way to us: from where, and under which epoch it will be ours.
#[derive(Clone, Debug)]
struct Coming {
    peer: String,
    epoch: u64,
}

/// A slot that we gave away: the epoch of our time, the epoch of our successor's, and how long what
/// we had is kept.
#[derive(Clone, Copy, Debug)]
struct Given {
    mine: u64,
    theirs: u64,
    until: Instant,
}

#[derive(Debug, Default)]
struct PerSlot {
    coming: Option<Coming>,
    source: Option<Arc<Source>>,
    given: Option<Given>,
}

/// Where a slot came from, if its move began and ended between two tables that we saw. The owner
/// whom we knew need not be the one before us; if it is not, it says so when it is asked.
fn unseen(before: &View, table: &Table, slot: u16) -> Option<Coming> {
    let Place::At(owner) = before.place(slot) else {
        return None;
    };
    let (peer, epoch) = (
        before.member(owner).peer.clone(),
        table.slot_epoch[usize::from(slot)],
    );
    // One that was lost has nothing to hand over; one that left by itself waits to be asked.
    (!table.lost.contains(&peer)).then_some(Coming { peer, epoch })
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Handover {
    warm_for: Duration,
    slots: Mutex<Vec<PerSlot>>,
}

impl Handover {
    pub(crate) fn new(warm_for: Duration) -> Self {
        let slots = (0..SLOTS).map(|_| PerSlot::default()).collect();
        Self {
            warm_for,
            slots: Mutex::new(slots),
        }
    }

    /// Takes note of what a new picture changes; answers how many slots became ours and how many
    /// are no longer.
    pub(crate) fn moved(&self, old: &View, new: &View) -> (u64, u64) {
        let until = Instant::now() + self.warm_for;
        let (mut gained, mut lost) = (0, 0);
        let mut slots = self.slots.lock();
        for (nth, slot) in slots.iter_mut().enumerate() {
            let number = u16::try_from(nth).expect("there are 16384 slots");
            let (before, now) = (old.epoch_if_mine(number), new.epoch_if_mine(number));
            let epoch = new.epoch_of(number);
            match (before, now) {
                (Some(mine), None) => {
                    lost += 1;
                    slot.source = None;
                    // Only whom we hand it to may ask: it is the next owner after us.
                    let hands_over = new.table().from[nth] == new.me() && new.me().is_some();
                    slot.given = hands_over.then_some(Given {
                        mine,
                        theirs: epoch,
                        until,
                    });
                }
                (before, Some(_)) if before != now => {
                    gained += 1;
                    slot.given = None;
                }
                _ => {}
            }
            slot.coming = match new.place(number) {
                // A member that is down is in no table, and hands nothing over.
                Place::Coming => new.table().from[nth].and_then(|from| {
                    let member = new.table().members.get(usize::from(from))?;
                    let peer = member.peer.clone();
                    Some(Coming { peer, epoch })
                }),
                Place::Here { .. } | Place::At(_) | Place::Nowhere => None,
            };
        }
        (gained, lost)
    }

    /// Makes the slots of a new table warm that have come to us from a member which handed them
    /// over. To be called before the picture of that table is made.
    pub(crate) fn arrive(&self, before: &View, table: &Table, me: Option<u16>) {
        if self.warm_for.is_zero() || me.is_none() {
            return;
        }
        let mut sources: Vec<Arc<Source>> = Vec::new();
        for (nth, slot) in self.slots.lock().iter_mut().enumerate() {
            let (number, epoch) = (u16::try_from(nth).expect("of 16384"), table.slot_epoch[nth]);
            let is_ours = table.owner[nth] == me && table.from[nth].is_none();
            if !is_ours || before.epoch_if_mine(number) == Some(epoch) {
                continue;
            }
            let coming = slot.coming.take().filter(|coming| coming.epoch == epoch);
            let Some(coming) = coming.or_else(|| unseen(before, table, number)) else {
                continue;
            };
            let known = sources.iter().find(|source| source.peer == coming.peer);
            let source = known.cloned().unwrap_or_else(|| {
                let source = Arc::new(Source {
                    peer: coming.peer,
                    until: Instant::now() + self.warm_for,
                    closed: AtomicBool::new(false),
                });
                sources.push(source.clone());
                source
            });
            slot.source = Some(source);
        }
    }

    /// Whether a slot's owner before us may still be asked.
    pub(crate) fn is_warm(&self) -> impl Fn(usize) -> bool {
        let slots = self.slots.lock();
        let open = |slot: &PerSlot| slot.source.as_ref().is_some_and(|source| source.is_open());
        let warm: Vec<bool> = slots.iter().map(open).collect();
        move |slot| warm[slot]
    }

    /// Whom to ask for values of a slot.
    pub(crate) fn source(&self, slot: u16) -> Option<Arc<Source>> {
        let slots = self.slots.lock();
        let source = slots[usize::from(slot)].source.clone();
        source.filter(|source| source.is_open())
    }

    /// Asks nobody any more.
    pub(crate) fn forget_sources(&self) {
        for slot in self.slots.lock().iter_mut() {
            slot.source = None;
            slot.coming = None;
        }
    }

    /// The epoch under which we had a slot that its owner since `theirs` may take values from.
    pub(crate) fn given(&self, slot: u16, theirs: u64) -> Option<u64> {
        let given = self.slots.lock()[usize::from(slot)].given?;
        (given.theirs == theirs && Instant::now() < given.until).then_some(given.mine)
    }

    /// Slots whose values from the time before nobody will ask for any more.
    pub(crate) fn given_up(&self) -> Vec<u16> {
        let now = Instant::now();
        let mut over = Vec::new();
        for (nth, slot) in (0_u16..).zip(self.slots.lock().iter_mut()) {
            if slot.given.is_some_and(|given| given.until <= now) {
                slot.given = None;
                over.push(nth);
            }
        }
        over
    }

    /// Whether anybody may still come for something that we gave away.
    pub(crate) fn is_awaited(&self) -> bool {
        let now = Instant::now();
        let slots = self.slots.lock();
        slots
            .iter()
            .any(|slot| slot.given.is_some_and(|given| now < given.until))
    }
}
