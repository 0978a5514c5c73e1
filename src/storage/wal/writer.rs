//! The one thread that writes the log: all that is queued, one sync, then everybody is told.
//!
//! While a sync runs the queue fills, so batches grow with the load and nobody waits for a timer.
//! What a batch says is on the disk before any of its callbacks runs, and callbacks run in the
//! order of the calls.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::queue::{Done, Request, Shared};
use super::record::{self, FOOT_BYTES, Frame, HEAD_BYTES, INDEX_BYTES, Record};
use super::recover::Replay;
use super::segment::{self, Header, Segment};
use super::upkeep::Upkeep;
use super::view::Place;
use crate::planted::{self, Plant};
use crate::storage::disk::Disk;

/// A write or sync that failed, and what it was about.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) doing: String,
    pub(super) error: io::Error,
}

#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    upkeep: Upkeep,
    current: Option<Current>,
    /// Segments before the current one that may still be needed, oldest first.
    old: VecDeque<(Arc<Segment>, Option<u64>)>,
    next_batch: u64,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
    /// What was taken off the queue and is not written yet.
    records: Vec<Record>,
    buffer: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Current {
    segment: Arc<Segment>,
    end: u64,
    /// The highest index that it has an entry of.
    highest: Option<u64>,
    /// Whether it has no batch but the copies at its head.
    fresh: bool,
    torn: bool,
    /// Whether the file was filled with zeros beforehand, so that a sync writes data only.
    filled: bool,
}

/// A segment that was not filled gets so long before a spare is made: a log that is hardly
/// written to needs none.
const UNFILLED_BYTES: u64 = 256 << 10;

impl Writer {
    /// A writer that goes on where the replayed log ends.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        segment_bytes: u64,
        upkeep: Upkeep,
        replay: &Replay,
    ) -> Self {
        let mut old: VecDeque<_> = replay
            .segments
            .iter()
            .cloned()
            .zip(replay.highest.iter().copied())
            .collect();
        let current = old.pop_back().map(|(segment, highest)| Current {
            segment,
            end: replay.end,
            highest,
            fresh: false,
            torn: replay.torn,
            filled: replay.length >= segment_bytes,
        });
        Self {
            disk,
            dir,
            segment_bytes,
            upkeep,
            current,
            old,
            next_batch: replay.next_batch,
            vote: replay.recovered.vote.clone(),
            committed: replay.recovered.committed.clone(),
            purged: replay.recovered.purged.clone(),
            records: Vec::new(),
            buffer: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Makes sure there is a segment that can be written: the first one, or one after a torn one.
    /// What was believed is synced first, names too: if the process was killed but the power
    /// stayed, some of it may be in the kernel's cache only.
    pub(super) fn settle(&mut self, shared: &Shared) -> Result<(), Failure> {
        if let Some(current) = &self.current {
            let path = &current.segment.path;
            current
                .segment
                .file
                .sync_data()
                .map_err(failed("syncing", path))?;
            self.disk
                .sync_dir(&self.dir)
                .map_err(failed("syncing", &self.dir))?;
        }
        if self.current.as_ref().is_none_or(|current| current.torn) {
            self.roll(shared)?;
        }
        Ok(())
    }

    /// Works until the log is closed.
    pub(super) fn run(mut self, shared: &Shared) {
        let _watch = PanicWatch(shared);
        let mut requests = Vec::new();
        loop {
            let open = shared.take(&mut requests, &mut self.records);
            self.serve(shared, &mut requests, open);
            if !open {
                break;
            }
        }
        self.upkeep.stop();
    }

    /// One step of [`Self::run`], if there is anything to do.
    pub(super) fn turn(&mut self, shared: &Shared) {
        let mut requests = Vec::new();
        if let Some(open) = shared.try_take(&mut requests, &mut self.records) {
            self.serve(shared, &mut requests, open);
        }
    }

    /// Writes what was taken, and tells whoever waits for it. `open` unless it is the last.
    fn serve(&mut self, shared: &Shared, requests: &mut Vec<Request>, open: bool) {
        let mut callbacks: Vec<Done> = Vec::new();
        let mut records = std::mem::take(&mut self.records);
        for request in requests.drain(..) {
            let done = match request {
                Request::Append {
                    first,
                    entries,
                    done,
                } => {
                    let indexed = (first..).zip(entries);
                    records.extend(indexed.map(|(index, bytes)| Record::Entry { index, bytes }));
                    Some(done)
                }
                Request::Note { record, done } => {
                    records.push(record);
                    done
                }
            };
            callbacks.extend(done);
        }
        if planted::is(Plant::AckBeforeSync) {
            /// Planted: so many records are promised before any is written.
            const PROMISED_MAX: usize = 64;
            callbacks
                .drain(..)
                .for_each(|done| done(shared.poison.check()));
            if open && records.len() < PROMISED_MAX {
                self.records = records;
                return;
            }
        }
        self.commit(shared, &records);
        for done in callbacks.drain(..) {
            done(shared.poison.check());
        }
        records.clear();
        self.records = records;
    }

    /// Makes the records durable and lets readers know where they are; a failure is told to the
    /// poison, and nothing is written after it.
    fn commit(&mut self, shared: &Shared, records: &[Record]) {
        if records.is_empty() || shared.poison.check().is_err() {
            return;
        }
        if let Err(Failure { doing, error }) = self.write(shared, records) {
            shared.poison.spread(doing, &error);
            return;
        }
        let mut state = shared.state.lock();
        for (record, place) in records.iter().zip(&self.places) {
            state.view.written(record, *place);
        }
        state.view.shrink();
        drop(state);
        for record in records {
            self.remember(record);
        }
        self.delete_purged(shared);
    }

    fn write(&mut self, shared: &Shared, records: &[Record]) -> Result<(), Failure> {
        let bytes = records.iter().map(size).sum::<u64>();
        let current = self
            .current
            .as_ref()
            .expect("settled before the thread began");
        let full = current.end + bytes > self.segment_bytes;
        if !current.fresh && (full || !current.filled && self.upkeep.is_ready()) {
            self.roll(shared)?;
        }
        let current = self
            .current
            .as_ref()
            .expect("settled before the thread began");
        let (segment, base) = (Arc::clone(&current.segment), current.end);
        self.encode(records, segment.number, base);
        segment
            .file
            .write_at(&self.buffer, base)
            .map_err(failed("writing", &segment.path))?;
        segment
            .file
            .sync_data()
            .map_err(failed("syncing", &segment.path))?;
        let current = self
            .current
            .as_mut()
            .expect("settled before the thread began");
        current.end += self.buffer.len() as u64;
        current.fresh = false;
        let half = self.segment_bytes / 2;
        if current.end
            > if current.filled {
                half
            } else {
                half.min(UNFILLED_BYTES)
            }
        {
            self.upkeep.prepare();
        }
        Ok(())
    }

    /// Encodes one batch into the buffer, for this place in this segment.
    fn encode(&mut self, records: &[Record], segment: u64, base: u64) {
        /// A buffer that one large batch left behind is not kept for ever.
        const BUFFER_BYTES_KEPT: usize = 4 << 20;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.places.clear();
        let batch = self.next_batch;
        for (nth, record) in records.iter().enumerate() {
            let last_of_batch = nth + 1 == records.len();
            let frame = Frame {
                segment,
                base,
                batch,
                last_of_batch,
            };
            let start = record::encode(&mut self.buffer, record, frame);
            let length = base + self.buffer.len() as u64 - start;
            self.places.push(Place {
                segment,
                offset: start as u32,
                length: length as u32,
            });
        }
        self.next_batch += 1;
    }

    /// Begins the next segment: it has a name only when its head is durable.
    fn roll(&mut self, shared: &Shared) -> Result<(), Failure> {
        let (number, previous_end) = match &self.current {
            None => (1, 0),
            Some(current) => (current.segment.number + 1, current.end),
        };
        let path = segment::path(&self.dir, number);
        let new = self.upkeep.take().map_err(failed("making", &path))?;
        let (file, filled) = (new.file, new.filled);
        let header = Header {
            segment: number,
            previous_end,
            first_batch: self.next_batch,
            filled,
        };
        let mut head = header.encode();
        let copies = self.copies();
        if !copies.is_empty() {
            self.encode(&copies, number, head.len() as u64);
            head.extend_from_slice(&self.buffer);
        }
        file.write_at(&head, 0).map_err(failed("writing", &path))?;
        file.sync_data().map_err(failed("syncing", &path))?;
        self.disk
            .rename(&new.path, &path)
            .map_err(failed("naming", &path))?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(failed("syncing", &self.dir))?;
        let segment = Arc::new(Segment { number, path, file });
        shared
            .state
            .lock()
            .view
            .segments
            .insert(number, Arc::clone(&segment));
        let end = head.len() as u64;
        let next = Current {
            segment,
            end,
            highest: None,
            fresh: true,
            torn: false,
            filled: filled > 0,
        };
        if let Some(before) = self.current.replace(next) {
            self.old.push_back((before.segment, before.highest));
        }
        Ok(())
    }

    /// What every segment repeats at its head, so that those before it can go.
    fn copies(&self) -> Vec<Record> {
        let vote = self.vote.clone().map(Record::Vote);
        let committed = self.committed.clone().map(Record::Committed);
        let purged = self
            .purged
            .clone()
            .map(|(index, bytes)| Record::Purged { index, bytes });
        vote.into_iter().chain(committed).chain(purged).collect()
    }

    fn remember(&mut self, record: &Record) {
        match record {
            Record::Entry { index, .. } => {
                let current = self.current.as_mut().expect("an entry was written to it");
                current.highest = current.highest.max(Some(*index));
            }
            Record::Vote(bytes) => self.vote = Some(bytes.clone()),
            Record::Committed(bytes) => self.committed = Some(bytes.clone()),
            Record::Purged { index, bytes } => self.purged = Some((*index, bytes.clone())),
            Record::TruncateAfter(_) => {}
        }
    }

    /// Lets go of the segments whose every entry is purged; the record of the purge is durable.
    fn delete_purged(&mut self, shared: &Shared) {
        let Some((purged, _)) = &self.purged else {
            return;
        };
        while let Some((segment, highest)) = self.old.front() {
            if *highest > Some(*purged) || !self.upkeep.delete(segment) {
                return;
            }
            shared.state.lock().view.segments.remove(&segment.number);
            self.old.pop_front();
        }
    }
}

fn size(record: &Record) -> u64 {
    let payload = match record {
        Record::Entry { bytes, .. } | Record::Purged { bytes, .. } => INDEX_BYTES + bytes.len(),
        Record::Vote(bytes) | Record::Committed(bytes) => bytes.len(),
        Record::TruncateAfter(_) => INDEX_BYTES,
    };
    (HEAD_BYTES + payload + FOOT_BYTES) as u64
}

fn failed<'a>(what: &'a str, path: &'a std::path::Path) -> impl FnOnce(io::Error) -> Failure + 'a {
    move |error| Failure {
        doing: segment::doing(what, path),
        error,
    }
}

/// Poisons the log if its thread panics, so that nobody waits for a callback that never comes.
struct PanicWatch<'a>(&'a Shared);

impl Drop for PanicWatch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .poison
                .spread("writing the log", &io::Error::other("its thread panicked"));
            self.0.fail_all();
        }
    }
}
