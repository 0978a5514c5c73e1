//! A snapshot on its way from a peer.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::file::SnapshotReader;
use super::{PART, SnapshotError, SnapshotName, Snapshots, failed};
use crate::storage::disk::{DiskFile, DiskStream};

/// After so many bytes the file is synced, so that the last sync does not hold up the log's.
const BYTES_PER_SYNC: u64 = 8 << 20;

/// The bytes of a peer's snapshot file, as far as they have come.
///
/// Dropped unfinished it stays, and the next [`Snapshots::receive`] of the same name goes on where
/// it stopped. What a crash left of it may be wrong; then [`IncomingSnapshot::finish`] finds that,
/// and the transfer begins anew.
#[derive(Debug)]
pub struct IncomingSnapshot {
    /// How many bytes are there: the offset of the next one.
    pub offset: u64,
    /// The unfinished file.
    pub path: PathBuf,
    snapshots: Snapshots,
    name: SnapshotName,
    file: Arc<dyn DiskFile>,
    synced: u64,
}

impl IncomingSnapshot {
    pub(super) fn open(snapshots: Snapshots, name: SnapshotName) -> Result<Self, SnapshotError> {
        let path = snapshots.path(&name, PART);
        let file = match snapshots.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => snapshots.disk.create(&path),
            opened => opened,
        };
        let file = file.map_err(failed("opening", &path))?;
        let offset = file.length().map_err(failed("reading", &path))?;
        Ok(Self {
            offset,
            path,
            snapshots,
            name,
            file,
            synced: offset,
        })
    }

    /// Where the bytes go that come next.
    #[must_use]
    pub fn stream(&self) -> DiskStream {
        DiskStream::new(Arc::clone(&self.file), self.offset)
    }

    /// Makes it a snapshot, after reading all of it. A damaged one is removed and reported.
    ///
    /// # Errors
    /// It is damaged or not whole, or the disk failed.
    pub fn finish(self) -> Result<SnapshotReader, SnapshotError> {
        let file = Arc::clone(&self.file);
        let checked = SnapshotReader::new(self.name.clone(), self.path.clone(), file)
            .and_then(|mut reader| reader.check());
        if let Err(error) = checked {
            if matches!(error, SnapshotError::Damaged { .. }) {
                self.give_up()?;
            }
            return Err(error);
        }
        self.file
            .sync_data()
            .map_err(failed("syncing", &self.path))?;
        self.snapshots.publish(&self.name, PART)?;
        self.snapshots.read(&self.name)
    }

    /// Removes what has come.
    ///
    /// # Errors
    /// The disk failed.
    pub fn give_up(self) -> Result<(), SnapshotError> {
        self.snapshots
            .disk
            .remove(&self.path)
            .map_err(failed("removing", &self.path))
    }
}

impl Write for IncomingSnapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        if self.offset - self.synced >= BYTES_PER_SYNC {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = self.offset;
        Ok(())
    }
}
