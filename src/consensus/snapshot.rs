//! The machine as a file: taken from a frozen view, or received from a leader, and read back.
//!
//! The file's meta bytes are openraft's: the last log entry in it, and the members at that point.
//! Its payload is the machine's own encoding. One snapshot counts, the newest; older ones are
//! removed when it is safely there. All the work is done on blocking threads.

use std::io;
use std::sync::Arc;

use lockring_core::{Frozen, Machine};
use parking_lot::Mutex;

use super::raft::SnapshotMeta;
use super::wire;
use crate::chance;
use crate::storage::offload::offload;
use crate::storage::snapshots::{SnapshotError, SnapshotName, SnapshotReader, Snapshots};

/// A snapshot that is whole and durable: its name, and the directory where it lies.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) name: SnapshotName,
    pub(super) files: Snapshots,
}

/// The snapshots of this node.
#[derive(Debug)]
pub(super) struct SnapshotStore {
    files: Snapshots,
    current: Mutex<Option<(SnapshotMeta, Snapshot)>>,
    /// Taken while a snapshot is being received: there is one leader, so there is one at a time.
    pub(super) receiving: Arc<tokio::sync::Semaphore>,
}

fn failed(error: SnapshotError) -> io::Error {
    io::Error::other(error)
}

impl SnapshotStore {
    /// Finds the newest snapshot that is whole. Blocks: it reads all of it.
    pub(super) fn open(files: Snapshots) -> io::Result<Self> {
        let latest = files.latest().map_err(failed)?;
        for damaged in &latest.damaged {
            tracing::error!(%damaged, "a snapshot cannot be used; an older one may do");
        }
        let current = match &latest.whole {
            Some(reader) => Some(describe(reader, &files)?),
            None => None,
        };
        Ok(Self {
            files,
            current: Mutex::new(current),
            receiving: Arc::new(tokio::sync::Semaphore::new(1)),
        })
    }

    pub(super) fn files(&self) -> &Snapshots {
        &self.files
    }

    pub(super) fn current(&self) -> Option<(SnapshotMeta, Snapshot)> {
        self.current.lock().clone()
    }

    /// Writes a frozen machine.
    pub(super) async fn write(&self, meta: SnapshotMeta, frozen: Frozen) -> io::Result<Snapshot> {
        let index = meta.last_log_id.map_or(0, |last| last.index);
        let id = format!("{:016x}", chance::draw::<u64>());
        let name = SnapshotName::parse(index, &id).map_err(failed)?;
        let files = self.files.clone();
        let meta_bytes = wire::encode(&meta);
        let written = offload(move || {
            let mut writer = files.write(&name, &meta_bytes)?;
            let mut result = Ok(());
            frozen.encode(&mut |bytes| {
                if result.is_ok() {
                    result = writer.write(bytes);
                }
            });
            result?;
            writer.finish()
        });
        let name = written.await?.map_err(failed)?;
        let files = self.files.clone();
        let snapshot = Snapshot { name, files };
        self.set_current(meta, snapshot.clone()).await?;
        Ok(snapshot)
    }

    /// The machine that a snapshot holds; the snapshot is the one that counts from now on.
    pub(super) async fn install(
        &self,
        meta: SnapshotMeta,
        snapshot: Snapshot,
    ) -> io::Result<Machine> {
        let Snapshot { name, files } = snapshot.clone();
        let thawed = offload(move || {
            let mut reader = files.read(&name).map_err(failed)?;
            let mut bytes = Vec::new();
            while let Some(chunk) = reader.next_chunk().map_err(failed)? {
                bytes.extend_from_slice(&chunk);
            }
            Machine::thaw(&bytes).map_err(io::Error::other)
        });
        let machine = thawed.await??;
        self.set_current(meta, snapshot).await?;
        Ok(machine)
    }

    async fn set_current(&self, meta: SnapshotMeta, snapshot: Snapshot) -> io::Result<()> {
        let name = {
            let mut current = self.current.lock();
            // A snapshot that was begun before another was installed may end after it.
            if let Some((newest, _)) = &*current
                && newest.last_log_id > meta.last_log_id
            {
                return Ok(());
            }
            let name = snapshot.name.clone();
            *current = Some((meta, snapshot));
            name
        };
        let files = self.files.clone();
        let removed = offload(move || files.remove_before(&name));
        removed.await?.map_err(failed)
    }
}

fn describe(reader: &SnapshotReader, files: &Snapshots) -> io::Result<(SnapshotMeta, Snapshot)> {
    let meta = wire::decode(&reader.meta).map_err(|why| {
        let what = format!("what snapshot {} covers: {why}", reader.path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    let name = reader.name.clone();
    let files = files.clone();
    Ok((meta, Snapshot { name, files }))
}
