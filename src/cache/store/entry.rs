//! One key and its value.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The end of what does not expire, in milliseconds of the wall clock.
pub(crate) const NEVER: u64 = u64::MAX;

/// A key and the moment at which it is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    /// Which of its shard's slots.
    pub(super) row: usize,
    /// The epoch under which its slot is served.
    pub(super) epoch: u64,
    /// The wall clock, in milliseconds.
    pub(super) now: u64,
    pub(super) key: &'a [u8],
}

/// A key's bytes, and its place in the list of its slot; both tables have it.
#[derive(Clone, Debug)]
pub(super) struct Name(Arc<Named>);

#[derive(Debug)]
struct Named {
    /// Changed only under the shard's lock.
    place: AtomicU32,
    row: u32,
    bytes: Box<[u8]>,
}

impl Name {
    pub(super) fn new(row: usize, bytes: &[u8]) -> Self {
        Self(Arc::new(Named {
            place: AtomicU32::new(0),
            row: u32::try_from(row).expect("a row is one of 16384 slots"),
            bytes: bytes.into(),
        }))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    pub(super) fn row(&self) -> usize {
        self.0.row as usize
    }

    pub(super) fn place(&self) -> usize {
        self.0.place.load(Ordering::Relaxed) as usize
    }

    pub(super) fn moved_to(&self, place: usize) {
        let place = u32::try_from(place).expect("a slot's keys fit in memory, and 2^32 do not");
        self.0.place.store(place, Ordering::Relaxed);
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Name {}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

/// What is kept under a key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) name: Name,
    pub(crate) value: Box<[u8]>,
    /// When it is gone, in milliseconds of the wall clock; or [`NEVER`].
    pub(crate) expires: u64,
    pub(super) epoch: u64,
}

impl Entry {
    pub(super) fn lives(&self, at: At<'_>) -> bool {
        self.epoch == at.epoch && at.now < self.expires
    }
}
