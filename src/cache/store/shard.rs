//! A share of the slots, behind one lock.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use super::entry::{At, Entry, Name};

/// What an entry takes beside its bytes: two allocations, a reference from the slot's list, a place
/// in the table, and its share of the ghosts.
const ENTRY_BYTES: u64 = 176;
/// An entry may take this part of its shard at most; a larger one would push out all others.
const ENTRY_SHARE: u64 = 2;

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Name, Entry> for Weight {
    fn weight(&self, key: &Name, entry: &Entry) -> u64 {
        weight(key.bytes(), &entry.value)
    }
}

fn weight(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY_BYTES
}

/// Remembers what was pushed out, so that the lists can forget it.
#[derive(Clone, Debug, Default)]
struct PushedOut(Arc<Mutex<Vec<Name>>>);

impl Lifecycle<Name, Entry> for PushedOut {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), key: Name, _: Entry) {
        self.0.lock().push(key);
    }
}

/// What was counted of a slot since the process began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evictions: u64,
    pub(crate) expiries: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.evictions += other.evictions;
        self.expiries += other.expiries;
    }
}

/// The keys of one slot, in the order that a walk needs: see [`Shard::walk`].
#[derive(Debug, Default)]
struct Row {
    names: Vec<Name>,
    tally: Tally,
}

/// What came of keeping a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Kept,
    /// It is larger than what can be kept; what was there before is gone.
    TooLarge,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Shard {
    cache: Cache<Name, Entry, Weight, DefaultHashBuilder, PushedOut>,
    rows: Box<[Row]>,
    pushed_out: PushedOut,
}

impl Shard {
    pub(super) fn new(bytes_max: u64, slots: usize) -> Self {
        let pushed_out = PushedOut::default();
        let entries = usize::try_from(bytes_max / (ENTRY_BYTES + 64)).unwrap_or(usize::MAX);
        let hasher = DefaultHashBuilder::default();
        Self {
            cache: Cache::with(entries, bytes_max, Weight, hasher, pushed_out.clone()),
            rows: (0..slots).map(|_| Row::default()).collect(),
            pushed_out,
        }
    }

    /// Shows what is under a key, and remembers that it was asked for.
    pub(crate) fn read<T>(&mut self, at: At<'_>, show: impl FnOnce(&Entry) -> T) -> Option<T> {
        let expired = match self.cache.get(at.key) {
            None => None,
            Some(entry) if entry.lives(at) => {
                let shown = show(entry);
                self.rows[at.row].tally.hits += 1;
                return Some(shown);
            }
            Some(entry) => Some(entry.epoch == at.epoch),
        };
        let tally = &mut self.rows[at.row].tally;
        tally.misses += 1;
        if let Some(expired) = expired {
            tally.expiries += u64::from(expired);
            self.forget(at.key);
        }
        None
    }

    /// Shows what is under a key without counting it as asked for.
    pub(crate) fn peek<T>(&self, at: At<'_>, show: impl FnOnce(&Entry) -> T) -> Option<T> {
        let entry = self.cache.peek(at.key).filter(|entry| entry.lives(at));
        entry.map(show)
    }

    pub(crate) fn has(&self, at: At<'_>) -> bool {
        self.peek(at, |_| ()).is_some()
    }

    /// Keeps a value under a key, whatever was there.
    pub(crate) fn put(&mut self, at: At<'_>, value: &[u8], expires: u64) -> Put {
        if weight(at.key, value) > self.cache.capacity() / ENTRY_SHARE {
            self.forget(at.key);
            return Put::TooLarge;
        }
        let known = self.cache.get_mut(at.key).map(|mut entry| {
            (entry.epoch, entry.expires) = (at.epoch, expires);
            // Most values keep their length: then nothing is allocated, and nothing weighed.
            let fits = entry.value.len() == value.len();
            if fits {
                entry.value.copy_from_slice(value);
            }
            (fits, entry.name.clone())
        });
        let (name, is_new) = match known {
            Some((true, _)) => return Put::Kept,
            Some((false, name)) => (name, false),
            None => (self.list(at), true),
        };
        let entry = Entry {
            name: name.clone(),
            value: value.into(),
            expires,
            epoch: at.epoch,
        };
        self.cache.insert(name.clone(), entry);
        self.unlist_pushed_out((!is_new).then_some(name));
        Put::Kept
    }

    /// Sets when what is under a key is gone; `false` when nothing is.
    pub(crate) fn expire(&mut self, at: At<'_>, expires: u64) -> bool {
        match self.cache.get_mut(at.key) {
            Some(mut entry) if entry.lives(at) => {
                entry.expires = expires;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Removes what is under a key, and tells whether it was still alive.
    pub(crate) fn remove(&mut self, at: At<'_>) -> bool {
        self.forget(at.key).is_some_and(|entry| entry.lives(at))
    }

    /// Takes what is under a key.
    pub(crate) fn take(&mut self, at: At<'_>) -> Option<Entry> {
        self.forget(at.key).filter(|entry| entry.lives(at))
    }

    pub(super) fn weight(&self) -> u64 {
        self.cache.weight()
    }

    pub(super) fn keys(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn keys_in(&self, row: usize) -> usize {
        self.rows[row].names.len()
    }

    pub(super) fn tally(&self, row: usize) -> Tally {
        self.rows[row].tally
    }

    pub(super) fn clear(&mut self) {
        self.cache.clear();
        for row in &mut self.rows {
            row.names = Vec::new();
        }
    }

    pub(super) fn sweep(&mut self, row: usize, kept: Option<u64>) {
        for place in (0..self.rows[row].names.len()).rev() {
            let name = self.rows[row].names[place].clone();
            let entry = self.cache.peek(name.bytes());
            if entry.is_some_and(|entry| Some(entry.epoch) != kept) {
                self.forget(name.bytes());
            }
        }
    }

    /// Tells the living keys of a slot, from the `left`th downwards, until `each` says `false`;
    /// answers how many are left.
    ///
    /// A key that goes leaves its place to the last one. Downwards that one has been told already,
    /// so nothing that stays is missed, whatever comes and goes between two parts of a walk.
    pub(super) fn walk(&self, at: At<'_>, left: u32, mut each: impl FnMut(&[u8]) -> bool) -> u32 {
        let names = &self.rows[at.row].names;
        let mut left = names.len().min(left as usize);
        while left > 0 {
            left -= 1;
            let key = names[left].bytes();
            if self.has(At { key, ..at }) && !each(key) {
                break;
            }
        }
        u32::try_from(left).expect("it is at most what it was")
    }

    fn list(&mut self, at: At<'_>) -> Name {
        let name = Name::new(at.row, at.key);
        let names = &mut self.rows[at.row].names;
        name.moved_to(names.len());
        names.push(name.clone());
        name
    }

    fn unlist(&mut self, name: &Name) {
        let names = &mut self.rows[name.row()].names;
        let place = name.place();
        names.swap_remove(place);
        if let Some(moved) = names.get(place) {
            moved.moved_to(place);
        }
    }

    fn forget(&mut self, key: &[u8]) -> Option<Entry> {
        let (name, entry) = self.cache.remove(key)?;
        self.unlist(&name);
        Some(entry)
    }

    /// Takes what was pushed out off the lists. The crate also tells of an entry that a newer one
    /// under the same name has replaced: that is not gone.
    fn unlist_pushed_out(&mut self, mut replaced: Option<Name>) {
        let gone = std::mem::take(&mut *self.pushed_out.0.lock());
        for name in gone {
            if replaced.take_if(|replaced| replaced.is(&name)).is_none() {
                self.unlist(&name);
                self.rows[name.row()].tally.evictions += 1;
            }
        }
    }
}
