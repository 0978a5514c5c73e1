//! The history's rows in sled.
//!
//! ```text
//! m format            1
//! m last              the revision up to which everything was recorded or is a known gap
//! m gaps              postcard of the known gaps
//! m newest            the key of the newest row
//! r <upto>            the key of the row before (8), the events of some applies, up to `upto`
//! l <lock> 0 <upto>   those of them that are about one lock
//! ```
//! Numbers in keys are big-endian, so keys sort by revision. One tree, and one batch for each row
//! with all that belongs to it: after a crash it is there whole or not at all. A lock's name has
//! no control character, so the zero ends it. sled takes some damage for the end of its own log
//! and opens without what came after; as each row names the one before, a missing one is noticed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use lockring_core::{Event, LockName, What};
use parking_lot::Mutex;
use sled::{Batch, Db};

use super::Options;
use super::gaps::{Gap, Gaps};

const FORMAT: u8 = 1;
const KEY_FORMAT: &[u8] = b"mformat";
const KEY_LAST: &[u8] = b"mlast";
const KEY_GAPS: &[u8] = b"mgaps";
const KEY_NEWEST: &[u8] = b"mnewest";

/// Old rows given up with each new one; more than one, so that a lower limit is reached in time.
const ROWS_RETIRED_MAX: usize = 8;
/// Locks whose events since their last trimming are counted; beyond, the counting begins anew.
const COUNTED_LOCKS_MAX: usize = 65_536;

/// Why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("{0}")]
    Sled(#[from] sled::Error),
    #[error("a row cannot be decoded: {0}")]
    Row(#[from] postcard::Error),
    #[error("{0}")]
    Format(&'static str),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl StoreError {
    /// Whether the database itself is bad, not only the disk under it.
    pub(super) fn is_damage(&self) -> bool {
        !matches!(self, Self::Sled(sled::Error::Io(_)) | Self::Io(_))
    }
}

#[derive(Debug)]
pub(super) struct Store {
    db: Db,
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    /// The key of the newest row.
    newest: u64,
    gaps: Gaps,
    /// Events in all rows.
    events: u64,
    /// Events of a lock since it was trimmed.
    fresh: HashMap<LockName, u64>,
}

impl Store {
    /// Opens the database and reads every row once: damage is found here and not by a later call.
    pub(super) fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None)
            .open()?;
        let mut state = State::default();
        match db.get(KEY_FORMAT)? {
            None => {
                db.insert(KEY_FORMAT, &[FORMAT])?;
            }
            Some(format) if *format == [FORMAT] => {}
            Some(_) => return Err(StoreError::Format("it is of another format")),
        }
        if let Some(last) = db.get(KEY_LAST)? {
            state.last = number(&last)?;
        }
        if let Some(gaps) = db.get(KEY_GAPS)? {
            state.gaps = postcard::from_bytes(&gaps)?;
        }
        if let Some(newest) = db.get(KEY_NEWEST)? {
            state.newest = number(&newest)?;
        }
        let mut before = state.gaps.floor();
        for (nth, row) in db.scan_prefix(b"r").enumerate() {
            let (key, value) = row?;
            let (previous, events) = decode_row(&value)?;
            if previous > before || (nth > 0 && previous != before) {
                return Err(StoreError::Format("a row is missing"));
            }
            before = number(&key[1..])?;
            state.events += events.len() as u64;
        }
        if before < state.newest {
            return Err(StoreError::Format("the newest row is missing"));
        }
        for row in db.scan_prefix(b"l") {
            decode(&row?.1)?;
        }
        Ok(Self {
            db,
            options,
            state: Mutex::new(state),
        })
    }

    /// The revision up to which all is recorded or known to be missing.
    pub(super) fn last(&self) -> u64 {
        self.state.lock().last
    }

    /// Adds one row: all events of the revisions `after + 1 ..= upto`, in order.
    pub(super) fn write(&self, after: u64, upto: u64, events: &[&Event]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if upto <= state.last {
            return Ok(());
        }
        let known = state.last;
        let events: Vec<&Event> = events
            .iter()
            .copied()
            .filter(|event| event.revision > known)
            .collect();
        let mut gaps = state.gaps.clone();
        gaps.push(known, after);
        let mut batch = Batch::default();
        let mut locks: BTreeMap<&LockName, Vec<&Event>> = BTreeMap::new();
        for event in &events {
            if let Some(lock) = lock_of(event) {
                locks.entry(lock).or_default().push(event);
            }
        }
        if !events.is_empty() {
            let row = state.newest.to_be_bytes().to_vec();
            batch.insert(row_key(upto), postcard::to_extend(&events, row)?);
            batch.insert(KEY_NEWEST, &upto.to_be_bytes());
        }
        for (lock, events) in &locks {
            batch.insert(lock_key(lock, upto), postcard::to_allocvec(events)?);
        }
        let mut kept = state.events + events.len() as u64;
        if let Some(newest) = events.last() {
            kept -= self.retire(kept, newest, &mut gaps, &mut batch)?;
        }
        batch.insert(KEY_LAST, &upto.to_be_bytes());
        if gaps != state.gaps {
            batch.insert(KEY_GAPS, postcard::to_allocvec(&gaps)?);
        }
        self.db.apply_batch(batch)?;
        (state.last, state.gaps, state.events) = (upto, gaps, kept);
        if !events.is_empty() {
            state.newest = upto;
        }
        for (lock, events) in locks {
            self.trim(&mut state, lock, events.len() as u64)?;
        }
        Ok(())
    }

    /// Gives up the oldest rows if there are too many or they are too old; answers how many
    /// events that were.
    fn retire(
        &self,
        kept: u64,
        newest: &Event,
        gaps: &mut Gaps,
        batch: &mut Batch,
    ) -> Result<u64, StoreError> {
        let mut retired = 0;
        for row in self.db.scan_prefix(b"r").take(ROWS_RETIRED_MAX) {
            let (key, value) = row?;
            let (_, events) = decode_row(&value)?;
            let age = events
                .last()
                .map_or(0, |event| newest.at.0.saturating_sub(event.at.0));
            if kept - retired <= self.options.events_max && age <= self.options.age_ms_max {
                break;
            }
            let upto = number(&key[1..])?;
            for lock in events.iter().filter_map(lock_of) {
                batch.remove(lock_key(lock, upto));
            }
            batch.remove(key);
            gaps.swallow(upto);
            retired += events.len() as u64;
        }
        Ok(retired)
    }

    /// Gives up a lock's oldest events once in a while, when enough new ones have come.
    fn trim(&self, state: &mut State, lock: &LockName, added: u64) -> Result<(), StoreError> {
        if state.fresh.len() >= COUNTED_LOCKS_MAX {
            state.fresh.clear();
        }
        let fresh = state.fresh.entry(lock.clone()).or_default();
        *fresh += added;
        if *fresh <= self.options.lock_events_max / 2 {
            return Ok(());
        }
        state.fresh.remove(lock);
        let mut newer = 0;
        for row in self.db.scan_prefix(lock_prefix(lock)).rev() {
            let (key, value) = row?;
            if newer >= self.options.lock_events_max {
                self.db.remove(key)?;
            } else {
                newer += decode(&value)?.len() as u64;
            }
        }
        Ok(())
    }

    pub(super) fn of_lock(
        &self,
        lock: &LockName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let from = lock_key(lock, after.saturating_add(1));
        self.collect(from..=lock_key(lock, u64::MAX), decode, after, limit)
    }

    pub(super) fn since(&self, revision: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let from = row_key(revision.saturating_add(1));
        let events = |row: &[u8]| decode_row(row).map(|(_, events)| events);
        self.collect(from..=row_key(u64::MAX), events, revision, limit)
    }

    fn collect(
        &self,
        keys: std::ops::RangeInclusive<Vec<u8>>,
        decode: impl Fn(&[u8]) -> Result<Vec<Event>, StoreError>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let mut events: Vec<Event> = Vec::new();
        for row in self.db.range(keys) {
            for event in decode(&row?.1)? {
                // The events of one revision stay together: `after` could not resume inside.
                let full = events.len() >= limit;
                if full
                    && events
                        .last()
                        .is_none_or(|last| last.revision != event.revision)
                {
                    return Ok(events);
                }
                if event.revision > after {
                    events.push(event);
                }
            }
        }
        Ok(events)
    }

    /// The gaps behind a revision, with what was dropped before it got here.
    pub(super) fn missing(&self, after: u64, dropped_upto: u64) -> Vec<Gap> {
        let state = self.state.lock();
        let mut gaps = state.gaps.clone();
        gaps.push(state.last, dropped_upto);
        gaps.behind(after)
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush()?;
        Ok(())
    }
}

fn lock_of(event: &Event) -> Option<&LockName> {
    match &event.what {
        What::Granted { lock, .. } | What::Ended { lock, .. } | What::WaitEnded { lock, .. } => {
            Some(lock)
        }
        What::SessionOpened { .. } | What::SessionEnded { .. } => None,
    }
}

fn row_key(upto: u64) -> Vec<u8> {
    let mut key = vec![b'r'];
    key.extend_from_slice(&upto.to_be_bytes());
    key
}

fn lock_prefix(lock: &LockName) -> Vec<u8> {
    let mut key = vec![b'l'];
    key.extend_from_slice(lock.as_str().as_bytes());
    key.push(0);
    key
}

fn lock_key(lock: &LockName, upto: u64) -> Vec<u8> {
    let mut key = lock_prefix(lock);
    key.extend_from_slice(&upto.to_be_bytes());
    key
}

/// The events of one lock in one row.
fn decode(row: &[u8]) -> Result<Vec<Event>, StoreError> {
    Ok(postcard::from_bytes(row)?)
}

/// The key of the row before, and the events.
fn decode_row(row: &[u8]) -> Result<(u64, Vec<Event>), StoreError> {
    let short = StoreError::Format("a row has not 8 bytes");
    let (previous, events) = row.split_at_checked(8).ok_or(short)?;
    Ok((number(previous)?, decode(events)?))
}

fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| StoreError::Format("a number has not 8 bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}
