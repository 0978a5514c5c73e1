//! The history's rows in sled.
//!
//! ```text
//! m format     2
//! m last       the revision up to which everything was recorded or is a known gap
//! m newest     the key of the newest row
//! m gaps       postcard of the known gaps
//! m thinned    the newest revision that a busy lock's event was given up of
//! r …, i …     rows and their locks (row.rs)
//! ```
//! Numbers in keys are big-endian, so keys sort by revision. One tree, and one batch for each
//! write with all that belongs to it: after a crash it is there whole or not at all. sled takes
//! some damage for the end of its own log and opens without what came after; as each row names
//! the one before, a missing one is noticed.
//!
//! Rows of a quiet time are small. A new row swallows those before it that are no longer than
//! itself, so there are never many small ones, and each event is rewritten a few times at most.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use lockring_core::{Event, LockName};
use parking_lot::Mutex;
use sled::{Batch, Db};

use super::Options;
use super::gaps::{Gap, Gaps};
use super::row::{self, Head, Row, number};

const FORMAT: u8 = 4;
const KEY_FORMAT: &[u8] = b"mformat";
const KEY_LAST: &[u8] = b"mlast";
const KEY_NEWEST: &[u8] = b"mnewest";
const KEY_GAPS: &[u8] = b"mgaps";
const KEY_THINNED: &[u8] = b"mthinned";

/// Rows are joined up to this length, and up to about a tenth of all that is kept: the newest row
/// is not thinned, so it must not be most of it.
const ROW_BYTES_MAX: usize = 16 << 10;
const ROW_BYTES_PER_EVENT_KEPT: u64 = 4;
/// Old rows given up with each new one; more than one, so that a lower limit is reached in time.
const ROWS_RETIRED_MAX: usize = 8;
/// Rows thinned, and rows looked at for it, with each new one.
const ROWS_THINNED_MAX: usize = 4;
const ROWS_LOOKED_AT_MAX: usize = 256;

/// How long a database that was just closed may still be locked, and how often that is looked at.
const UNLOCKED_WITHIN: Duration = Duration::from_secs(5);
const UNLOCKED_POLL: Duration = Duration::from_millis(10);

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

#[derive(Clone, Debug, Default)]
struct State {
    last: u64,
    newest: u64,
    gaps: Gaps,
    thinned: u64,
    /// Where thinning goes on: rows up to this key have been looked at.
    looked_at: u64,
    events: u64,
    counts: Counts,
}

/// How many events of each lock there are. Locks whose sums end alike are counted together, so
/// that a million locks take no more memory than one. What it costs: a lock that shares its count
/// with a busy one counts as busy too, one of a few hundred thousand for each of those, and what
/// is given up of it is told as missing.
#[derive(Clone, Debug)]
struct Counts {
    all: Box<[u32]>,
    /// Those that were over their share when thinning last began with the oldest rows, by how
    /// much. No more goes before it begins again: what has come since is newer than what it has
    /// passed, and would go in the place of older ones.
    excess: HashMap<usize, u64>,
}

/// A power of two: a MiB of counts.
const COUNTS: usize = 1 << 18;

impl Default for Counts {
    fn default() -> Self {
        Self {
            all: vec![0; COUNTS].into_boxed_slice(),
            excess: HashMap::new(),
        }
    }
}

impl Counts {
    fn add(&mut self, events: &[Event]) {
        for lock in events.iter().filter_map(row::lock_of) {
            let count = &mut self.all[nth(row::lock_sum(lock))];
            *count = count.saturating_add(1);
        }
    }

    fn of(&self, sum: u32) -> u64 {
        u64::from(self.all[nth(sum)])
    }

    fn remove_one(&mut self, sum: u32) {
        let count = &mut self.all[nth(sum)];
        *count = count.saturating_sub(1);
        if let Entry::Occupied(mut excess) = self.excess.entry(nth(sum)) {
            *excess.get_mut() -= 1;
            if *excess.get() == 0 {
                excess.remove();
            }
        }
    }

    fn note_excess(&mut self, share: u64) {
        let counts = self.all.iter().map(|count| u64::from(*count));
        let over = counts.enumerate().filter(|(_, count)| *count > share);
        self.excess = over.map(|(nth, count)| (nth, count - share)).collect();
    }

    fn is_in_excess(&self, sum: u32) -> bool {
        self.excess.contains_key(&nth(sum))
    }
}

/// Where a lock's count is.
const fn nth(sum: u32) -> usize {
    sum as usize % COUNTS
}

impl Store {
    /// Opens the database and reads every row once: damage is found here and not by a later call.
    pub(super) fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let db = open_unlocked(dir, options)?;
        match db.get(KEY_FORMAT)? {
            None => drop(db.insert(KEY_FORMAT, &[FORMAT])?),
            Some(format) if *format == [FORMAT] => {}
            Some(_) => return Err(StoreError::Format("it is of another format")),
        }
        let stored = |key| db.get(key)?.map_or(Ok(0), |bytes| number(&bytes));
        let mut state = State {
            last: stored(KEY_LAST)?,
            newest: stored(KEY_NEWEST)?,
            thinned: stored(KEY_THINNED)?,
            ..State::default()
        };
        if let Some(gaps) = db.get(KEY_GAPS)? {
            state.gaps = postcard::from_bytes(&gaps)?;
        }
        let mut before = state.gaps.floor();
        for (nth, row) in db.scan_prefix(b"r").enumerate() {
            let (key, bytes) = row?;
            let upto = number(&key[1..])?;
            let previous = Head::parse(&bytes)?.previous;
            if previous > before || (nth > 0 && previous != before) {
                return Err(StoreError::Format("a row is missing"));
            }
            let events = row::events(&bytes)?;
            let locks = db.get(row::locks_key(upto))?;
            if locks.is_none_or(|locks| !lists(&locks, &events)) {
                return Err(StoreError::Format(
                    "a row's locks are not those of its events",
                ));
            }
            state.events += events.len() as u64;
            state.counts.add(&events);
            before = upto;
        }
        if before < state.newest {
            return Err(StoreError::Format("the newest row is missing"));
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

    /// Adds all events of the revisions `after + 1 ..= upto`, in order.
    pub(super) fn write(&self, after: u64, upto: u64, events: &[&Event]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let known = state.last;
        if upto <= known {
            return Ok(());
        }
        let fresh = || {
            events
                .iter()
                .copied()
                .filter(|event| event.revision > known)
        };
        let gaps_before = state.gaps.clone();
        state.gaps.push(known, after);
        let mut batch = Batch::default();
        if let Some(newest) = fresh().next_back() {
            let mut row = Row::of(fresh())?;
            row.previous = state.newest;
            self.swallow_smaller(&mut row, &mut batch)?;
            let untouched = row.previous;
            let (bytes, locks) = row.encode()?;
            batch.insert(row::row_key(upto), bytes);
            batch.insert(row::locks_key(upto), locks);
            batch.insert(KEY_NEWEST, &upto.to_be_bytes());
            state.newest = upto;
            for event in fresh() {
                state.events += 1;
                state.counts.add(std::slice::from_ref(event));
            }
            self.retire(&mut state, untouched, newest.at.0, &mut batch)?;
            self.thin(&mut state, untouched, &mut batch)?;
        }
        state.last = upto;
        batch.insert(KEY_LAST, &upto.to_be_bytes());
        batch.insert(KEY_THINNED, &state.thinned.to_be_bytes());
        if gaps_before != state.gaps {
            batch.insert(KEY_GAPS, postcard::to_allocvec(&state.gaps)?);
        }
        Ok(self.db.apply_batch(batch)?)
    }

    /// Joins the rows before this one to it that are no longer than it is.
    fn swallow_smaller(&self, row: &mut Row, batch: &mut Batch) -> Result<(), StoreError> {
        let tenth = self.options.events_max * ROW_BYTES_PER_EVENT_KEPT;
        let bytes_max =
            usize::try_from(tenth).map_or(ROW_BYTES_MAX, |tenth| tenth.min(ROW_BYTES_MAX));
        while let Some(bytes) = self.db.get(row::row_key(row.previous))? {
            let length = Head::parse(&bytes)?.length;
            if length > row.events.len() || row.events.len() + length > bytes_max {
                break;
            }
            let (row_key, locks_key) = (row::row_key(row.previous), row::locks_key(row.previous));
            let locks = self.db.get(&locks_key)?.unwrap_or_default();
            row.join(Row::parse(&bytes, &locks)?);
            batch.remove(row_key);
            batch.remove(locks_key);
        }
        Ok(())
    }

    /// Gives up the oldest rows if they are too old, or if there are too many events and no busy
    /// lock has more than its share.
    fn retire(
        &self,
        state: &mut State,
        untouched: u64,
        now_ms: u64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let rows = self.db.range(row::row_key(0)..=row::row_key(untouched));
        for row in rows.take(ROWS_RETIRED_MAX) {
            let (key, bytes) = row?;
            let events = row::events(&bytes)?;
            // A row that thinning has emptied has no age; it goes when it is the oldest.
            let age = events
                .last()
                .map_or(u64::MAX, |event| now_ms.saturating_sub(event.at.0));
            // Thinning works on it; it gets an eighth more before the oldest have to go.
            let many = state.events > self.options.events_max / 8 * 9;
            if !many && age <= self.options.age_ms_max {
                break;
            }
            let upto = number(&key[1..])?;
            batch.remove(row::row_key(upto));
            batch.remove(row::locks_key(upto));
            state.gaps.swallow(upto);
            state.events -= events.len() as u64;
            for lock in events.iter().filter_map(row::lock_of) {
                state.counts.remove_one(row::lock_sum(lock));
            }
        }
        Ok(())
    }

    /// If there are too many events, gives up the oldest of locks that have more than their share.
    fn thin(&self, state: &mut State, untouched: u64, batch: &mut Batch) -> Result<(), StoreError> {
        if state.events <= self.options.events_max {
            return Ok(());
        }
        if state.looked_at == 0 || state.counts.excess.is_empty() {
            state.looked_at = 0;
            state.counts.note_excess(self.options.lock_events_max);
        }
        let from = state.looked_at.max(state.gaps.floor()) + 1;
        let mut thinned = 0;
        let mut looked_at = 0;
        for row in self
            .db
            .range(row::locks_key(from)..=row::locks_key(untouched))
            .take(ROWS_LOOKED_AT_MAX)
        {
            let (key, locks) = row?;
            looked_at = number(&key[1..])?;
            if row::sums(&locks).any(|sum| state.counts.is_in_excess(sum)) {
                self.thin_row(state, looked_at, batch)?;
                thinned += 1;
            }
            if thinned == ROWS_THINNED_MAX {
                break;
            }
        }
        // At the end it begins again with the oldest.
        state.looked_at = looked_at;
        Ok(())
    }

    fn thin_row(&self, state: &mut State, upto: u64, batch: &mut Batch) -> Result<(), StoreError> {
        let Some(bytes) = self.db.get(row::row_key(upto))? else {
            return Err(StoreError::Format("a row is missing"));
        };
        let mut kept = Vec::new();
        for event in row::events(&bytes)? {
            let sum = row::lock_of(&event).map(row::lock_sum);
            match sum.filter(|sum| state.counts.is_in_excess(*sum)) {
                None => kept.push(event),
                Some(sum) => {
                    state.counts.remove_one(sum);
                    state.events -= 1;
                    state.thinned = state.thinned.max(event.revision);
                }
            }
        }
        let mut row = Row::of(&kept)?;
        row.previous = Head::parse(&bytes)?.previous;
        let (bytes, locks) = row.encode()?;
        batch.insert(row::row_key(upto), bytes);
        batch.insert(row::locks_key(upto), locks);
        Ok(())
    }

    pub(super) fn of_lock(
        &self,
        lock: &LockName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let _no_write_between = self.state.lock();
        let sum = row::lock_sum(lock);
        let mut found = Found::new(after, limit);
        for locks in self.db.range(behind(after, row::locks_key)) {
            let (key, locks) = locks?;
            if !row::mentions(&locks, sum) {
                continue;
            }
            let row = self.db.get(row::row_key(number(&key[1..])?))?;
            let row = row.ok_or(StoreError::Format("a row is missing"))?;
            let events = row::events(&row)?.into_iter();
            if !found.take(events.filter(|event| row::lock_of(event) == Some(lock))) {
                break;
            }
        }
        Ok(found.events)
    }

    pub(super) fn since(&self, revision: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let _no_write_between = self.state.lock();
        let mut found = Found::new(revision, limit);
        for row in self.db.range(behind(revision, row::row_key)) {
            if !found.take(row::events(&row?.1)?) {
                break;
            }
        }
        Ok(found.events)
    }

    /// The gaps behind a revision, with what was dropped before it got here. A lock that never
    /// had more than its share has lost nothing to thinning.
    pub(super) fn missing(
        &self,
        lock: Option<&LockName>,
        after: u64,
        dropped_upto: u64,
    ) -> Vec<Gap> {
        let state = self.state.lock();
        let mut gaps = state.gaps.clone();
        gaps.push(state.last, dropped_upto);
        let count = lock.map_or(u64::MAX, |lock| state.counts.of(row::lock_sum(lock)));
        if state.thinned > 0 && count >= self.options.lock_events_max {
            gaps.swallow(state.thinned);
        }
        gaps.behind(after)
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush()?;
        Ok(())
    }
}

/// Opens the database, and waits for one that was closed in this process a moment ago: threads of
/// sled's own still hold its file, and the lock on it, after the last handle was dropped. Nobody
/// else can hold it for long, because the data directory has a lock of its own.
pub(super) fn open_unlocked(dir: &Path, options: Options) -> Result<Db, sled::Error> {
    let mut waited = Duration::ZERO;
    loop {
        let opened = sled::Config::new()
            .path(dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None)
            .open();
        match opened {
            Err(error) if is_locked(&error) && waited < UNLOCKED_WITHIN => {
                std::thread::sleep(UNLOCKED_POLL);
                waited += UNLOCKED_POLL;
            }
            opened => return opened,
        }
    }
}

/// sled has no kind for it, only these words.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(_)) && error.to_string().contains("could not acquire lock")
}

/// Keys of rows that have something behind a revision.
fn behind(revision: u64, key: fn(u64) -> Vec<u8>) -> RangeInclusive<Vec<u8>> {
    key(revision.saturating_add(1))..=key(u64::MAX)
}

fn lists(locks: &[u8], events: &[Event]) -> bool {
    events
        .iter()
        .filter_map(row::lock_of)
        .all(|lock| row::mentions(locks, row::lock_sum(lock)))
}

/// Events that an answer gathers.
struct Found {
    events: Vec<Event>,
    after: u64,
    limit: usize,
}

impl Found {
    fn new(after: u64, limit: usize) -> Self {
        Self {
            events: Vec::new(),
            after,
            limit,
        }
    }

    /// Takes what is behind `after`; `false` when there is enough. The events of one revision
    /// stay together: the next question could not begin between them.
    fn take(&mut self, events: impl IntoIterator<Item = Event>) -> bool {
        for event in events
            .into_iter()
            .filter(|event| event.revision > self.after)
        {
            let last = self.events.last().map(|last| last.revision);
            if self.events.len() >= self.limit && last != Some(event.revision) {
                return false;
            }
            self.events.push(event);
        }
        true
    }
}
