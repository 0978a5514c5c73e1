//! One process at a time in a data directory.
//!
//! Two processes with one identity and one log would each promise what the other does not know.
//! The kernel's lock on a file ends with the process however it ends, so none is ever stale; the
//! number in the file only says whom to look for.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The file's name in the data directory.
const NAME: &str = "LOCK";

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why the directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("data directory {} is in use by process {pid}", dir.display())]
    InUse {
        /// Which directory.
        dir: PathBuf,
        /// What the other process wrote: its number.
        pid: String,
    },
    /// The directory is not there and cannot be made.
    #[error("data directory {} cannot be made: {source}", dir.display())]
    Absent {
        /// Which directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The lock file cannot be used.
    #[error("locking {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the directory (made if absent) for this process.
    ///
    /// # Errors
    /// [`LockError::InUse`] with the owner's process number, or the file cannot be used.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(NAME);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(|source| LockError::Absent {
            dir: dir.to_path_buf(),
            source,
        })?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(failed)?;
                let pid = if pid.trim().is_empty() {
                    "unknown"
                } else {
                    pid.trim()
                };
                return Err(LockError::InUse {
                    dir: dir.to_path_buf(),
                    pid: pid.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("data");
        let first = DirectoryLock::acquire(&inside).unwrap();
        let error = DirectoryLock::acquire(&inside).unwrap_err().to_string();
        let expected = format!("is in use by process {}", std::process::id());
        assert!(error.ends_with(&expected), "{error}");
        drop(first);
        DirectoryLock::acquire(&inside).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DirectoryLock::acquire(&file.path().join("data")).unwrap_err();
        assert!(matches!(&error, LockError::Absent { .. }), "{error}");
        assert!(error.to_string().contains("data"), "{error}");
    }
}
