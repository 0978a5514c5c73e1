//! openraft's log, kept in our write-ahead log.
//!
//! The write-ahead log knows bytes under indexes; here they become entries. An entry is encoded
//! once on its way in. The newest ones are also kept decoded, because three readers want each of
//! them right away (the applier and the streams to the peers), and sharing one copy costs a
//! counter instead of a decoding.
//!
//! Every record begins with a version byte. Nothing is read that cannot be understood whole: an
//! error here is a storage error to openraft, and the node stops rather than leave entries out.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::raft::{LogEntry, LogId, Types, Vote};
use crate::storage::offload::offload;
use crate::storage::wal::{Done, Recovered, Wal};
use crate::watch;

/// Of the records in the log. A higher one is from a later version of lockring.
const VERSION: u8 = 2;

/// Decoded entries are kept up to about so many bytes of the log.
const RECENT_BYTES_MAX: usize = 4 << 20;

/// How much of the log goes into one message to a peer, if it is more than one entry.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// The log. Cheap to clone; all clones are one log.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    wal: Wal,
    state: Arc<Mutex<State>>,
    /// The index after the last.
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    recent: Recent,
}

/// The newest entries, decoded, without a gap up to the last.
#[derive(Debug, Default)]
struct Recent {
    entries: VecDeque<LogEntry>,
    bytes: usize,
}

impl Recent {
    /// The index of the first, or `next` if there is none.
    fn first(&self, next: u64) -> u64 {
        self.entries
            .front()
            .map_or(next, |entry| entry.log_id.index)
    }

    fn push(&mut self, entry: LogEntry) {
        self.bytes += size(&entry);
        self.entries.push_back(entry);
        while self.bytes > RECENT_BYTES_MAX && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_front().as_ref().map_or(0, size);
        }
    }

    fn truncate_from(&mut self, next: u64) {
        while let Some(entry) = self.entries.back()
            && entry.log_id.index >= next
        {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, size);
        }
    }

    /// The entries of these indexes, none of which may be before the first.
    fn get(&self, range: Range<u64>, next: u64) -> impl Iterator<Item = &LogEntry> {
        let first = self.first(next);
        let skipped = usize::try_from(range.start - first).unwrap_or(usize::MAX);
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).take(count)
    }
}

/// What an entry takes in memory, near enough.
fn size(entry: &LogEntry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => 128 + proposal.size(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 128,
    }
}

impl Journal {
    /// The journal in a log that was just opened.
    pub(super) fn open(wal: Wal, recovered: &Recovered) -> io::Result<Self> {
        let purged: Option<LogId> = match &recovered.purged {
            Some((_, record)) => Some(decode(record)?),
            None => None,
        };
        let entries = &recovered.entries;
        let last = match entries.is_empty() {
            true => purged,
            false => {
                let last = wal.read(entries.end - 1..entries.end)?;
                Some(decode::<LogEntry>(&last[0])?.log_id)
            }
        };
        let state = State {
            vote: recovered.vote.as_deref().map(decode).transpose()?,
            committed: recovered.committed.as_deref().map(decode).transpose()?,
            purged,
            last,
            recent: Recent::default(),
        };
        Ok(Self {
            end: watch::Sender::new(wal.entries().end),
            wal,
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Follows the index after the last one.
    pub(super) fn end(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Entries from here on, as many as are there and fit into so many bytes; one at least.
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        let (range, old) = {
            let state = self.state.lock();
            let there = self.wal.entries();
            let range = range.start.max(there.start)..range.end.min(there.end);
            if range.is_empty() {
                return Ok(Vec::new());
            }
            let recent_from = state.recent.first(there.end).clamp(range.start, range.end);
            if recent_from == range.start {
                return Ok(bounded(
                    state.recent.get(range, there.end).cloned(),
                    bytes_max,
                ));
            }
            (range.clone(), range.start..recent_from)
        };
        // Neither the file nor the decoding should hold up the other tasks.
        let wal = self.wal.clone();
        let until = old.end;
        let read = offload(move || {
            let records = wal.read_within(old, bytes_max)?;
            records
                .iter()
                .map(|record| decode(record))
                .collect::<io::Result<Vec<LogEntry>>>()
        });
        let mut entries = read.await??;
        let read_all = entries.last().map(|entry| entry.log_id.index + 1) == Some(until);
        if read_all && bytes_max == usize::MAX && until < range.end {
            entries.extend(Box::pin(self.read(until..range.end, bytes_max)).await?);
        }
        Ok(entries)
    }
}

fn bounded(entries: impl Iterator<Item = LogEntry>, bytes_max: usize) -> Vec<LogEntry> {
    let mut bytes = 0_usize;
    let mut fits = |entry: &LogEntry| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(size(entry));
        first || bytes <= bytes_max
    };
    entries.take_while(|entry| fits(entry)).collect()
}

fn encode(content: &impl Serialize) -> Bytes {
    let bytes = postcard::to_extend(content, vec![VERSION])
        .expect("these types serialize without fail into a growing buffer");
    bytes.into()
}

fn decode<T: DeserializeOwned>(record: &[u8]) -> io::Result<T> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    match record.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body)
            .map_err(|error| invalid(format!("a record of the log cannot be read: {error}"))),
        Some((version, _)) => Err(invalid(format!(
            "a record of the log has version {version}, this lockring reads {VERSION}"
        ))),
        None => Err(invalid("a record of the log is empty".into())),
    }
}

/// A callback, and a wait for it.
fn durable() -> (Done, impl Future<Output = io::Result<()>>) {
    let (sender, told) = oneshot::channel();
    let done = move |result| {
        // Whoever waits may have been dropped; the log is as durable without.
        let _ = sender.send(result);
    };
    let wait = async {
        let lost = |_| Err(io::Error::other("the log ended before it answered"));
        told.await.unwrap_or_else(lost)
    };
    (Box::new(done), wait)
}

fn indexes(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Types> for Journal {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<LogEntry>> {
        self.read(indexes(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        self.read(start..end, MESSAGE_BYTES_MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.state.lock().vote)
    }
}

impl RaftLogStorage<Types> for Journal {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.state.lock();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: state.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, durable) = durable();
        self.wal.save_vote(encode(vote), done)?;
        durable.await?;
        self.state.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(log_id) = committed else {
            return Ok(());
        };
        self.wal.save_committed(encode(&log_id))?;
        self.state.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.state.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().collect();
        let Some(first) = entries.first().map(|entry| entry.index()) else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let records = entries.iter().map(encode).collect();
        let mut state = self.state.lock();
        let done = Box::new(move |result| callback.io_completed(result));
        self.wal.append(first, records, done)?;
        for entry in entries {
            state.last = Some(entry.log_id);
            state.recent.push(entry);
        }
        let end = state.last.map_or(0, |last| last.index + 1);
        drop(state);
        self.end.send_replace(end);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let (done, durable) = durable();
        {
            let mut state = self.state.lock();
            let index = last.map(|log_id| log_id.index);
            self.wal.truncate_after(index, done)?;
            state
                .recent
                .truncate_from(index.map_or(0, |index| index + 1));
            state.last = state.last.min(last);
        }
        durable.await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let mut state = self.state.lock();
        self.wal.purge_upto(upto.index, encode(&upto))?;
        while let Some(entry) = state.recent.entries.front()
            && entry.log_id.index <= upto.index
        {
            let entry = state.recent.entries.pop_front();
            state.recent.bytes -= entry.as_ref().map_or(0, size);
        }
        state.purged = state.purged.max(Some(upto));
        state.last = state.last.max(Some(upto));
        Ok(())
    }
}
