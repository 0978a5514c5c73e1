//! A snapshot's way to a member that is further behind than the log reaches.
//!
//! The file travels as it is, over a stream of its own, and goes on where it was cut: the receiver
//! keeps what it has under the snapshot's name. Only when it is whole, checked and durable is it
//! installed; the reply says what the receiver made of it.

use std::time::Duration;

use bytes::Bytes;
use openraft::raft::SnapshotResponse;
use serde::{Deserialize, Serialize};

use super::applier::Raft;
use super::raft::{SnapshotMeta, Types, Vote};
use super::snapshot::{Snapshot, SnapshotStore};
use super::wire;
use crate::network::transfer::{self, Offer, Patience};
use crate::network::{Dialer, FrameStream, Target};
use crate::storage::offload::offload;
use crate::storage::snapshots::{IncomingSnapshot, SnapshotName};

/// For the next chunk to move.
const STEP_WITHIN: Duration = Duration::from_secs(10);

/// For the receiver to read the whole file and make it its machine.
const INSTALL_WITHIN: Duration = Duration::from_secs(120);

/// What is offered.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    vote: Vote,
    meta: SnapshotMeta,
    index: u64,
    id: String,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// Sends a snapshot and waits until it is installed.
pub(super) async fn send(
    dialer: &Dialer,
    target: &Target,
    vote: Vote,
    snapshot: openraft::alias::SnapshotOf<Types, Snapshot>,
) -> Result<SnapshotResponse<Types>, String> {
    let Snapshot { name, files } = snapshot.snapshot;
    let opened = {
        let name = name.clone();
        offload(move || files.read(&name)).await
    };
    let reader = opened.map_err(words)?.map_err(words)?;
    let mut file = reader.stream();
    let about = About {
        vote,
        meta: snapshot.meta,
        index: name.index,
        id: name.id().to_owned(),
    };
    let offer = Offer {
        bytes: reader.length().map_err(words)?,
        about: wire::encode(&about),
    };
    let patience = Patience {
        step: STEP_WITHIN,
        verdict: INSTALL_WITHIN,
    };
    let stream = dialer.stream(target, wire::SNAPSHOT).await;
    let mut stream = stream.map_err(words)?;
    tracing::info!(
        peer = target.id,
        index = name.index,
        bytes = offer.bytes,
        "sends a snapshot"
    );
    let verdict = transfer::send(&mut stream, &offer, &mut file, patience).await;
    wire::decode(&verdict.map_err(words)?)
}

/// Receives a snapshot from a leader and installs it.
pub(super) async fn receive(
    raft: &Raft,
    store: &SnapshotStore,
    mut stream: FrameStream,
) -> Result<(), String> {
    let offer = transfer::offered(&mut stream, STEP_WITHIN).await;
    let offer = offer.map_err(words)?;
    let installed = install(raft, store, &mut stream, &offer).await;
    let verdict: Result<Bytes, String> = match &installed {
        Ok(response) => Ok(wire::encode(response)),
        Err(why) => Err(why.clone()),
    };
    let concluded = transfer::conclude(&mut stream, verdict, STEP_WITHIN).await;
    installed.and(concluded.map_err(words))
}

async fn install(
    raft: &Raft,
    store: &SnapshotStore,
    stream: &mut FrameStream,
    offer: &Offer,
) -> Result<SnapshotResponse<Types>, String> {
    let About {
        vote,
        meta,
        index,
        id,
    } = wire::decode(&offer.about)?;
    let name = SnapshotName::parse(index, &id).map_err(words)?;
    let turn = store.receiving.try_acquire();
    let _turn = turn.map_err(|_| "another snapshot is being received")?;
    let known = store.current().is_some_and(|(_, known)| known.name == name);
    if !known {
        copy(store, stream, offer, &name).await?;
    }
    let files = store.files().clone();
    let snapshot = Snapshot { name, files };
    let snapshot = openraft::Snapshot { meta, snapshot };
    let installed = raft.install_full_snapshot(vote, snapshot).await;
    installed.map_err(words)
}

/// Brings the file here, from where it stopped if a part of it is here already.
async fn copy(
    store: &SnapshotStore,
    stream: &mut FrameStream,
    offer: &Offer,
    name: &SnapshotName,
) -> Result<(), String> {
    let mut incoming = begin(store, name).await?;
    if incoming.offset > offer.bytes {
        let given_up = offload(move || incoming.give_up()).await;
        given_up.map_err(words)?.map_err(words)?;
        incoming = begin(store, name).await?;
    }
    let mut file = incoming.stream();
    let offset = incoming.offset;
    let received = transfer::receive(stream, offer, offset, &mut file, STEP_WITHIN).await;
    received.map_err(words)?;
    let finished = offload(move || incoming.finish()).await;
    finished.map_err(words)?.map(drop).map_err(words)
}

async fn begin(store: &SnapshotStore, name: &SnapshotName) -> Result<IncomingSnapshot, String> {
    let files = store.files().clone();
    let name = name.clone();
    let begun = offload(move || files.receive(&name)).await;
    begun.map_err(words)?.map_err(words)
}
