//! The history's thread: opens the database, writes rows, and notices when it must be given up.
//!
//! sled answers some damage with an error and some with a panic, and in a release build a panic
//! ends the process. So a file beside the database counts the openings that did not end: the
//! third start sets the database aside instead of dying again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::Duration;

use lockring_core::Event;
use parking_lot::Mutex;

use super::store::{Store, StoreError};
use super::{Events, HistoryError, Options};

/// Events that are gathered into one row.
const ROW_EVENTS: usize = 512;
/// Applies are gathered for so long before they are looked at, unless somebody asks; and a row
/// that grows no more is written after another such pause.
const PAUSE: Duration = Duration::from_millis(50);
/// Rows after which the database is made durable.
const ROWS_PER_FLUSH: u64 = 64;
/// Openings that may end with the process before the database is set aside.
const UNFINISHED_OPENINGS_MAX: u32 = 2;
/// Ends the name of a database that was set aside, before its number.
const SET_ASIDE: &str = "damaged-";
/// Damaged databases that are kept for somebody to look at.
const SET_ASIDE_MAX: u32 = 3;

/// What one or several applies made.
pub(super) struct Recorded {
    pub(super) after: u64,
    pub(super) upto: u64,
    pub(super) events: Events,
}

pub(super) enum Job {
    Record(Recorded),
    /// Answer when all before is written.
    Settle(SyncSender<()>),
    /// The same, for good.
    Close(SyncSender<()>),
}

/// What the thread and its callers share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    dropped_upto: AtomicU64,
    /// Whether somebody waits for the thread. Waking it is not enough: it may be on its way to
    /// its pause, and a wake-up that comes right after another is lost in it.
    hurried: AtomicBool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Opening,
    Open(Arc<Store>),
    Failed(HistoryError, Damage),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    OfTheDatabase,
    OfTheDisk,
}

impl Shared {
    pub(super) fn store(&self) -> Result<Arc<Store>, HistoryError> {
        match &*self.state.lock() {
            State::Open(store) => Ok(Arc::clone(store)),
            State::Failed(error, _) => Err(error.clone()),
            State::Opening => Err(HistoryError("it is not open yet".to_owned())),
        }
    }

    /// # Errors
    /// The database has been given up.
    pub(super) fn not_failed(&self) -> Result<(), HistoryError> {
        match &*self.state.lock() {
            State::Failed(error, _) => Err(error.clone()),
            State::Opening | State::Open(_) => Ok(()),
        }
    }

    /// Gives the database up; the next start sets it aside if it is damaged.
    pub(super) fn fail(&self, error: &StoreError) -> HistoryError {
        tracing::warn!(%error, "the event history has failed and records no more");
        let told = HistoryError(error.to_string());
        let damage = if error.is_damage() {
            Damage::OfTheDatabase
        } else {
            Damage::OfTheDisk
        };
        self.give_up(told, damage)
    }

    /// Gives the database up because its thread does not answer.
    pub(super) fn hangs(&self) -> HistoryError {
        tracing::warn!("the event history does not answer and records no more");
        self.give_up(
            HistoryError("the disk does not answer".to_owned()),
            Damage::OfTheDisk,
        )
    }

    fn give_up(&self, told: HistoryError, damage: Damage) -> HistoryError {
        let now = State::Failed(told.clone(), damage);
        let before = std::mem::replace(&mut *self.state.lock(), now);
        if let State::Open(store) = before {
            // sled flushes when it is dropped, and after a failure it waits in there for ever: so
            // it is not dropped. What is left behind, once, ends with the process.
            std::mem::forget(store);
        }
        told
    }

    /// To be called before a job that somebody waits for is sent.
    pub(super) fn hurry(&self) {
        self.hurried.store(true, Relaxed);
    }

    pub(super) fn drop_upto(&self, upto: u64) {
        self.dropped_upto.fetch_max(upto, Relaxed);
    }

    pub(super) fn dropped_upto(&self) -> u64 {
        self.dropped_upto.load(Relaxed)
    }
}

pub(super) struct Worker {
    dir: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    waiting: Vec<Recorded>,
    waiting_events: usize,
    rows: u64,
}

impl Worker {
    pub(super) fn new(dir: PathBuf, options: Options, shared: Arc<Shared>) -> Self {
        Self {
            dir,
            options,
            shared,
            waiting: Vec::new(),
            waiting_events: 0,
            rows: 0,
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        match open(&self.dir, self.options) {
            Ok(store) => *self.shared.state.lock() = State::Open(Arc::new(store)),
            Err(error) => drop(self.shared.fail(&error)),
        }
        let done = loop {
            let job = if self.waiting.is_empty() {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.next_within_pause(queue)
            };
            match job {
                Ok(Job::Record(recorded)) => {
                    self.waiting_events += (*recorded.events).as_ref().len();
                    self.waiting.push(recorded);
                    if self.waiting_events >= ROW_EVENTS || self.waiting.len() >= ROW_EVENTS {
                        self.write();
                    }
                }
                Ok(Job::Settle(done)) => {
                    self.write();
                    // Who asked may have gone.
                    let _gone = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.write(),
                Ok(Job::Close(done)) => break Some(done),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        self.write();
        self.end();
        // Who asked may have gone.
        let _gone = done.map(|done| done.send(()));
    }

    /// The next job, if one is there or comes within a pause. Applies that come meanwhile wake
    /// nobody: a wake-up each would cost them more than all the rest of their history.
    fn next_within_pause(&self, queue: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        match queue.try_recv() {
            Ok(job) => return Ok(job),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        if !self.shared.hurried.swap(false, Relaxed) {
            std::thread::park_timeout(PAUSE);
        }
        queue.try_recv().map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Writes what waits: one row, or one for each stretch without a gap.
    fn write(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_events = 0;
        let Ok(store) = self.shared.store() else {
            return;
        };
        for stretch in waiting.chunk_by(|before, after| before.upto == after.after) {
            let events: Vec<&Event> = stretch
                .iter()
                .flat_map(|recorded| (*recorded.events).as_ref())
                .collect();
            let after = stretch[0].after;
            let upto = stretch[stretch.len() - 1].upto;
            self.rows += 1;
            let mut written = store.write(after, upto, &events);
            if self.rows.is_multiple_of(ROWS_PER_FLUSH) {
                written = written.and_then(|()| store.flush());
            }
            if let Err(error) = written {
                self.shared.fail(&error);
                return;
            }
        }
    }

    fn end(self) {
        if let Ok(store) = self.shared.store()
            && let Err(error) = store.flush()
        {
            self.shared.fail(&error);
        }
        let state = std::mem::replace(
            &mut *self.shared.state.lock(),
            State::Failed(HistoryError::closed(), Damage::OfTheDisk),
        );
        if let State::Failed(_, Damage::OfTheDatabase) = state {
            drop(state);
            if let Err(error) = set_aside(&self.dir) {
                tracing::warn!(%error, "the damaged event history could not be set aside");
            }
        }
    }
}

/// Opens the database, or sets a damaged one aside and makes an empty one.
fn open(dir: &Path, options: Options) -> Result<Store, StoreError> {
    let counter = beside(dir, "opening");
    let unfinished = std::fs::read_to_string(&counter)
        .ok()
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0_u32);
    if unfinished >= UNFINISHED_OPENINGS_MAX {
        tracing::warn!(
            unfinished,
            "opening the event history has ended the process before"
        );
        set_aside(dir)?;
    }
    std::fs::write(&counter, (unfinished + 1).to_string())?;
    let opened = match Store::open(dir, options) {
        Err(error) if error.is_damage() => {
            tracing::warn!(%error, "the event history is damaged and begins anew");
            set_aside(dir)?;
            Store::open(dir, options)
        }
        opened => opened,
    };
    std::fs::remove_file(&counter)?;
    opened
}

/// Renames the database, so that an empty one takes its place; only the newest few are kept.
fn set_aside(dir: &Path) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let number = 1 + set_aside_before(dir)?.into_iter().max().unwrap_or(0);
    let named = |number: u32| beside(dir, &format!("{SET_ASIDE}{number}"));
    std::fs::rename(dir, named(number))?;
    tracing::warn!(path = %named(number).display(), "the damaged event history was set aside");
    for old in set_aside_before(dir)?
        .into_iter()
        .filter(|old| old + SET_ASIDE_MAX <= number)
    {
        std::fs::remove_dir_all(named(old))?;
    }
    Ok(())
}

/// The numbers of the databases that were set aside and are still there.
fn set_aside_before(dir: &Path) -> io::Result<Vec<u32>> {
    let prefix = beside(dir, SET_ASIDE);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(prefix.parent().unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let number = path
            .to_str()
            .and_then(|path| path.strip_prefix(prefix.to_str()?));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    Ok(numbers)
}

fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    PathBuf::from(path)
}
