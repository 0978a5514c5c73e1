//! openraft's way to the other nodes.
//!
//! Each peer has three ways that never wait for each other: votes and heartbeats are calls on a
//! connection of their own, the log is a stream of its own, and a snapshot opens one more for as
//! long as it takes. So neither a full log stream nor a large snapshot can hold up the heartbeat
//! that keeps the leader in office.
//!
//! The log stream is pipelined: entries go out as they come, replies come back in their order.
//! There is no task between openraft's replication and the socket. A stream that went wrong in any
//! way is closed, because replies still in flight on it would be taken for those of the next.
//!
//! **A peer that is down** is dialed by its connection for calls alone, after growing pauses that
//! a sign of life cuts short. The log waits until that connection is up and then follows at once;
//! openraft, which would try again without end, is held up meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use lockring_core::NodeId;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, stream_append_sequential, v2::RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::links::{Links, target};
use super::pace::Pace;
use super::raft::{Member, Types, Vote};
use super::snapshot::Snapshot;
use super::{snapshot_stream, wire};
use crate::network::{CallError, Calls, Frame, FrameStream, Link, Target};
use crate::watch;

/// Requests on a log stream that are not answered yet. Their replies are small enough for the
/// sockets' buffers, so that writer and reader can never wait for each other.
const IN_FLIGHT_MAX: usize = 64;

/// How long a log stream to a peer that is down waits for it, before openraft is told.
const DOWN_WAIT_MAX: Duration = Duration::from_millis(250);

/// How long openraft waits before it tries a log stream again.
const LOG_PAUSE: Duration = Duration::from_millis(25);

/// A log stream with requests in flight and no reply for this long is given up.
const SILENT_MAX: Duration = Duration::from_secs(3);

type Appended = Result<StreamAppendResult<Types>, RPCError<Types>>;

/// Makes openraft's clients.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) links: Arc<Links>,
    /// The index after the log's last.
    pub(super) log_end: watch::Receiver<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Log,
    Control,
}

/// openraft's client for one peer.
pub(super) struct Peer {
    links: Arc<Links>,
    target: Target,
    lane: Lane,
    control: Calls,
    /// A log stream with nothing in flight. Never locked: a mutex makes it shareable, which
    /// openraft demands and does not use.
    idle: Mutex<Option<FrameStream>>,
    log_end: watch::Receiver<u64>,
}

impl Peers {
    fn peer(&self, id: NodeId, member: &Member, lane: Lane) -> Peer {
        Peer {
            links: Arc::clone(&self.links),
            target: target(id, member),
            lane,
            control: self.links.calls(id, member, wire::CONTROL),
            idle: Mutex::new(None),
            log_end: self.log_end.clone(),
        }
    }
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, id: NodeId, member: &Member) -> Peer {
        self.peer(id, member, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, id: NodeId, member: &Member) -> Peer {
        self.peer(id, member, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, id: NodeId, member: &Member) -> Peer {
        self.peer(id, member, Lane::Control)
    }
}

impl Peer {
    async fn control<Q: Serialize, R: for<'a> Deserialize<'a>>(
        &self,
        kind: u8,
        request: Q,
        option: RPCOption,
    ) -> Result<R, RPCError<Types>> {
        let body = wire::encode(&request);
        let reply = self.control.call(kind, body, option.hard_ttl()).await;
        let reply = reply.map_err(rpc_error)?;
        let reply: Result<R, String> = wire::decode(&reply).and_then(|reply| reply);
        reply.map_err(|why| RPCError::Network(NetworkError::from_string(why)))
    }

    /// Opens a log stream, as soon as the peer can be called.
    async fn dial(&self) -> Result<FrameStream, CallError> {
        let mut link = self.control.link();
        let up = link.wait_for(|link| matches!(link, Link::Up(_)));
        if timeout(DOWN_WAIT_MAX, up).await.is_err() {
            let why = "the peer cannot be called either".into();
            return Err(CallError::Unreachable { why });
        }
        self.links.dialer().stream(&self.target, wire::APPEND).await
    }

    fn replies<'s, S>(&'s mut self, stream: FrameStream, input: S) -> BoxStream<'s, Appended>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let pipeline = Pipeline {
            pace: Pace::new(self.log_end.clone(), self.links.attention(self.target.id)),
            input: Some(input),
            stream: Some(stream),
            in_flight: 0,
            idle: self.idle.get_mut(),
        };
        stream::unfold(pipeline, Pipeline::next).boxed()
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Snapshot;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.control(wire::HEARTBEAT, request, option).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Appended>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        if self.lane == Lane::Control {
            return stream_append_sequential(self, input, option);
        }
        Box::pin(async move {
            let stream = self.idle.get_mut().take();
            if let Some(stream) = stream {
                return Ok(self.replies(stream, input));
            }
            // openraft's pause after a failure is in its input: it is over when an item comes.
            let mut input = input;
            let Some(first) = input.next().await else {
                return Ok(stream::empty().boxed());
            };
            let stream = self.dial().await.map_err(rpc_error)?;
            let input = stream::iter([first]).chain(input);
            Ok(self.replies(stream, input))
        })
    }

    /// Short where the log waits for the peer anyway, so that it follows at once when it is back;
    /// as configured where a snapshot is sent.
    fn backoff(&self) -> Option<Backoff> {
        match self.lane {
            Lane::Log => Some(Backoff::new(std::iter::repeat(LOG_PAUSE))),
            Lane::Control => None,
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.control(wire::VOTE, request, option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.control(wire::PRE_VOTE, request, option).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.control(wire::TRANSFER, request, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<Types, Snapshot>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sent = snapshot_stream::send(self.links.dialer(), &self.target, vote, snapshot);
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sent => sent.map_err(|why| {
                StreamingError::Unreachable(Unreachable::from_string(why))
            }),
        }
    }
}

/// A peer that cannot be reached is left alone for a while, any other trouble is tried again.
fn rpc_error(error: CallError) -> RPCError<Types> {
    match error {
        CallError::Unreachable { .. } | CallError::Refused(_) | CallError::Lost { .. } => {
            RPCError::Unreachable(Unreachable::from_string(error))
        }
        CallError::TimedOut | CallError::TooLong { .. } | CallError::Remote(_) => {
            RPCError::Network(NetworkError::from_string(error))
        }
    }
}

/// A log stream at work.
struct Pipeline<'s, S> {
    /// What openraft wants to send; nothing once it has ended.
    input: Option<S>,
    pace: Pace,
    /// Nothing once something went wrong on it.
    stream: Option<FrameStream>,
    in_flight: usize,
    /// Where a stream goes that has answered everything.
    idle: &'s mut Option<FrameStream>,
}

impl<S: Stream<Item = AppendEntriesRequest<Types>> + Unpin> Pipeline<'_, S> {
    async fn next(mut self) -> Option<(Appended, Self)> {
        let mut stream = self.stream.take()?;
        loop {
            if self.input.is_none() && self.in_flight == 0 {
                *self.idle = Some(stream);
                return None;
            }
            let more = self.in_flight < IN_FLIGHT_MAX;
            let FrameStream { sender, receiver } = &mut stream;
            tokio::select! {
                biased;
                frame = receive(receiver, self.in_flight > 0) => {
                    let appended = frame.and_then(|frame| read(&frame));
                    self.in_flight = self.in_flight.saturating_sub(1);
                    // After a refusal the peer closes, and whatever is in flight is void.
                    if matches!(appended, Ok(Ok(_))) {
                        self.stream = Some(stream);
                    }
                    return Some((appended, self));
                }
                Some(request) = next_of(&mut self.input, &mut self.pace),
                    if more && self.input.is_some() =>
                {
                    let Some(request) = request else {
                        self.input = None;
                        continue;
                    };
                    self.pace.sent(&request);
                    let frame = Frame::new(wire::APPEND, wire::encode(&request));
                    if let Err(error) = sender.send(frame).await {
                        return Some((Err(unreachable(error)), self));
                    }
                    self.in_flight += 1;
                }
            }
        }
    }
}

/// The next item of an input that has not ended, when it is time to ask for it: `Some(None)` when
/// it ends.
async fn next_of<S: Stream + Unpin>(
    input: &mut Option<S>,
    pace: &mut Pace,
) -> Option<Option<S::Item>> {
    let input = input.as_mut()?;
    pace.ready().await;
    Some(input.next().await)
}

async fn receive(
    receiver: &mut crate::network::FrameReceiver,
    expected: bool,
) -> Result<Frame, RPCError<Types>> {
    let received = receiver.receive();
    let received = match expected {
        true => timeout(SILENT_MAX, received)
            .await
            .map_err(|_| unreachable("no reply on the log stream"))?,
        false => received.await,
    };
    received
        .map_err(unreachable)?
        .ok_or_else(|| unreachable("the peer closed the log stream"))
}

fn read(frame: &Frame) -> Appended {
    wire::decode(&frame.body).map_err(|why| RPCError::Network(NetworkError::from_string(why)))
}

fn unreachable(why: impl ToString) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(why))
}
