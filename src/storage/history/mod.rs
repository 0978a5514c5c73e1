//! What happened, for people who ask and for watches that resume.
//!
//! The history is derived: every event in it came out of an apply and could be made again from the
//! log. So nothing waits for it. Apply hands over what it made and goes on; a thread writes it to
//! sled, many applies to a row; when the thread falls behind, or the process dies before the rows
//! are on the disk, or the database is damaged, events are missing, and **the gap is remembered
//! and told with every answer that it touches**. A reader never mistakes a hole for silence.
//!
//! - Revisions say what is known. A record covers the revisions `after..=upto`; one that was seen
//!   before is skipped, so a restart may replay the log from its snapshot; one that begins behind
//!   the newest leaves a gap.
//! - Old events go by age (in cluster time; no clock is read) and when there are too many. Then
//!   those of busy locks go first, each beyond a number that every lock may keep, so that one busy
//!   lock does not drive out all the others.
//! - A database that cannot be opened is renamed `….damaged-<n>` and an empty one takes its place.
//!
//! What it does not do: it is not replicated and not equal on all nodes, and it is no source of
//! truth for anything.

mod gaps;
mod row;
mod store;
mod worker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use lockring_core::{Event, LockName};
use parking_lot::Mutex;

use self::store::Store;
use self::worker::{Job, Recorded, Shared, Worker};

pub use self::gaps::Gap;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events of all locks and sessions together.
    pub events_max: u64,
    /// Events that every lock may keep when there are too many, its newest.
    pub lock_events_max: u64,
    /// Events this much older than the newest go, in milliseconds of cluster time.
    pub age_ms_max: u64,
    /// Memory that sled may use for its pages.
    pub cache_bytes: u64,
    /// Applies that may wait for the thread; what comes on top is a gap.
    pub queue_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            events_max: 250_000,
            lock_events_max: 1_000,
            age_ms_max: 7 * 24 * 3_600_000,
            cache_bytes: 16 << 20,
            queue_max: 4096,
        }
    }
}

/// Why the history cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event history has stopped: {0}")]
pub struct HistoryError(String);

impl HistoryError {
    fn closed() -> Self {
        Self("it is closed".to_owned())
    }
}

/// A thread that has not answered by then has lost its disk: sled may wait for ever for one that
/// has failed, and nobody waits with it. The history is given up until the next start.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How long somebody who wants an answer leaves a full queue alone.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);

/// An answer: events in the order of revisions, and what may be missing among or before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What is known.
    pub events: Vec<Event>,
    /// Spans of revisions behind the one asked from, of which events may be missing.
    pub missing: Vec<Gap>,
}

/// The events of an apply, as their owner keeps them.
pub type Events = Arc<dyn AsRef<[Event]> + Send + Sync>;

/// The history of one node. Reads block; async callers use `spawn_blocking`.
pub struct History {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
    /// Whom to wake for what cannot wait.
    worker: Thread,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl History {
    /// Begins the thread, which opens (or makes) the database in this directory. A damaged one is
    /// set aside; nothing about a database is an error here.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn open(dir: &Path, options: Options) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (jobs, queue) = sync_channel(options.queue_max.max(1));
        let worker = Worker::new(dir.to_path_buf(), options, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || worker.run(&queue))?;
        Ok(Self {
            shared,
            jobs,
            worker: thread.thread().clone(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes what one apply (or several) made of the revisions `after + 1 ..= upto`. Never blocks:
    /// what does not fit the queue becomes a gap.
    pub fn record(&self, after: u64, upto: u64, events: Events) {
        assert!(after <= upto, "revisions {after} to {upto}");
        let recorded = Recorded {
            after,
            upto,
            events,
        };
        match self.jobs.try_send(Job::Record(recorded)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.shared.drop_upto(upto),
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// Events of one lock with revisions above `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The database has failed.
    pub fn of_lock(&self, lock: &LockName, after: u64, limit: usize) -> Result<Told, HistoryError> {
        let store = self.settled()?;
        let events = store
            .of_lock(lock, after, limit)
            .map_err(|error| self.failed(&error))?;
        Ok(Told {
            events,
            missing: self.missing(&store, Some(lock), after),
        })
    }

    /// All events with revisions above `revision`, oldest first, at most `limit`; the events of
    /// one revision are not separated, so there may be a few more.
    ///
    /// # Errors
    /// The database has failed.
    pub fn since(&self, revision: u64, limit: usize) -> Result<Told, HistoryError> {
        let store = self.settled()?;
        let events = store
            .since(revision, limit)
            .map_err(|error| self.failed(&error))?;
        Ok(Told {
            events,
            missing: self.missing(&store, None, revision),
        })
    }

    /// Everything that may be missing, what has been given up for its age included.
    ///
    /// # Errors
    /// The database has failed.
    pub fn gaps(&self) -> Result<Vec<Gap>, HistoryError> {
        let store = self.settled()?;
        Ok(self.missing(&store, None, 0))
    }

    /// Makes all that was recorded before durable, and answers the revision up to which it goes.
    /// To be called before the log that could make the events again is purged.
    ///
    /// # Errors
    /// The database has failed.
    pub fn sync(&self) -> Result<u64, HistoryError> {
        let store = self.settled()?;
        store.flush().map_err(|error| self.failed(&error))?;
        Ok(store.last())
    }

    /// Writes what is queued, makes it durable and ends the thread. A thread that the disk does
    /// not let go is left to the end of the process.
    pub fn close(&self) {
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        if let Err(error) = self.ask(Job::Close) {
            tracing::warn!(%error, "the history's thread is left behind");
        } else if thread.join().is_err() {
            tracing::warn!("the history's thread panicked when all was written");
        }
    }

    /// The database, when all that was recorded so far is in it.
    fn settled(&self) -> Result<Arc<Store>, HistoryError> {
        self.shared.not_failed()?;
        self.ask(Job::Settle)?;
        self.shared.store()
    }

    /// Has the thread do something, and waits until it has answered.
    fn ask(&self, job: fn(SyncSender<()>) -> Job) -> Result<(), HistoryError> {
        let (send, receive) = sync_channel(1);
        let mut job = job(send);
        let mut waited = Duration::ZERO;
        self.shared.hurry();
        loop {
            job = match self.jobs.try_send(job) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(HistoryError::closed()),
                Err(TrySendError::Full(_)) if waited >= ANSWERS_WITHIN => {
                    return Err(self.shared.hangs());
                }
                Err(TrySendError::Full(job)) => job,
            };
            std::thread::sleep(QUEUE_FULL_PAUSE);
            waited += QUEUE_FULL_PAUSE;
        }
        self.worker.unpark();
        match receive.recv_timeout(ANSWERS_WITHIN) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(HistoryError::closed()),
            Err(RecvTimeoutError::Timeout) => Err(self.shared.hangs()),
        }
    }

    fn failed(&self, error: &store::StoreError) -> HistoryError {
        self.shared.fail(error)
    }

    fn missing(&self, store: &Store, lock: Option<&LockName>, after: u64) -> Vec<Gap> {
        store.missing(lock, after, self.shared.dropped_upto())
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}
