//! Snapshots of the machine, in memory. None is taken by itself yet, so the log is never purged.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use lockring_core::{Frozen, Machine};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use super::raft::SnapshotMeta;

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) bytes: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct SnapshotStore {
    current: Mutex<Option<(SnapshotMeta, Snapshot)>>,
}

impl SnapshotStore {
    pub(super) fn current(&self) -> Option<(SnapshotMeta, Snapshot)> {
        self.current.lock().clone()
    }

    pub(super) async fn write(
        self: &Arc<Self>,
        meta: SnapshotMeta,
        frozen: Frozen,
    ) -> io::Result<Snapshot> {
        let bytes = spawn_blocking(move || {
            let mut bytes = Vec::new();
            frozen.encode(&mut |chunk| bytes.extend_from_slice(chunk));
            bytes
        });
        let bytes = bytes.await.map_err(io::Error::other)?.into();
        let snapshot = Snapshot { bytes };
        *self.current.lock() = Some((meta, snapshot.clone()));
        Ok(snapshot)
    }

    pub(super) async fn install(
        self: &Arc<Self>,
        meta: SnapshotMeta,
        snapshot: Snapshot,
    ) -> io::Result<Machine> {
        let bytes = snapshot.bytes.clone();
        let machine = spawn_blocking(move || Machine::thaw(&bytes)).await;
        let machine = machine
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        *self.current.lock() = Some((meta, snapshot));
        Ok(machine)
    }
}
