//! A connection of its own for ordered frames: replication and snapshots.
//!
//! There is no task here: whoever sends writes to the socket, whoever receives reads from it, so
//! back-pressure is the socket's own. Several frames share one write when they are fed one after
//! the other and flushed once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::frame::{Frame, FrameCodec, Limits};
use super::transport::Duplex;

/// Both directions; see [`FrameStream::split`] to use them from two tasks.
#[derive(Debug)]
pub struct FrameStream {
    pub sender: FrameSender,
    pub receiver: FrameReceiver,
}

/// The sending direction; [`FrameSender::close`] ends it without ending the other.
pub struct FrameSender {
    frames: FramedWrite<Box<dyn AsyncWrite + Send + Unpin>, FrameCodec>,
}

/// The receiving direction.
pub struct FrameReceiver {
    frames: FramedRead<Box<dyn AsyncRead + Send + Unpin>, FrameCodec>,
}

impl FrameStream {
    pub(super) fn new(duplex: Duplex, limits: &Limits, body_bytes_max: usize) -> Self {
        let codec = || FrameCodec::new(body_bytes_max);
        let mut frames = FramedWrite::new(duplex.write, codec());
        frames.set_backpressure_boundary(limits.unwritten_bytes_max);
        let sender = FrameSender { frames };
        let receiver = FrameReceiver {
            frames: FramedRead::new(duplex.read, codec()),
        };
        Self { sender, receiver }
    }

    pub(super) fn set_body_bytes_max(&mut self, body_bytes_max: usize) {
        self.sender
            .frames
            .encoder_mut()
            .set_body_bytes_max(body_bytes_max);
        self.receiver
            .frames
            .decoder_mut()
            .set_body_bytes_max(body_bytes_max);
    }

    /// Sends one frame and writes it out.
    pub async fn send(&mut self, frame: Frame) -> io::Result<()> {
        self.sender.send(frame).await
    }

    /// The next frame; `None` when the peer has closed its direction.
    pub async fn receive(&mut self) -> io::Result<Option<Frame>> {
        self.receiver.receive().await
    }

    /// The two directions, for two tasks. The connection ends when both are dropped.
    #[must_use]
    pub fn split(self) -> (FrameSender, FrameReceiver) {
        (self.sender, self.receiver)
    }
}

impl FrameSender {
    /// Puts a frame into the buffer, and writes only when the buffer is full. Cancellation-safe:
    /// either the frame is in the buffer whole, or not at all.
    pub async fn feed(&mut self, frame: Frame) -> io::Result<()> {
        self.frames.feed(frame).await
    }

    /// Writes out what was fed. Cancellation-safe: what is not written stays in the buffer.
    pub async fn flush(&mut self) -> io::Result<()> {
        SinkExt::<Frame>::flush(&mut self.frames).await
    }

    /// Feeds one frame and flushes.
    pub async fn send(&mut self, frame: Frame) -> io::Result<()> {
        self.feed(frame).await?;
        self.flush().await
    }

    /// Sends all frames of a source until it ends; those that are ready together are written
    /// together.
    pub async fn send_all(
        &mut self,
        mut frames: impl Stream<Item = Frame> + Unpin,
    ) -> io::Result<()> {
        while let Some(frame) = frames.next().await {
            self.feed(frame).await?;
            while let Some(Some(frame)) = frames.next().now_or_never() {
                self.feed(frame).await?;
            }
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes out what was fed and tells the peer that nothing follows.
    pub async fn close(&mut self) -> io::Result<()> {
        SinkExt::<Frame>::close(&mut self.frames).await
    }

    /// The bytes beneath the frames, to break the protocol.
    #[cfg(test)]
    pub(super) fn raw(&mut self) -> &mut (impl AsyncWrite + Unpin) {
        self.frames.get_mut()
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Sink::<Frame>::poll_ready(Pin::new(&mut self.frames), cx)
    }

    pub(super) fn start(&mut self, frame: Frame) -> io::Result<()> {
        Pin::new(&mut self.frames).start_send(frame)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Sink::<Frame>::poll_flush(Pin::new(&mut self.frames), cx)
    }
}

impl FrameReceiver {
    /// The next frame; `None` when the peer has closed its direction. Cancellation-safe.
    pub async fn receive(&mut self) -> io::Result<Option<Frame>> {
        self.frames.next().await.transpose()
    }

    /// The next frame if it has arrived whole already.
    pub fn receive_ready(&mut self) -> Option<io::Result<Frame>> {
        self.frames.next().now_or_never().flatten()
    }

    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame>>> {
        self.frames.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameSender")
    }
}

impl std::fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameReceiver")
    }
}
