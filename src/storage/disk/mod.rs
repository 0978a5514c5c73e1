//! The disk as storage sees it: the few calls whose failure or loss the floors above must survive.
//!
//! Everything durable goes through [`Disk`], so that a test can run the same code on a disk that
//! loses what was not synced, tears a write in the middle, is full, or fails one flush. The trait
//! promises no more than POSIX does: a write is safe only after [`DiskFile::sync_data`] returned
//! `Ok`, a name (created, renamed, removed) only after [`Disk::sync_dir`] did, and after a failed
//! sync nothing is known about what was written before it.

mod faulty;
mod real;
mod stream;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use faulty::{FaultDisk, Operation, Tear};
pub use real::RealDisk;
pub use stream::DiskStream;

/// A file system, or something that behaves as badly as one.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory and those above it, if absent, and makes them durable.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names of the files in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file for reading and writing; one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of one that has it already.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away; an open file can still be read.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer from an offset as far as the file goes; answers how many bytes it gave.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all the bytes at an offset; the file grows if it must, with zeros in a gap.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable, and the length if it changed (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
}

/// How much zero-filling is written between two syncs, so that it never floods the device in
/// front of a commit.
const ZERO_BYTES_PER_SYNC: usize = 4 << 20;

/// Fills a new file with `bytes` zeros and makes them durable, as long as `wanted`; answers
/// whether it is full.
///
/// Writing zeros, not `fallocate`: allocated but unwritten extents are converted by the first
/// write into them, and each `fdatasync` then waits for the file system's journal as well.
pub(crate) fn zero_fill(
    file: &dyn DiskFile,
    bytes: u64,
    wanted: impl Fn() -> bool,
) -> io::Result<bool> {
    let zeros = vec![0_u8; ZERO_BYTES_PER_SYNC];
    let mut at = 0;
    while at < bytes {
        if !wanted() {
            return Ok(false);
        }
        let step = (bytes - at).min(ZERO_BYTES_PER_SYNC as u64);
        file.write_at(
            &zeros[..usize::try_from(step).expect("at most the buffer")],
            at,
        )?;
        file.sync_data()?;
        at += step;
    }
    Ok(true)
}

/// Fills the whole buffer or fails with `UnexpectedEof`.
pub(crate) fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    if file.read_at(buffer, offset)? == buffer.len() {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file ends before {} bytes at {offset}", buffer.len()),
        ))
    }
}

/// The whole of a file.
pub(crate) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}
