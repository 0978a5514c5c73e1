//! A row: the events of some applies, and which locks they are about.
//!
//! ```text
//! r <upto>   the key of the row before (8) · the length of the events (4) · the events in LZ4
//! i <upto>   the sums of the locks' names (4 each), sorted
//! ```
//! Events lie side by side without a count, one postcard after the other, so two rows become one
//! by joining their bytes. One insertion a row, not one a lock, is what makes the history cheap: a
//! lock is found by looking through the sums, which are few enough to be read all.
//!
//! They are compressed for the sake of memory. The same sessions, owners and names come again and
//! again in them, and sled keeps all rows of a database of this size in memory, more than once,
//! whatever its cache may hold: the cache has 256 shares, and of each at least one page stays.

use lockring_core::{Event, LockName, What};

use super::store::StoreError;

/// The events of a row, and the locks among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// The key of the row before.
    pub(super) previous: u64,
    pub(super) events: Vec<u8>,
    /// Sorted, each once.
    pub(super) locks: Vec<u32>,
}

impl Row {
    pub(super) fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, StoreError> {
        let mut row = Self::default();
        for event in events {
            row.events = postcard::to_extend(event, std::mem::take(&mut row.events))?;
            row.locks.extend(lock_of(event).map(lock_sum));
        }
        row.tidy_locks();
        Ok(row)
    }

    /// Puts an older row in front of this one.
    pub(super) fn join(&mut self, older: Self) {
        let mut events = older.events;
        events.append(&mut self.events);
        self.events = events;
        self.locks.extend(older.locks);
        self.tidy_locks();
        self.previous = older.previous;
    }

    fn tidy_locks(&mut self) {
        self.locks.sort_unstable();
        self.locks.dedup();
    }

    /// The two values of the row.
    pub(super) fn encode(&self) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let length = u32::try_from(self.events.len())
            .map_err(|_| StoreError::Format("a row is longer than 4 GiB"))?;
        let mut bytes = self.previous.to_be_bytes().to_vec();
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.append(&mut lz4_flex::block::compress(&self.events));
        let locks = self.locks.iter().flat_map(|sum| sum.to_be_bytes());
        Ok((bytes, locks.collect()))
    }

    pub(super) fn parse(bytes: &[u8], locks: &[u8]) -> Result<Self, StoreError> {
        let head = Head::parse(bytes)?;
        Ok(Self {
            previous: head.previous,
            events: head.unpack()?,
            locks: locks.chunks(4).filter_map(sum_of_key).collect(),
        })
    }
}

/// What a row says before its events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// The key of the row before.
    pub(super) previous: u64,
    /// How long the events are, in bytes.
    pub(super) length: usize,
    packed: &'a [u8],
}

/// No block of LZ4 becomes longer by more than this factor.
const GROWTH_MAX: usize = 255;

impl<'a> Head<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let short = || StoreError::Format("a row has not 12 bytes");
        let (previous, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let (length, packed) = rest.split_first_chunk().ok_or_else(short)?;
        Ok(Self {
            previous: u64::from_be_bytes(*previous),
            length: u32::from_be_bytes(*length) as usize,
            packed,
        })
    }

    fn unpack(self) -> Result<Vec<u8>, StoreError> {
        let wrong = || StoreError::Format("a row is not as long as it says");
        // A damaged length must not ask for memory that no row could fill.
        if self.length > self.packed.len().saturating_mul(GROWTH_MAX) {
            return Err(wrong());
        }
        let events = lz4_flex::block::decompress(self.packed, self.length);
        events
            .ok()
            .filter(|events| events.len() == self.length)
            .ok_or_else(wrong)
    }
}

/// The events in a row's bytes, as they were encoded, in order.
pub(super) fn events(row: &[u8]) -> Result<Vec<Event>, StoreError> {
    let bytes = Head::parse(row)?.unpack()?;
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (event, behind) = postcard::take_from_bytes(rest)?;
        events.push(event);
        rest = behind;
    }
    Ok(events)
}

/// Whether a row's sums have this one.
pub(super) fn mentions(locks: &[u8], sum: u32) -> bool {
    let (sums, _) = locks.as_chunks::<4>();
    sums.binary_search(&sum.to_be_bytes()).is_ok()
}

/// The lock that an event is about.
pub(super) fn lock_of(event: &Event) -> Option<&LockName> {
    match &event.what {
        What::Granted { lock, .. }
        | What::Ended { lock, .. }
        | What::WaitEnded { lock, .. }
        | What::RevokeRequested { lock, .. }
        | What::ValueSet { lock, .. } => Some(lock),
        // Each lease of many is told by its own event too.
        What::SessionOpened { .. }
        | What::SessionEnded { .. }
        | What::GrantedAll { .. }
        | What::WaitAllEnded { .. }
        | What::Ring(_) => None,
    }
}

/// Stands for a lock's name in a row's list; two names with one sum cost a look, not an error.
pub(super) fn lock_sum(lock: &LockName) -> u32 {
    crc32c::crc32c(lock.as_str().as_bytes())
}

/// The sums in a row's list.
pub(super) fn sums(locks: &[u8]) -> impl Iterator<Item = u32> {
    locks.chunks(4).filter_map(sum_of_key)
}

fn sum_of_key(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

pub(super) fn row_key(upto: u64) -> Vec<u8> {
    key(b'r', upto)
}

pub(super) fn locks_key(upto: u64) -> Vec<u8> {
    key(b'i', upto)
}

fn key(kind: u8, upto: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&upto.to_be_bytes());
    key
}

/// A number as it is in keys and values.
pub(super) fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| StoreError::Format("a number has not 8 bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}
