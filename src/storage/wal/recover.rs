//! What the files say: every segment in order, every record believed or the open fails.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{self, HEAD_BYTES, Record};
use super::segment::{self, HEADER_BYTES, Header, Name, Segment};
use super::tail::{self, Tail};
use super::view::{Place, Places};
use super::{Recovered, WalError};
use crate::storage::disk::{self, Disk};

/// The log as its files tell it.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) recovered: Recovered,
    pub(super) places: Places,
    pub(super) segments: Vec<Arc<Segment>>,
    /// The highest index that each segment has an entry of, live or not.
    pub(super) highest: Vec<Option<u64>>,
    pub(super) next_batch: u64,
    /// Where the last segment's last whole batch ends.
    pub(super) end: u64,
    /// The length of its file.
    pub(super) length: u64,
    /// Whether a torn batch lies behind it, so that the segment cannot be written any more.
    pub(super) torn: bool,
    /// The log is known to begin no later than here.
    begins_by: u64,
}

/// Opens the segments in a directory and removes what a crash left unfinished.
fn open_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Arc<Segment>>, WalError> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for name in disk.list(dir).map_err(WalError::io("listing", dir))? {
        let path = dir.join(&name);
        match segment::parse_name(&name) {
            Name::Foreign => {}
            Name::Unfinished => disk
                .remove(&path)
                .map_err(WalError::io("removing", &path))?,
            Name::Segment(number) => {
                let before = segments.last().map(|segment| segment.number);
                if before.is_some_and(|before| before + 1 != number) {
                    let what = "the segment before it is missing";
                    return Err(WalError::Corrupt {
                        file: path,
                        offset: 0,
                        what,
                    });
                }
                let file = disk.open(&path).map_err(WalError::io("opening", &path))?;
                segments.push(Arc::new(Segment { number, path, file }));
            }
        }
    }
    Ok(segments)
}

/// Reads the whole log.
pub(super) fn replay(disk: &dyn Disk, dir: &Path) -> Result<Replay, WalError> {
    let segments = open_segments(disk, dir)?;
    let headers = segments
        .iter()
        .map(|segment| segment.header())
        .collect::<Result<Vec<Header>, _>>()?;
    let mut replay = Replay {
        next_batch: 1,
        ..Replay::default()
    };
    for (nth, segment) in segments.iter().enumerate() {
        let header = headers[nth];
        if nth == 0 {
            replay.next_batch = header.first_batch;
        } else if header.first_batch != replay.next_batch {
            let what = "it does not begin with the batch that follows the segment before";
            return Err(WalError::Corrupt {
                file: segment.path.clone(),
                offset: 24,
                what,
            });
        }
        let end = headers.get(nth + 1).map(|next| next.previous_end);
        replay.scan(segment, header.filled, end)?;
    }
    replay.segments = segments;
    replay.finish()?;
    Ok(replay)
}

impl Replay {
    /// Reads one segment; `end` is known unless it is the last.
    fn scan(&mut self, segment: &Segment, filled: u64, end: Option<u64>) -> Result<(), WalError> {
        let reading = WalError::io("reading", &segment.path);
        let bytes = Bytes::from(disk::read_all(&*segment.file).map_err(reading)?);
        let corrupt = |offset: usize, what| {
            Err(WalError::Corrupt {
                file: segment.path.clone(),
                offset: offset as u64,
                what,
            })
        };
        if (bytes.len() as u64) < filled {
            return corrupt(bytes.len(), "it is shorter than it was made");
        }
        let limit = match end {
            None => bytes.len(),
            Some(end) if (HEADER_BYTES as u64..=bytes.len() as u64).contains(&end) => end as usize,
            Some(_) => return corrupt(bytes.len(), "it is shorter than the next segment says"),
        };
        self.highest.push(None);
        let mut whole = HEADER_BYTES;
        let mut at = whole;
        let mut batch = Vec::new();
        while let Some((head, record)) = believable(&bytes.slice(at..limit), segment, at) {
            if head.batch != self.next_batch {
                return corrupt(at, "its batch does not follow the one before");
            }
            let length = head.record_bytes();
            let place = Place {
                segment: segment.number,
                offset: at as u32,
                length: length as u32,
            };
            batch.push((record, place));
            at += length;
            if head.last_of_batch {
                for (record, place) in batch.drain(..) {
                    self.apply(record, place)
                        .or_else(|what| corrupt(place.offset as usize, what))?;
                }
                self.next_batch += 1;
                whole = at;
            }
        }
        self.end = whole as u64;
        self.length = bytes.len() as u64;
        if end.is_some() {
            return if whole == limit {
                Ok(())
            } else {
                corrupt(
                    at,
                    "a record is not believable, and a later segment follows it",
                )
            };
        }
        match tail::judge(&bytes, segment.number, whole, at, self.next_batch) {
            Tail::Clean => {}
            Tail::Torn => self.torn = true,
            Tail::Damaged(what) => return corrupt(at, what),
        }
        Ok(())
    }

    fn apply(&mut self, record: Record, place: Place) -> Result<(), &'static str> {
        match record {
            Record::Entry { index, .. } => {
                let next = self.places.range();
                if !next.is_empty() && index != next.end {
                    return Err("its index does not follow the entry before");
                }
                self.places.push(index, place);
                let highest = self.highest.last_mut().expect("a segment is being scanned");
                *highest = (*highest).max(Some(index));
            }
            Record::Vote(bytes) => self.recovered.vote = Some(owned(&bytes)),
            Record::Committed(bytes) => self.recovered.committed = Some(owned(&bytes)),
            Record::TruncateAfter(last) => {
                let next = last.map_or(0, |last| last + 1);
                self.places.truncate_from(next);
                if self.places.range().is_empty() {
                    self.begins_by = self.begins_by.max(next);
                }
            }
            Record::Purged { index, bytes } => {
                self.places.drop_before(index + 1);
                self.begins_by = self.begins_by.max(index + 1);
                self.recovered.purged = Some((index, owned(&bytes)));
            }
        }
        Ok(())
    }

    /// Checks that no entry is missing in front, and says what the log holds.
    fn finish(&mut self) -> Result<(), WalError> {
        let purged = self.recovered.purged.as_ref();
        let first = purged.map_or(0, |(index, _)| index + 1);
        let there = self.places.range();
        self.recovered.entries = if there.is_empty() {
            first..first
        } else {
            there.clone()
        };
        if there.is_empty() || there.start <= self.begins_by {
            return Ok(());
        }
        Err(WalError::Missing {
            from: first,
            until: there.start,
        })
    }
}

/// Its own copy, so that it does not keep the whole segment in memory.
fn owned(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn believable(bytes: &Bytes, segment: &Segment, at: usize) -> Option<(record::Head, Record)> {
    let head = record::parse_head(bytes, segment.number, at as u64)?;
    let record = record::parse_body(&head, bytes)?;
    Some((head, record))
}

/// Reads neighbouring entries, whose places these are, from one segment.
pub(super) fn read_entries(
    segment: &Segment,
    first: u64,
    places: &[Place],
) -> io::Result<Vec<Bytes>> {
    let start = places.first().map_or(0, |place| place.offset);
    let length = places.iter().map(|place| place.length as usize).sum();
    let mut bytes = vec![0; length];
    disk::read_exact_at(&*segment.file, &mut bytes, u64::from(start))?;
    let mut rest = Bytes::from(bytes);
    let mut entries = Vec::with_capacity(places.len());
    for (index, place) in (first..).zip(places) {
        let record = rest.split_to(place.length as usize);
        debug_assert!(record.len() > HEAD_BYTES);
        match believable(&record, segment, place.offset as usize) {
            Some((_, Record::Entry { index: read, bytes })) if read == index => entries.push(bytes),
            _ => {
                let what = "an entry's record is not believable any more";
                let file = segment.path.clone();
                let offset = u64::from(place.offset);
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    WalError::Corrupt { file, offset, what },
                ));
            }
        }
    }
    Ok(entries)
}
