//! What is cached: bounded by bytes, and nothing else.
//!
//! The policy is quick_cache's: S3-FIFO with a ghost list, so that one walk over many keys does not
//! push out those that are asked for again and again. Around it stands what Redis's commands need
//! and a cache crate does not have: several steps on one key that nobody comes between, expiry, the
//! list of the keys in a slot, and the epoch under which an entry was made.
//!
//! *Shards.* Slots are dealt out to shards, each behind one lock, so the keys of one command (they
//! are of one slot) are changed under one lock. Contiguous runs of slots, which is what a member
//! owns, spread over all shards.
//!
//! *Epochs.* An entry counts only under the slot epoch in which it was made. When a slot goes to
//! another member and comes back, what was kept from the time before is worth nothing, and nobody
//! has to have cleaned it up in time for that to hold.
//!
//! *Bounds.* Each shard has its share of the bytes; an entry weighs its key, its value and what the
//! tables around it take. What has expired is dropped when it is asked for, or pushed out.

mod entry;
mod shard;

pub(crate) use entry::{At, NEVER};
pub(crate) use shard::{Put, Shard, Tally};

use parking_lot::{Mutex, MutexGuard};

use super::slot::SLOTS;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    bytes_max: u64,
}

/// As many as can be without making the largest entry small.
const SHARDS_MAX: u64 = 64;
const SHARD_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Where a walk over the keys stands: before this slot's first `left` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) slot: u16,
    left: u32,
}

/// What a walk does at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stride {
    /// Its keys, as they are under this epoch.
    Tell(u64),
    Skip,
    /// Somebody else goes on from here.
    Stop,
}

impl Cursor {
    /// Before a slot's first key.
    pub(crate) const fn at(slot: u16) -> Self {
        let left = u32::MAX;
        Self { slot, left }
    }

    /// From the number that a client sent; 0 begins.
    pub(crate) fn of_number(number: u64) -> Option<Self> {
        if number == 0 {
            return Some(Self::at(0));
        }
        let slot = u16::try_from(number >> 32).ok()?;
        let left = u32::try_from(number & 0xffff_ffff).ok()?;
        (usize::from(slot) < SLOTS).then_some(Self { slot, left })
    }

    pub(crate) fn number(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.left)
    }
}

impl Store {
    /// An empty store that will hold about `bytes_max` bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let wanted = (bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        // A power of two deals the slots out evenly.
        let shards = 1 << wanted.ilog2();
        let shard = |_| Mutex::new(Shard::new(bytes_max / shards, SLOTS / shards as usize));
        Self {
            shards: (0..shards).map(shard).collect(),
            bytes_max,
        }
    }

    /// The shard of a slot.
    pub(crate) fn shard(&self, slot: u16) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(slot) % self.shards.len()].lock()
    }

    fn row(&self, slot: u16) -> usize {
        usize::from(slot) / self.shards.len()
    }

    /// A key, together with where it is and the moment.
    pub(crate) fn at<'a>(&self, slot: u16, epoch: u64, now: u64, key: &'a [u8]) -> At<'a> {
        At {
            row: self.row(slot),
            epoch,
            now,
            key,
        }
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().weight()).sum()
    }

    pub(crate) fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().keys()).sum()
    }

    pub(crate) fn flush(&self) {
        for shard in &self.shards {
            shard.lock().clear();
        }
    }

    pub(crate) fn keys_in(&self, slot: u16) -> usize {
        self.shard(slot).keys_in(self.row(slot))
    }

    /// What was counted of a slot.
    pub(crate) fn tally(&self, slot: u16) -> Tally {
        self.shard(slot).tally(self.row(slot))
    }

    /// Drops what a slot has from other epochs than `kept`.
    pub(crate) fn sweep(&self, slot: u16, kept: Option<u64>) {
        self.shard(slot).sweep(self.row(slot), kept);
    }

    /// Tells the keys of one slot, the newest first, until `each` has had enough.
    pub(crate) fn walk_slot(
        &self,
        slot: u16,
        epoch: u64,
        now: u64,
        each: impl FnMut(&[u8]) -> bool,
    ) {
        let at = self.at(slot, epoch, now, b"");
        self.shard(slot).walk(at, u32::MAX, each);
    }

    /// Walks on from `cursor`, about `count` keys far, and answers where to go on. Whatever is
    /// there from the beginning of a walk to its end is told.
    pub(crate) fn walk(
        &self,
        mut cursor: Cursor,
        count: usize,
        now: u64,
        stride: impl Fn(u16) -> Stride,
        mut each: impl FnMut(&[u8]),
    ) -> Option<Cursor> {
        let mut seen = 0;
        loop {
            let epoch = match stride(cursor.slot) {
                Stride::Tell(epoch) => Some(epoch),
                Stride::Skip => None,
                Stride::Stop => return Some(cursor),
            };
            if let Some(epoch) = epoch {
                let at = self.at(cursor.slot, epoch, now, b"");
                let left = self.shard(cursor.slot).walk(at, cursor.left, |key| {
                    each(key);
                    seen += 1;
                    seen < count
                });
                if left > 0 {
                    cursor.left = left;
                    return Some(cursor);
                }
            }
            let next = cursor.slot + 1;
            if usize::from(next) == SLOTS {
                return None;
            }
            cursor = Cursor::at(next);
            if seen >= count {
                return Some(cursor);
            }
        }
    }
}

#[cfg(test)]
mod tests;
