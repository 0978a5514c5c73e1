//! Snapshots: whole states of the machine, as files that appear whole or not at all.
//!
//! The log behind a snapshot is deleted, so a snapshot that cannot be read is a lost node, and one
//! that is read wrongly is a wrong lock. A file is written under another name, synced, renamed and
//! its directory synced; every chunk in it carries a sum, and the end says how long it was. A
//! damaged one is reported by name: whether an older one will do depends on what the log still
//! has, which the floor above knows.
//!
//! ```text
//! 00000000000000004711-<id>.snapshot   whole
//! 00000000000000005000-<id>.writing    ours, unfinished: removed by the next open
//! 00000000000000005000-<id>.part       on its way from a peer: goes on where it stopped
//! ```
//! All calls block; async callers use `spawn_blocking`.

mod file;
mod incoming;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;

pub use self::file::{RawSnapshot, SnapshotReader, SnapshotWriter};
pub use self::incoming::IncomingSnapshot;

/// The most bytes that the id of a snapshot may have.
pub const ID_BYTES_MAX: usize = 128;

const WHOLE: &str = ".snapshot";
const WRITING: &str = ".writing";
const PART: &str = ".part";

/// Which snapshot: the index of the last entry in it, and an id that no other one has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// The last entry that it covers.
    pub index: u64,
    id: String,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The name is none.
    #[error("snapshot id {id:?}: at most {ID_BYTES_MAX} of A–Z a–z 0–9 . _ - are allowed")]
    Id {
        /// What was given.
        id: String,
    },
    /// It is not as it was written.
    #[error("snapshot {} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The disk failed.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The newest snapshot that is whole, and newer ones that are not.
#[derive(Debug, Default)]
pub struct Latest {
    /// Checked to its last byte.
    pub whole: Option<SnapshotReader>,
    /// Why each newer one could not be used.
    pub damaged: Vec<SnapshotError>,
}

/// The directory of snapshots.
#[derive(Clone, Debug)]
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl SnapshotName {
    /// A name from its parts.
    ///
    /// # Errors
    /// The id is empty, too long or not of letters, digits, `.`, `_` and `-`.
    pub fn parse(index: u64, id: &str) -> Result<Self, SnapshotError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(allowed) {
            return Err(SnapshotError::Id { id: id.to_owned() });
        }
        Ok(Self {
            index,
            id: id.to_owned(),
        })
    }

    /// The id that it was given.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn of_file(name: &str, ending: &str) -> Option<Self> {
        let (index, id) = name.strip_suffix(ending)?.split_once('-')?;
        Self::parse(index.parse().ok()?, id).ok()
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{}", self.index, self.id)
    }
}

impl Snapshots {
    /// The snapshots in this directory (made if absent); our own unfinished ones are removed.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, SnapshotError> {
        disk.create_dir(dir).map_err(failed("making", dir))?;
        for name in disk.list(dir).map_err(failed("listing", dir))? {
            if name.ends_with(WRITING) {
                let path = dir.join(name);
                disk.remove(&path).map_err(failed("removing", &path))?;
            }
        }
        Ok(Self {
            disk,
            dir: dir.to_path_buf(),
        })
    }

    /// The snapshots that have been finished, oldest first.
    ///
    /// # Errors
    /// The disk failed.
    pub fn list(&self) -> Result<Vec<SnapshotName>, SnapshotError> {
        self.list_ending(WHOLE)
    }

    /// Begins a snapshot, with bytes that say what it is (the caller's; at most 1 MiB).
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&self, name: &SnapshotName, meta: &[u8]) -> Result<SnapshotWriter, SnapshotError> {
        let path = self.path(name, WRITING);
        let file = self.disk.create(&path).map_err(failed("making", &path))?;
        SnapshotWriter::new(self.clone(), name.clone(), file, meta)
    }

    /// Opens one to stream it. Its head is checked now, each chunk when it is read.
    ///
    /// # Errors
    /// The disk failed or the head is damaged.
    pub fn read(&self, name: &SnapshotName) -> Result<SnapshotReader, SnapshotError> {
        let path = self.path(name, WHOLE);
        let file = self.disk.open(&path).map_err(failed("opening", &path))?;
        SnapshotReader::new(name.clone(), path, file)
    }

    /// The newest snapshot that is whole to its last byte, and what is wrong with newer ones.
    ///
    /// # Errors
    /// The disk failed.
    pub fn latest(&self) -> Result<Latest, SnapshotError> {
        let mut latest = Latest::default();
        for name in self.list()?.iter().rev() {
            match self
                .read(name)
                .and_then(|mut reader| reader.check().map(|()| reader))
            {
                Ok(reader) => {
                    latest.whole = Some(reader);
                    break;
                }
                Err(damaged @ SnapshotError::Damaged { .. }) => latest.damaged.push(damaged),
                Err(error) => return Err(error),
            }
        }
        Ok(latest)
    }

    /// Removes every snapshot older than this one, whole or partial.
    ///
    /// # Errors
    /// The disk failed; what is left is removed by the next call.
    pub fn remove_before(&self, name: &SnapshotName) -> Result<(), SnapshotError> {
        for ending in [WHOLE, PART] {
            for old in self.list_ending(ending)?.iter().filter(|old| *old < name) {
                let path = self.path(old, ending);
                self.disk.remove(&path).map_err(failed("removing", &path))?;
            }
        }
        self.sync()
    }

    /// Begins to receive a snapshot from a peer, or goes on with what is there of it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn receive(&self, name: &SnapshotName) -> Result<IncomingSnapshot, SnapshotError> {
        IncomingSnapshot::open(self.clone(), name.clone())
    }

    fn list_ending(&self, ending: &str) -> Result<Vec<SnapshotName>, SnapshotError> {
        let names = self
            .disk
            .list(&self.dir)
            .map_err(failed("listing", &self.dir))?;
        let mut found: Vec<_> = names
            .iter()
            .filter_map(|name| SnapshotName::of_file(name, ending))
            .collect();
        found.sort();
        Ok(found)
    }

    fn path(&self, name: &SnapshotName, ending: &str) -> PathBuf {
        self.dir.join(format!("{name}{ending}"))
    }

    fn sync(&self) -> Result<(), SnapshotError> {
        self.disk
            .sync_dir(&self.dir)
            .map_err(failed("syncing", &self.dir))
    }

    /// Gives a synced file its final name.
    fn publish(&self, name: &SnapshotName, ending: &str) -> Result<(), SnapshotError> {
        let from = self.path(name, ending);
        let to = self.path(name, WHOLE);
        self.disk
            .rename(&from, &to)
            .map_err(failed("naming", &to))?;
        self.sync()
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SnapshotError + 'a {
    move |source| SnapshotError::Io {
        doing,
        path: path.to_path_buf(),
        source,
    }
}
