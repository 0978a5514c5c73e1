//! A snapshot's way to a peer.

use openraft::raft::SnapshotResponse;

use super::applier::Raft;
use super::raft::{SnapshotMeta, Types, Vote};
use super::snapshot::{Snapshot, SnapshotStore};
use super::wire;
use crate::network::{Dialer, Frame, FrameStream, Target};

pub(super) async fn send(
    dialer: &Dialer,
    target: &Target,
    vote: Vote,
    snapshot: openraft::alias::SnapshotOf<Types, Snapshot>,
) -> Result<SnapshotResponse<Types>, String> {
    let mut stream = dialer
        .stream(target, wire::SNAPSHOT)
        .await
        .map_err(|e| e.to_string())?;
    let head = wire::encode(&(vote, snapshot.meta));
    stream
        .send(Frame::new(1, head))
        .await
        .map_err(|e| e.to_string())?;
    stream
        .send(Frame::new(2, snapshot.snapshot.bytes))
        .await
        .map_err(|e| e.to_string())?;
    let reply = stream.receive().await.map_err(|e| e.to_string())?;
    let reply: Result<SnapshotResponse<Types>, String> =
        wire::decode(&reply.ok_or("closed")?.body)?;
    reply
}

pub(super) async fn receive(
    raft: &Raft,
    _snapshots: &SnapshotStore,
    mut stream: FrameStream,
) -> Result<(), String> {
    let head = stream
        .receive()
        .await
        .map_err(|e| e.to_string())?
        .ok_or("closed")?;
    let (vote, meta): (Vote, SnapshotMeta) = wire::decode(&head.body)?;
    let body = stream
        .receive()
        .await
        .map_err(|e| e.to_string())?
        .ok_or("closed")?;
    let snapshot = Snapshot { bytes: body.body };
    let snapshot = openraft::Snapshot { meta, snapshot };
    let installed = raft.install_full_snapshot(vote, snapshot).await;
    let reply = wire::encode(&installed.map_err(|e| e.to_string()));
    stream
        .send(Frame::new(1, reply))
        .await
        .map_err(|e| e.to_string())
}
