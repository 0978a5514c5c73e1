//! What the log holds, in memory: the newest entries themselves, and where the others lie.
//!
//! Two views of one log move at different times. Callers see an append, a truncation or a purge
//! at once: `first`, `next` and `tail` are theirs. The writer thread moves `places` when the
//! record is in a file. So the tail holds at least every entry that is not in a file yet, and an
//! entry may leave it only when its place is known and no truncation is still on its way to the
//! file (until then a place may belong to an entry that was replaced in memory).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::record::Record;
use super::segment::Segment;

/// Where an entry's record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u32,
    /// Bytes of the whole record.
    pub(super) length: u32,
}

/// The places of a row of entries.
#[derive(Debug, Default)]
pub(super) struct Places {
    first: u64,
    row: VecDeque<Place>,
}

impl Places {
    pub(super) fn range(&self) -> Range<u64> {
        self.first..self.first + self.row.len() as u64
    }

    pub(super) fn get(&self, index: u64) -> Option<Place> {
        let nth = index.checked_sub(self.first)?;
        self.row.get(usize::try_from(nth).ok()?).copied()
    }

    /// Adds the next entry's place; an empty row may begin anywhere.
    pub(super) fn push(&mut self, index: u64, place: Place) {
        if self.row.is_empty() {
            self.first = index;
        }
        assert_eq!(index, self.range().end, "entries reach the file in order");
        self.row.push_back(place);
    }

    pub(super) fn truncate_from(&mut self, next: u64) {
        let kept = next.saturating_sub(self.first);
        self.row
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    pub(super) fn drop_before(&mut self, first: u64) {
        while self.first < first && self.row.pop_front().is_some() {
            self.first += 1;
        }
    }
}

/// The log as readers see it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) entries: Range<u64>,
    /// Whether anything was purged, so that the log's beginning is fixed even when it is empty.
    pub(super) begun: bool,
    tail: VecDeque<Bytes>,
    tail_bytes: usize,
    tail_bytes_max: usize,
    pub(super) places: Places,
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    truncations_on_their_way: usize,
}

/// Where the bytes of an entry can be had.
#[derive(Debug)]
pub(super) enum Source {
    Memory(Bytes),
    File(Place, Arc<Segment>),
}

impl View {
    pub(super) fn new(
        entries: Range<u64>,
        begun: bool,
        places: Places,
        segments: BTreeMap<u64, Arc<Segment>>,
        tail_bytes_max: usize,
    ) -> Self {
        Self {
            entries,
            begun,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_bytes_max,
            places,
            segments,
            truncations_on_their_way: 0,
        }
    }

    fn tail_first(&self) -> u64 {
        self.entries.end - self.tail.len() as u64
    }

    /// Takes in entries that will be written; the first one's index was checked.
    pub(super) fn append(&mut self, first: u64, entries: &[Bytes]) {
        if self.entries.is_empty() {
            self.entries = first..first;
        }
        assert_eq!(
            first, self.entries.end,
            "the caller checked that the log has no gap"
        );
        for bytes in entries {
            self.tail_bytes += held(bytes);
            self.tail.push_back(bytes.clone());
        }
        self.entries.end += entries.len() as u64;
    }

    /// Forgets the entries from `next` on; a record of it is queued in the same moment.
    pub(super) fn truncate_from(&mut self, next: u64) {
        self.truncations_on_their_way += 1;
        while self.entries.end > next.max(self.entries.start) {
            self.entries.end -= 1;
            if let Some(bytes) = self.tail.pop_back() {
                self.tail_bytes -= held(&bytes);
            }
        }
    }

    /// Forgets the entries before `first`; the log begins there even if it ended before.
    pub(super) fn purge_before(&mut self, first: u64) {
        self.begun = true;
        while self.tail_first() < first {
            let Some(bytes) = self.tail.pop_front() else {
                break;
            };
            self.tail_bytes -= held(&bytes);
        }
        self.entries.start = self.entries.start.max(first);
        self.entries.end = self.entries.end.max(first);
    }

    /// Follows a record that is now in a file.
    pub(super) fn written(&mut self, record: &Record, place: Place) {
        match record {
            Record::Entry { index, .. } => self.places.push(*index, place),
            Record::TruncateAfter(last) => {
                self.places.truncate_from(last.map_or(0, |last| last + 1));
                self.truncations_on_their_way -= 1;
            }
            Record::Purged { index, .. } => self.places.drop_before(index + 1),
            Record::Vote(_) | Record::Committed(_) => {}
        }
    }

    /// Lets go of the oldest entries in memory that can be read from a file.
    pub(super) fn shrink(&mut self) {
        while self.tail_bytes > self.tail_bytes_max && self.truncations_on_their_way == 0 {
            if self.tail_first() >= self.places.range().end {
                return;
            }
            let Some(bytes) = self.tail.pop_front() else {
                return;
            };
            self.tail_bytes -= held(&bytes);
        }
    }

    /// Where an entry can be had; `None` if it is not in the log.
    pub(super) fn source(&self, index: u64) -> Option<Source> {
        if !self.entries.contains(&index) {
            return None;
        }
        if let Some(nth) = index.checked_sub(self.tail_first()) {
            return self
                .tail
                .get(usize::try_from(nth).ok()?)
                .cloned()
                .map(Source::Memory);
        }
        let place = self.places.get(index)?;
        Some(Source::File(
            place,
            Arc::clone(self.segments.get(&place.segment)?),
        ))
    }
}

/// What an entry takes in memory, with what keeps it there.
fn held(entry: &Bytes) -> usize {
    const BOOKKEEPING: usize = 64;
    entry.len() + BOOKKEEPING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_entry_is_read_from_memory_while_its_truncation_is_not_in_the_file() {
        let mut view = View::new(0..0, false, Places::default(), BTreeMap::new(), 0);
        let place = Place {
            segment: 1,
            offset: 36,
            length: 40,
        };
        let (old, new) = (Bytes::from_static(b"old"), Bytes::from_static(b"new"));
        view.append(0, std::slice::from_ref(&old));
        view.truncate_from(0);
        view.append(0, std::slice::from_ref(&new));
        view.written(
            &Record::Entry {
                index: 0,
                bytes: old,
            },
            place,
        );
        view.shrink();
        assert!(matches!(view.source(0), Some(Source::Memory(bytes)) if bytes == "new"));
        view.written(&Record::TruncateAfter(None), place);
        view.shrink();
        assert!(matches!(view.source(0), Some(Source::Memory(bytes)) if bytes == "new"));
        view.written(
            &Record::Entry {
                index: 0,
                bytes: new,
            },
            place,
        );
        view.shrink();
        assert_eq!(
            view.tail_first(),
            1,
            "what is in a file may leave the memory"
        );
    }
}
