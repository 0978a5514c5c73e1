//! Many calls in flight over one connection to a peer, which is opened again whenever it ends.
//!
//! **The problem.** A call must cost little (it is on the way of every lock that a follower
//! serves), must not wait for a slower call before it, and must fail at once when the peer is known
//! to be gone: whoever waits for a dead peer's timeout cannot elect another leader meanwhile.
//!
//! **The answer.** One task owns the connection, both directions of it. It drains the queue of
//! calls into the write buffer and flushes once, so calls that are made together are written
//! together, in the order in which they were made; replies find their caller by id. When the
//! connection ends, every call that was sent is told that it is lost, and the task dials again
//! after a pause that doubles with each failure and is cut by a random part, so that peers that
//! lost each other do not come back in step. From the first failure until a hello succeeds, calls
//! are answered `Unreachable` without being queued.
//!
//! **A peer that is silent** (its machine has vanished, or a firewall has forgotten the connection)
//! is told from one that is slow: when a call's time is over and *nothing at all* has arrived since
//! it was sent, the connection is given up (a living peer says at a call's deadline that it has no
//! answer). Time is counted in ticks of a timer that runs only
//! while calls are unanswered; no clock is read.
//!
//! **What bounds memory:** the queue, the calls in flight and the write buffer. A peer that stops
//! reading fills them, and then callers wait outside, each until its own deadline.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::answer;
use super::dial::{Dialer, Target};
use super::error::CallError;
use super::frame::{Frame, Limits};
use super::hello::{Purpose, Welcome};
use super::stream::FrameStream;
use crate::chance;
use crate::watch;

/// How finely the age of unanswered calls is counted.
const TICK_MS: u64 = 50;

/// How many ticks a peer may be late to say that it has no answer in time.
const SLACK_TICKS: u64 = 5;

type Answer = Result<Bytes, CallError>;

/// A connection for calls to one peer. Cheap to clone; it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Calls {
    queue: mpsc::Sender<Call>,
    link: watch::Receiver<Link>,
    hint: Arc<Notify>,
    body_bytes_max: usize,
    _task: Arc<AbortOnDropHandle<()>>,
}

/// Whether the peer can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// The first attempt is under way; calls wait for its end.
    Opening,
    /// Greeted.
    Up(Welcome),
    /// The last attempt failed, for this reason, or the connection ended.
    Down(CallError),
}

#[derive(Debug)]
struct Call {
    kind: u8,
    within: Duration,
    body: Bytes,
    answer: oneshot::Sender<Answer>,
}

impl Calls {
    pub(super) fn keep(dialer: Dialer, target: Target, number: u8) -> Self {
        let limits = *dialer.limits();
        let (queue, calls) = mpsc::channel(limits.queued_max);
        let (state, link) = watch::channel(Link::Opening);
        let hint = Arc::new(Notify::new());
        let keeper = Keeper {
            dialer,
            target,
            number,
            calls,
            state,
            hint: hint.clone(),
        };
        let task = Arc::new(AbortOnDropHandle::new(tokio::spawn(keeper.keep())));
        Self {
            queue,
            link,
            hint,
            body_bytes_max: limits.body_bytes_max,
            _task: task,
        }
    }

    /// Calls the peer and waits for the answer, no longer than `within`. If this is dropped before
    /// the answer is there, the call may still be served. Calls are sent in the order in which they
    /// are first polled, unless the queue is full.
    pub async fn call(&self, kind: u8, body: Bytes, within: Duration) -> Answer {
        if body.len() > self.body_bytes_max {
            let (bytes, bytes_max) = (body.len(), self.body_bytes_max);
            return Err(CallError::TooLong { bytes, bytes_max });
        }
        if let Link::Down(why) = &*self.link.borrow() {
            return Err(why.clone());
        }
        let (answer, answered) = oneshot::channel();
        let call = Call {
            kind,
            within,
            body,
            answer,
        };
        let stopped = || CallError::Unreachable {
            why: "this node has stopped calling".into(),
        };
        // Not `send` at once: when a task's budget is spent it comes back later, out of order.
        let left = match self.queue.try_send(call) {
            Ok(()) => None,
            Err(TrySendError::Full(call)) => Some(call),
            Err(TrySendError::Closed(_)) => return Err(stopped()),
        };
        let asked = async {
            if let Some(call) = left {
                self.queue.send(call).await.map_err(|_| stopped())?;
            }
            answered.await.unwrap_or_else(|_| Err(stopped()))
        };
        timeout(within, asked)
            .await
            .unwrap_or(Err(CallError::TimedOut))
    }

    /// Whether the peer can be called, and every change of that.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// How many calls wait to be written.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Ends the pause between two attempts: there is a sign that the peer is back, such as a hello
    /// of its own.
    pub fn hint_reachable(&self) {
        self.hint.notify_one();
    }
}

/// The task behind [`Calls`].
struct Keeper {
    dialer: Dialer,
    target: Target,
    number: u8,
    calls: mpsc::Receiver<Call>,
    state: watch::Sender<Link>,
    hint: Arc<Notify>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut pause_ms = self.dialer.limits().backoff_ms_min;
        loop {
            let why = match self
                .dialer
                .open(&self.target, Purpose::Calls(self.number))
                .await
            {
                Ok((welcome, stream)) => {
                    self.state.send_replace(Link::Up(welcome));
                    let mut connection = Connection::new(stream, self.dialer.limits());
                    let ended = poll_fn(|cx| connection.poll(cx, &mut self.calls)).await;
                    if connection.heard > 0 {
                        pause_ms = self.dialer.limits().backoff_ms_min;
                    }
                    let Some(why) = connection.end(ended) else {
                        return;
                    };
                    why
                }
                Err(why) => why,
            };
            tracing::debug!(peer = self.target.id, %why, "no connection for calls");
            self.state.send_replace(Link::Down(why.clone()));
            if self
                .refuse_during_pause(&why, jittered(pause_ms))
                .await
                .is_err()
            {
                return;
            }
            pause_ms = (pause_ms * 2).min(self.dialer.limits().backoff_ms_max);
        }
    }

    /// Tells calls that were made before the link was seen to be down. `Err` when nobody can call
    /// any more.
    async fn refuse_during_pause(&mut self, why: &CallError, pause: Duration) -> Result<(), ()> {
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                () = &mut pause => return Ok(()),
                () = self.hint.notified() => return Ok(()),
                call = self.calls.recv() => {
                    // The caller may have gone; then nobody needs to be told.
                    let _ = call.ok_or(())?.answer.send(Err(why.clone()));
                }
            }
        }
    }
}

/// Between half of it and all of it.
fn jittered(pause_ms: u64) -> Duration {
    Duration::from_millis(chance::between(pause_ms / 2, pause_ms))
}

/// One connection, from hello to end.
struct Connection {
    stream: FrameStream,
    in_flight_max: usize,
    unanswered: BTreeMap<u32, Unanswered>,
    next_id: u32,
    /// Frames that have arrived.
    heard: u64,
    ticks: u64,
    ticker: Interval,
}

struct Unanswered {
    answer: oneshot::Sender<Answer>,
    /// The tick after which the caller waits no longer.
    over_after: u64,
    /// What `heard` was when the call was sent.
    heard: u64,
}

/// Why a connection ended.
enum Ended {
    /// All callers are gone.
    Unused,
    /// The peer closed it.
    Closed,
    /// A call's time is over and nothing has arrived since it was sent.
    Silent,
    Failed(io::Error),
}

impl Connection {
    fn new(stream: FrameStream, limits: &Limits) -> Self {
        let mut ticker = interval(Duration::from_millis(TICK_MS));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            stream,
            in_flight_max: limits.in_flight_max,
            unanswered: BTreeMap::new(),
            next_id: 0,
            heard: 0,
            ticks: 0,
            ticker,
        }
    }

    /// Moves what can be moved in both directions; ready only at the end of the connection.
    fn poll(&mut self, cx: &mut Context<'_>, calls: &mut mpsc::Receiver<Call>) -> Poll<Ended> {
        if let Poll::Ready(ended) = self.poll_replies(cx) {
            return Poll::Ready(ended);
        }
        if let Poll::Ready(ended) = self.poll_calls(cx, calls) {
            return Poll::Ready(ended);
        }
        if let Poll::Ready(Err(why)) = self.stream.sender.poll_flush(cx) {
            return Poll::Ready(Ended::Failed(why));
        }
        self.poll_silence(cx)
    }

    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            match ready!(self.stream.receiver.poll_receive(cx)) {
                Some(Ok(frame)) => {
                    self.heard += 1;
                    // An unknown id is a reply that came after its caller's time was over.
                    if let Some(unanswered) = self.unanswered.remove(&frame.id) {
                        let _ = unanswered.answer.send(answer::read(frame));
                    }
                }
                Some(Err(why)) => return Poll::Ready(Ended::Failed(why)),
                None => return Poll::Ready(Ended::Closed),
            }
        }
    }

    fn poll_calls(
        &mut self,
        cx: &mut Context<'_>,
        calls: &mut mpsc::Receiver<Call>,
    ) -> Poll<Ended> {
        while self.unanswered.len() < self.in_flight_max {
            if let Err(why) = ready!(self.stream.sender.poll_room(cx)) {
                return Poll::Ready(Ended::Failed(why));
            }
            let Some(call) = ready!(calls.poll_recv(cx)) else {
                return Poll::Ready(Ended::Unused);
            };
            // A caller whose time was over in the queue is not served for nothing.
            if call.answer.is_closed() {
                continue;
            }
            if let Err(why) = self.start(call) {
                return Poll::Ready(Ended::Failed(why));
            }
        }
        Poll::Pending
    }

    fn start(&mut self, call: Call) -> io::Result<()> {
        while self.unanswered.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let within_ms = u32::try_from(call.within.as_millis())
            .unwrap_or(u32::MAX)
            .max(1);
        let over_after = self.ticks + u64::from(within_ms).div_ceil(TICK_MS) + SLACK_TICKS;
        let unanswered = Unanswered {
            answer: call.answer,
            over_after,
            heard: self.heard,
        };
        self.unanswered.insert(id, unanswered);
        self.stream.sender.start(Frame {
            kind: call.kind,
            id,
            within_ms,
            body: call.body,
        })
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        while !self.unanswered.is_empty() {
            ready!(self.ticker.poll_tick(cx));
            self.ticks += 1;
            let (ticks, heard) = (self.ticks, self.heard);
            let mut silent = false;
            self.unanswered.retain(|_, unanswered| {
                let over = ticks > unanswered.over_after;
                silent |= over && unanswered.heard == heard;
                !over
            });
            if silent {
                return Poll::Ready(Ended::Silent);
            }
        }
        Poll::Pending
    }

    /// Tells the callers; `None` when nobody can call any more.
    fn end(self, ended: Ended) -> Option<CallError> {
        let why = match ended {
            Ended::Unused => return None,
            Ended::Closed => "closed by the peer".to_owned(),
            Ended::Silent => "silent".to_owned(),
            Ended::Failed(why) => why.to_string(),
        };
        for unanswered in self.unanswered.into_values() {
            let _ = unanswered
                .answer
                .send(Err(CallError::Lost { why: why.clone() }));
        }
        Some(CallError::Unreachable { why })
    }
}
