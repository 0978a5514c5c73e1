//! The serving side of a connection for calls.
//!
//! Handlers are polled inside the connection's own task: no task is spawned per call, and replies
//! that become ready together are written together. Calls start in the order in which they
//! arrived, and finish in any. At the bound of calls in flight, or when the peer does not read its
//! replies, no further request is read, and the socket's back-pressure reaches the caller.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::error::CallError;
use super::frame::{Frame, Limits};
use super::listen::{Caller, Serve};
use super::stream::FrameStream;

/// The body is the answer.
const KIND_ANSWER: u8 = 0;
/// The body says, in words, why the handler failed.
const KIND_FAILURE: u8 = 1;
/// The caller's time was over first. Nobody waits for this; it shows that this node lives.
const KIND_LATE: u8 = 2;

/// A reply as the caller sees it.
pub(super) fn read(frame: Frame) -> Result<Bytes, CallError> {
    match frame.kind {
        KIND_ANSWER => Ok(frame.body),
        KIND_FAILURE => Err(CallError::Remote(
            String::from_utf8_lossy(&frame.body).into_owned(),
        )),
        KIND_LATE => Err(CallError::TimedOut),
        kind => Err(CallError::Remote(format!(
            "a reply of the unknown kind {kind}"
        ))),
    }
}

fn write(id: u32, result: Result<Bytes, String>, body_bytes_max: usize) -> Frame {
    let result = result.and_then(|body| match body.len() {
        bytes if bytes > body_bytes_max => {
            Err(format!("answer is {bytes} bytes, at most {body_bytes_max}"))
        }
        _ => Ok(body),
    });
    let (kind, body) = match result {
        Ok(body) => (KIND_ANSWER, body),
        Err(why) => (KIND_FAILURE, Bytes::from(why)),
    };
    Frame {
        kind,
        id,
        within_ms: 0,
        body,
    }
}

/// Serves calls until the peer closes, the connection fails, or `stop` is cancelled and the calls
/// under way are answered.
pub(super) async fn serve<S: Serve>(
    stream: FrameStream,
    caller: Caller,
    serve: &S,
    limits: &Limits,
    stop: &CancellationToken,
) -> io::Result<()> {
    let stopped = stop.cancelled();
    tokio::pin!(stopped);
    let handle = |frame: Frame| async move {
        let within = Duration::from_millis(u64::from(frame.within_ms));
        match timeout(within, serve.call(caller, frame.kind, frame.body)).await {
            Ok(result) => write(frame.id, result, limits.body_bytes_max),
            Err(_) => Frame {
                kind: KIND_LATE,
                id: frame.id,
                ..Frame::default()
            },
        }
    };
    let mut connection = Connection {
        stream,
        calls: FuturesUnordered::new(),
        open: true,
    };
    poll_fn(|cx| {
        if connection.open && stopped.as_mut().poll(cx).is_ready() {
            connection.open = false;
        }
        connection.poll(cx, &handle, limits.in_flight_max)
    })
    .await
}

struct Connection<F> {
    stream: FrameStream,
    calls: FuturesUnordered<F>,
    /// Whether more requests are read.
    open: bool,
}

impl<F: Future<Output = Frame>> Connection<F> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        handle: &impl Fn(Frame) -> F,
        in_flight_max: usize,
    ) -> Poll<io::Result<()>> {
        loop {
            let read = self.poll_requests(cx, handle, in_flight_max)?;
            if read == Requests::Ended {
                return Poll::Ready(Ok(()));
            }
            let mut answered = false;
            while let Poll::Ready(Some(reply)) = self.calls.poll_next_unpin(cx) {
                answered = true;
                self.stream.sender.start(reply)?;
            }
            let flushed = self.stream.sender.poll_flush(cx)?.is_ready();
            if !self.open && self.calls.is_empty() && flushed {
                return Poll::Ready(Ok(()));
            }
            // What was answered or written made room, so requests that were left may be read now.
            let again = read == Requests::Left && (answered || flushed);
            if !again || (self.calls.len() >= in_flight_max) {
                return Poll::Pending;
            }
        }
    }

    fn poll_requests(
        &mut self,
        cx: &mut Context<'_>,
        handle: &impl Fn(Frame) -> F,
        in_flight_max: usize,
    ) -> io::Result<Requests> {
        while self.open {
            if self.calls.len() >= in_flight_max || self.stream.sender.poll_room(cx)?.is_pending() {
                return Ok(Requests::Left);
            }
            match self.stream.receiver.poll_receive(cx) {
                Poll::Ready(Some(frame)) => self.calls.push(handle(frame?)),
                Poll::Ready(None) => return Ok(Requests::Ended),
                Poll::Pending => return Ok(Requests::Waiting),
            }
        }
        Ok(Requests::Waiting)
    }
}

/// What became of the reading of requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Requests {
    /// There was no room for another; nothing will wake this task when one arrives.
    Left,
    /// The task is woken when one arrives.
    Waiting,
    /// The peer has closed.
    Ended,
}
