//! Work on the log's files that no commit should wait for: filling the next one with zeros, and
//! deleting the old ones.
//!
//! Both run in a thread of their own. A spare that is not ready when it is wanted is not waited
//! for: a segment that was not filled before is slower to sync, not less safe, and it is left
//! early, as soon as there is a spare. So a new log opens at once. Segments are
//! deleted oldest first, the directory synced after each, so that a crash never leaves a hole.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::segment::{self, Segment};
use crate::storage::disk::{self, Disk, DiskFile};

/// Where segments come from and go to.
#[derive(Debug)]
pub(super) struct Upkeep {
    files: Files,
    /// `None`: everything is done where it is asked for.
    background: Option<Background>,
}

/// A file that may become a segment.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) file: Arc<dyn DiskFile>,
    /// Its name until then.
    pub(super) path: PathBuf,
    /// How long it is, full of zeros; 0 if it is empty.
    pub(super) filled: u64,
}

#[derive(Clone, Debug)]
struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    spare: Arc<Mutex<Spare>>,
    stopping: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
enum Spare {
    #[default]
    None,
    Asked,
    Ready(Arc<dyn DiskFile>),
}

#[derive(Debug)]
struct Background {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Job {
    Prepare,
    Delete(Arc<Segment>),
}

/// Jobs that may wait; what does not fit is asked for again later.
const JOBS_MAX: usize = 64;

impl Upkeep {
    /// Does everything at once, in the caller: no spare files, no thread. For tests, which want
    /// the same operations in the same order each time.
    pub(super) fn inline(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        let files = Files::new(disk, dir, 0);
        Self {
            files,
            background: None,
        }
    }

    /// Begins the thread.
    pub(super) fn start(disk: Arc<dyn Disk>, dir: PathBuf, segment_bytes: u64) -> io::Result<Self> {
        let files = Files::new(disk, dir, segment_bytes);
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let worker = files.clone();
        let thread = std::thread::Builder::new()
            .name("wal-upkeep".to_owned())
            .spawn(move || worker.work(&queue))?;
        Ok(Self {
            files,
            background: Some(Background { jobs, thread }),
        })
    }

    /// Asks for a spare, unless there is one or it is being made.
    pub(super) fn prepare(&self) {
        let Some(background) = &self.background else {
            return;
        };
        let mut spare = self.files.spare.lock();
        if matches!(*spare, Spare::None) && background.jobs.try_send(Job::Prepare).is_ok() {
            *spare = Spare::Asked;
        }
    }

    /// Whether there is a spare.
    pub(super) fn is_ready(&self) -> bool {
        matches!(*self.files.spare.lock(), Spare::Ready(_))
    }

    /// A new file for a segment: the spare if there is one.
    pub(super) fn take(&self) -> io::Result<NewFile> {
        let mut spare = self.files.spare.lock();
        if let Spare::Ready(file) = &*spare {
            let file = Arc::clone(file);
            *spare = Spare::None;
            return Ok(NewFile {
                file,
                path: self.files.spare_path(),
                filled: self.files.segment_bytes,
            });
        }
        drop(spare);
        let path = segment::unfinished(&self.files.dir, "segment");
        Ok(NewFile {
            file: self.files.disk.create(&path)?,
            path,
            filled: 0,
        })
    }

    /// Deletes the segment in a while; `false` if it has to be asked again later.
    pub(super) fn delete(&self, segment: &Arc<Segment>) -> bool {
        match &self.background {
            None => self.files.delete(segment),
            Some(background) => background
                .jobs
                .try_send(Job::Delete(Arc::clone(segment)))
                .is_ok(),
        }
    }

    /// Ends the thread: purged segments are deleted, a spare that is being filled is given up.
    pub(super) fn stop(self) {
        self.files.stopping.store(true, Ordering::Relaxed);
        if let Some(Background { jobs, thread }) = self.background {
            drop(jobs);
            if thread.join().is_err() {
                tracing::warn!("the thread that keeps the log's files panicked");
            }
        }
    }
}

impl Files {
    fn new(disk: Arc<dyn Disk>, dir: PathBuf, segment_bytes: u64) -> Self {
        Self {
            disk,
            dir,
            segment_bytes,
            spare: Arc::default(),
            stopping: Arc::default(),
        }
    }

    fn work(&self, queue: &Receiver<Job>) {
        let mut deletes = true;
        while let Ok(job) = queue.recv() {
            match job {
                Job::Prepare => self.prepare(),
                // After one failure none is tried: a hole among the segments would be damage.
                Job::Delete(segment) => deletes = deletes && self.delete(&segment),
            }
        }
    }

    fn spare_path(&self) -> PathBuf {
        segment::unfinished(&self.dir, "spare")
    }

    fn prepare(&self) {
        let path = self.spare_path();
        let wanted = || !self.stopping.load(Ordering::Relaxed);
        let made = self.disk.create(&path).and_then(|file| {
            Ok(disk::zero_fill(&*file, self.segment_bytes, wanted)?.then_some(file))
        });
        let ready = made.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "no spare segment could be made");
            None
        });
        if ready.is_none()
            && let Err(error) = self.disk.remove(&path)
        {
            tracing::warn!(path = %path.display(), %error, "an unfinished spare segment stays");
        }
        *self.spare.lock() = ready.map_or(Spare::None, Spare::Ready);
    }

    fn delete(&self, segment: &Segment) -> bool {
        let removed = self
            .disk
            .remove(&segment.path)
            .and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(error) = &removed {
            let path = segment.path.display();
            tracing::warn!(%path, %error, "a purged segment could not be deleted");
        }
        removed.is_ok()
    }
}
