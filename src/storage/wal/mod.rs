//! The write-ahead log: what a node promised its peers, on its disk.
//!
//! Raft is safe because a node that said "I have this entry" or "I gave you my vote" still knows
//! it after a power cut. This module keeps those two, and nothing else is allowed to keep them:
//! entries (bytes under consecutive indexes), the vote, and as advice the newest commit.
//!
//! ```text
//! 00000000000000000007.wal     header │ batch │ batch │ batch │                  (full)
//! 00000000000000000008.wal     header │ copies of vote, committed, purged │ batch │ 0000…
//! spare.new                    00000000…      becomes the next segment
//!
//! batch = record … record      one write, one fdatasync; the last record is marked
//! record = kind, length, batch number, sum of the head │ payload │ sum of the payload, end
//! ```
//!
//! **One thread writes** (or a simulation, in turns). Callers change the log in memory and queue a
//! request; the thread takes all that is queued, writes it as one batch, syncs once, then runs the
//! callbacks in order. So
//! votes and entries reach the disk in the order of the calls, and a hundred writers share one
//! sync. A purge only writes a record; files are deleted behind everybody's back.
//!
//! **The log is append-only.** A truncation is a record too, so no byte that was synced is ever
//! written again, and a file behind its end is zeros. With the numbers of the batches this makes
//! a torn write (cut off: nobody was told that it is safe) distinguishable from damage (the open
//! fails and names file and offset); `tail.rs` has the argument. Nothing is skipped, ever.
//!
//! **One failure is the last.** After a write or sync has failed every callback and every later
//! call is answered with that error ([`Poison`]), and the process is to end.
//!
//! What it does not do: it does not know Raft. That indexes have no gap is checked; that terms
//! rise is the caller's affair, and so is encoding.

mod queue;
mod record;
mod recover;
mod segment;
mod tail;
mod upkeep;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;

use self::queue::{Request, Shared};
use self::record::Record;
use self::view::{Source, View};
use self::writer::{Failure, Writer};
use super::disk::Disk;
use super::poison::Poison;

pub use self::queue::Done;

/// The most bytes that one entry may have.
pub const ENTRY_BYTES_MAX: usize = record::PAYLOAD_BYTES_MAX - record::INDEX_BYTES;
/// The most bytes that one append may have.
pub const APPEND_BYTES_MAX: usize = 512 << 20;

/// How the log uses disk and memory.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Length of one file; a batch that is longer still goes into one.
    pub segment_bytes: u64,
    /// The newest entries are kept in memory up to so many bytes.
    pub cache_bytes: usize,
    /// When more than this waits to be written, callers wait.
    pub queue_bytes_max: usize,
    /// Who looks after the files.
    pub files: FileCare,
    /// Who writes.
    pub writing: Writing,
}

/// Who makes files ready and deletes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileCare {
    /// A thread: files are filled with zeros before they are needed.
    Background,
    /// The writer, when it is due, and files grow as they are written.
    Inline,
}

/// Who writes what is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// A thread, as soon as there is something.
    Thread,
    /// Whoever calls [`Wal::turn`], and [`Wal::close`]: a simulation decides when and in which
    /// order things happen.
    InTurns,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            cache_bytes: 8 << 20,
            queue_bytes_max: 64 << 20,
            files: FileCare::Background,
            writing: Writing::Thread,
        }
    }
}

/// What the files told when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest vote.
    pub vote: Option<Bytes>,
    /// A recent commit; a later one may have been made.
    pub committed: Option<Bytes>,
    /// The last index that was purged, and the bytes given with it.
    pub purged: Option<(u64, Bytes)>,
    /// Indexes of the entries that are there; if none, the end is the next one expected.
    pub entries: Range<u64>,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The disk failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, to which file.
        doing: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something that had been safe is not there any more, or not as it was.
    #[error("the log is damaged at byte {offset} of {}: {what}", file.display())]
    Corrupt {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Files at the log's beginning are gone.
    #[error("the log is damaged: entries {from} to {} are missing, unpurged", until - 1)]
    Missing {
        /// The first that should be there.
        from: u64,
        /// The first that is.
        until: u64,
    },
}

impl From<Failure> for WalError {
    fn from(Failure { doing, error }: Failure) -> Self {
        Self::Io {
            doing,
            source: error,
        }
    }
}

/// An open log. Its clones are the same log, which ends with [`Wal::close`] or the last of them.
#[derive(Clone, Debug)]
pub struct Wal {
    shared: Arc<Shared>,
    ending: Arc<Ending>,
}

/// Owns the writer.
struct Ending {
    shared: Arc<Shared>,
    scribe: Mutex<Option<Scribe>>,
}

enum Scribe {
    Thread(JoinHandle<()>),
    InTurns(Box<Writer>),
}

impl Wal {
    /// Opens the log in this directory (made if absent) and says what is in it. Blocks: it reads
    /// every segment. The directory must be this process's alone.
    ///
    /// # Errors
    /// The disk failed, or the log is damaged; a torn tail is cut and no error.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        poison: Poison,
    ) -> Result<(Self, Recovered), WalError> {
        disk.create_dir(dir).map_err(WalError::io("making", dir))?;
        let mut replay = recover::replay(&*disk, dir)?;
        let recovered = replay.recovered.clone();
        let dir = dir.to_path_buf();
        let upkeep = match options.files {
            FileCare::Inline => upkeep::Upkeep::inline(Arc::clone(&disk), dir.clone()),
            FileCare::Background => {
                upkeep::Upkeep::start(Arc::clone(&disk), dir.clone(), options.segment_bytes)
                    .map_err(WalError::io("starting the thread that looks after", &dir))?
            }
        };
        let segments = replay
            .segments
            .iter()
            .map(|segment| (segment.number, Arc::clone(segment)));
        let view = View::new(
            recovered.entries.clone(),
            recovered.purged.is_some(),
            std::mem::take(&mut replay.places),
            segments.collect(),
            options.cache_bytes,
        );
        let shared = Arc::new(Shared::new(view, poison, options.queue_bytes_max));
        let mut writer = Writer::new(disk, dir.clone(), options.segment_bytes, upkeep, &replay);
        writer.settle(&shared)?;
        let scribe = Scribe::begin(options.writing, writer, Arc::clone(&shared));
        let scribe = scribe.map_err(WalError::io("starting the thread that writes", &dir))?;
        let ending = Ending {
            shared: Arc::clone(&shared),
            scribe: Mutex::new(Some(scribe)),
        };
        Ok((
            Self {
                shared,
                ending: Arc::new(ending),
            },
            recovered,
        ))
    }

    /// Appends entries from index `first` on. When this returns they can be read; when `done` is
    /// told `Ok` they are durable. It blocks only while a whole queue waits for the disk.
    ///
    /// # Errors
    /// The log has failed or is closed, or the entries do not follow the last one, or are too
    /// large. Then nothing was appended and `done` is dropped; else it is told exactly once.
    pub fn append(&self, first: u64, entries: Vec<Bytes>, done: Done) -> io::Result<()> {
        let bytes: usize = entries.iter().map(Bytes::len).sum();
        let longest = entries.iter().map(Bytes::len).max().unwrap_or(0);
        if longest > ENTRY_BYTES_MAX || bytes > APPEND_BYTES_MAX {
            return Err(invalid(format!(
                "an append of {bytes} bytes (at most {APPEND_BYTES_MAX}), the longest entry has \
                 {longest} (at most {ENTRY_BYTES_MAX})"
            )));
        }
        self.shared.submit(bytes, |state| {
            let expected = state.view.entries.end;
            if first != expected {
                if state.view.begun || !state.view.entries.is_empty() || first < expected {
                    return Err(invalid(format!(
                        "append of {first}, the next is {expected}"
                    )));
                }
                // A log in which nothing was purged begins where its first entry says.
                let record = Record::TruncateAfter(first.checked_sub(1));
                state.view.truncate_from(first);
                state.push(Request::Note { record, done: None });
            }
            state.view.append(first, &entries);
            state.push(Request::Append {
                first,
                entries,
                done,
            });
            Ok(())
        })
    }

    /// Saves the vote. It is durable, after all that was appended before, when `done` is told.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub fn save_vote(&self, vote: Bytes, done: Done) -> io::Result<()> {
        self.note(Record::Vote(vote), done, |_| {})
    }

    /// Remembers a commit. It reaches the file with the next batch or when the log is closed: it
    /// only spares a restart some waiting, so no sync and no wake-up is spent on it.
    ///
    /// # Errors
    /// The log has failed.
    pub fn save_committed(&self, committed: Bytes) -> io::Result<()> {
        self.shared.set_committed(committed)
    }

    /// Makes the entries after `last` (`None`: all) void, at once for readers, durably when `done`
    /// is told. Entries appended afterwards in their place reach the disk after it, or with it.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub fn truncate_after(&self, last: Option<u64>, done: Done) -> io::Result<()> {
        let next = last.map_or(0, |last| last + 1);
        self.note(Record::TruncateAfter(last), done, |view| {
            view.truncate_from(next)
        })
    }

    /// Forgets the entries up to `index`, and the space they take in a while. The log then goes on
    /// behind `index`, even if it ended before. `record` is given back by the next open.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub fn purge_upto(&self, index: u64, record: Bytes) -> io::Result<()> {
        self.shared.submit(record.len(), |state| {
            if state.view.begun && index < state.view.entries.start {
                return Ok(());
            }
            state.view.purge_before(index + 1);
            let record = Record::Purged {
                index,
                bytes: record,
            };
            state.push(Request::Note { record, done: None });
            Ok(())
        })
    }

    /// The indexes that can be read now; if there are none, the end is the next one expected.
    #[must_use]
    pub fn entries(&self) -> Range<u64> {
        self.shared.state.lock().view.entries.clone()
    }

    /// The entries of these indexes, all of them.
    ///
    /// # Errors
    /// One is not in the log, or its file cannot be read or is damaged. Never a short answer.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<Bytes>> {
        self.read_within(range, usize::MAX)
    }

    /// As [`Wal::read`], but it may stop after the first entry when it has so many bytes.
    ///
    /// # Errors
    /// As [`Wal::read`].
    pub fn read_within(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Bytes>> {
        let mut sources = Vec::new();
        let state = self.shared.state.lock();
        let mut bytes = 0_usize;
        for index in range.clone() {
            let Some(source) = state.view.source(index) else {
                let there = &state.view.entries;
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!(
                        "no entry {index} in the log, it has {} to {}",
                        there.start, there.end
                    ),
                ));
            };
            bytes = bytes.saturating_add(source.bytes());
            if index > range.start && bytes > bytes_max {
                break;
            }
            sources.push(source);
        }
        drop(state);
        gather(range.start, sources)
    }

    /// Writes what is queued as one batch and tells its callbacks, if the log has no thread for
    /// that ([`Writing::InTurns`]).
    pub fn turn(&self) {
        if let Some(Scribe::InTurns(writer)) = &mut *self.ending.scribe.lock() {
            writer.turn(&self.shared);
        }
    }

    /// Writes what is queued, and the newest commit, and ends the thread. Blocks until it has.
    pub fn close(&self) {
        self.ending.end();
    }

    fn note(&self, record: Record, done: Done, see: impl FnOnce(&mut View)) -> io::Result<()> {
        self.shared.submit(0, |state| {
            see(&mut state.view);
            state.push(Request::Note {
                record,
                done: Some(done),
            });
            Ok(())
        })
    }
}

impl Source {
    fn bytes(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(place, _) => place.length as usize,
        }
    }
}

/// The entries behind these sources, neighbours in a file read together.
fn gather(first: u64, sources: Vec<Source>) -> io::Result<Vec<Bytes>> {
    /// The most that is read from a file at a time (or one entry).
    const READ_BYTES_MAX: usize = 1 << 20;
    let mut entries = Vec::with_capacity(sources.len());
    let mut sources = sources.into_iter().peekable();
    while let Some(source) = sources.next() {
        let (place, segment) = match source {
            Source::Memory(bytes) => {
                entries.push(bytes);
                continue;
            }
            Source::File(place, segment) => (place, segment),
        };
        let mut places = vec![place];
        let mut length = place.length as usize;
        while let Some(Source::File(next, _)) = sources.peek() {
            let before = places[places.len() - 1];
            let adjoins =
                next.segment == place.segment && next.offset == before.offset + before.length;
            length += next.length as usize;
            if !adjoins || length > READ_BYTES_MAX {
                break;
            }
            places.push(*next);
            sources.next();
        }
        let index = first + entries.len() as u64;
        entries.extend(recover::read_entries(&segment, index, &places)?);
    }
    Ok(entries)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

impl Scribe {
    fn begin(writing: Writing, writer: Writer, shared: Arc<Shared>) -> io::Result<Self> {
        match writing {
            Writing::InTurns => Ok(Self::InTurns(Box::new(writer))),
            Writing::Thread => std::thread::Builder::new()
                .name("wal-writer".to_owned())
                .spawn(move || writer.run(&shared))
                .map(Self::Thread),
        }
    }
}

impl Ending {
    fn end(&self) {
        self.shared.close();
        let scribe = self.scribe.lock().take();
        match scribe {
            None => {}
            Some(Scribe::InTurns(writer)) => writer.run(&self.shared),
            // The last handle may be dropped by a callback, in the thread itself: it ends by
            // itself.
            Some(Scribe::Thread(it)) if it.thread().id() == std::thread::current().id() => {}
            Some(Scribe::Thread(thread)) => {
                let ended = thread.join();
                if ended.is_err() {
                    tracing::error!("the thread that writes the log panicked");
                }
            }
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("poison", &self.poison)
            .finish_non_exhaustive()
    }
}
