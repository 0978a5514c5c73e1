//! What this node does for its peers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Role;
use super::applier::Raft;
use super::barrier::Barrier;
use super::desk::Run;
use super::dispatch::{Fate, Job};
use super::links::Links;
use super::membership::Changes;
use super::snapshot::SnapshotStore;
use super::wire::{self, Runs};
use super::{admission, snapshot_stream};
use crate::network::{Admission, Caller, FrameReceiver, FrameStream, Hello, Refusal, Serve};
use crate::watch;

/// Everything that a peer can ask for.
pub(super) struct Service {
    pub(super) raft: Raft,
    pub(super) links: Arc<Links>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) barrier: Arc<Barrier>,
    pub(super) changes: Changes,
    pub(super) snapshots: Arc<SnapshotStore>,
}

impl Service {
    async fn propose(&self, Runs(runs): Runs) -> Fate {
        if !self.role.borrow().leads {
            return Fate::Refused;
        }
        let runs = runs.into_iter();
        let runs = runs.map(|(origin, commands)| Run { origin, commands });
        let (reply, fate) = oneshot::channel();
        if self
            .jobs
            .send(Job::Runs(runs.collect(), reply))
            .await
            .is_err()
        {
            return Fate::Refused;
        }
        fate.await.unwrap_or(Fate::Unknown)
    }

    async fn read_point(&self) -> Option<wire::ReadPoint> {
        if !self.role.borrow().leads {
            return None;
        }
        self.barrier.point().await
    }

    /// The log stream of a leader. It ends with the first reply that is not a success: what the
    /// leader has sent after that is void.
    async fn append(&self, stream: FrameStream) {
        let (mut sender, receiver) = stream.split();
        let ended = CancellationToken::new();
        let _end = ended.clone().drop_guard();
        let requests = requests(receiver).take_until(ended.cancelled_owned());
        // Fused: the inner loop may be the one that sees the end, and the outer then asks again.
        let mut replies = std::pin::pin!(self.raft.stream_append(requests).fuse());
        while let Some(Ok(reply)) = replies.next().await {
            let mut last = reply.is_err();
            if sender.feed(reply_frame(&reply)).await.is_err() {
                return;
            }
            while !last && let Some(Some(Ok(reply))) = replies.next().now_or_never() {
                last = reply.is_err();
                if sender.feed(reply_frame(&reply)).await.is_err() {
                    return;
                }
            }
            if sender.flush().await.is_err() || last {
                return;
            }
        }
    }
}

fn reply_frame(
    reply: &openraft::raft::StreamAppendResult<super::raft::Types>,
) -> crate::network::Frame {
    crate::network::Frame::new(wire::APPEND, wire::encode(reply))
}

/// The requests on a log stream, until it closes or one cannot be read.
fn requests(
    receiver: FrameReceiver,
) -> impl futures_util::Stream<Item = openraft::raft::AppendEntriesRequest<super::raft::Types>> {
    stream::unfold(receiver, |mut receiver| async move {
        let frame = receiver.receive().await.ok()??;
        match wire::decode(&frame.body) {
            Ok(request) => Some((request, receiver)),
            Err(why) => {
                tracing::error!(%why, "a peer's log stream cannot be read");
                None
            }
        }
    })
}

/// A reply whose failure is told in words, for the caller can do nothing else with it.
fn reply<T: Serialize, E: ToString>(result: Result<T, E>) -> Bytes {
    wire::encode(&result.map_err(|error| error.to_string()))
}

impl Serve for Service {
    async fn call(&self, from: Caller, kind: u8, body: Bytes) -> Result<Bytes, String> {
        match kind {
            wire::VOTE => Ok(reply(self.raft.vote(wire::decode(&body)?).await)),
            wire::PRE_VOTE => Ok(reply(self.raft.pre_vote(wire::decode(&body)?).await)),
            wire::HEARTBEAT => Ok(reply(self.raft.append_entries(wire::decode(&body)?).await)),
            wire::TRANSFER => {
                let request = wire::decode(&body)?;
                Ok(reply(self.raft.handle_transfer_leader(request).await))
            }
            wire::PROPOSE => {
                self.links.attention(from.id).pay();
                Ok(wire::encode(&self.propose(wire::decode(&body)?).await))
            }
            wire::READ_POINT => {
                let point = self.read_point().await;
                self.links.attention(from.id).pay_once();
                Ok(wire::encode(&point))
            }
            wire::CHANGE => Ok(wire::encode(
                &self.changes.make_as_leader(wire::decode(&body)?).await,
            )),
            unknown => Err(format!("this node knows no call of the kind {unknown}")),
        }
    }

    async fn stream(&self, from: Caller, stream: FrameStream) {
        match from.number {
            wire::APPEND => self.append(stream).await,
            wire::SNAPSHOT => {
                let received = snapshot_stream::receive(&self.raft, &self.snapshots, stream).await;
                if let Err(why) = received {
                    tracing::warn!(peer = from.id, %why, "a snapshot did not arrive whole");
                }
            }
            unknown => tracing::warn!(peer = from.id, unknown, "a stream of an unknown kind"),
        }
    }
}

/// Who may connect. It is asked before openraft has started, too.
pub(super) struct Doorman {
    pub(super) links: Arc<Links>,
}

impl Admission for Doorman {
    fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        let member = self.links.member(hello.from);
        admission::judge(hello, member.as_ref())?;
        self.links.hint_reachable(hello.from);
        Ok(())
    }

    fn initialised(&self) -> bool {
        let membership = self.links.membership();
        membership.is_some_and(|membership| membership.membership().nodes().next().is_some())
    }
}
