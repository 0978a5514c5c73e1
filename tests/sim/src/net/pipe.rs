//! One direction of one connection.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lockring_core::NodeId;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes are under way before the writer must wait.
const WINDOW_BYTES: usize = 256 << 10;

/// After how long the keep-alive of TCP gives up a peer that has lost power, as real nodes set it.
const VANISHED_MS: u64 = 10_000;

/// What both ends and the network share.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    /// Written, and when it arrives; not yet known of the newest.
    under_way: VecDeque<(Option<u64>, Vec<u8>)>,
    /// Arrived, and not read.
    arrived: VecDeque<u8>,
    bytes: usize,
    last_due_ms: u64,
    /// The writer has hung up.
    ended: bool,
    /// The reader is gone.
    unread: bool,
    /// The connection is broken.
    snapped: bool,
    /// Since when whoever wrote has had no power: nothing comes any more, not even an end.
    silent_since_ms: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(from: NodeId, to: NodeId) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            from,
            to,
            under_way: VecDeque::new(),
            arrived: VecDeque::new(),
            bytes: 0,
            last_due_ms: 0,
            ended: false,
            unread: false,
            snapped: false,
            silent_since_ms: None,
            reader: None,
            writer: None,
        }))
    }

    /// Says when each new write arrives, and lets arrive what is due.
    pub(super) fn deliver(
        &mut self,
        now_ms: u64,
        mut latency: impl FnMut() -> u64,
        mut seen: impl FnMut(&[u8]),
    ) {
        for (due, _) in self.under_way.iter_mut().filter(|(due, _)| due.is_none()) {
            self.last_due_ms = self.last_due_ms.max(now_ms + latency());
            *due = Some(self.last_due_ms);
        }
        let mut moved = false;
        while let Some((Some(due), _)) = self.under_way.front()
            && *due <= now_ms
        {
            let (_, bytes) = self.under_way.pop_front().expect("it was just seen");
            seen(&bytes);
            self.arrived.extend(bytes);
            moved = true;
        }
        let over = self.under_way.is_empty() && (self.ended || self.snapped);
        if (moved || over)
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }

    /// The connection breaks. What is in flight is gone, or arrives although its writer has given
    /// it up.
    pub(super) fn snap(&mut self, late: bool) {
        self.snapped = true;
        self.silent_since_ms = None;
        if !late {
            self.under_way.clear();
            self.arrived.clear();
        }
        self.wake();
    }

    pub(super) fn fall_silent(&mut self, now_ms: u64) {
        self.silent_since_ms = Some(now_ms);
        self.under_way.clear();
    }

    /// Whether nobody has answered the reader's keep-alive for as long as TCP waits.
    pub(super) fn has_vanished(&self, now_ms: u64) -> bool {
        self.silent_since_ms
            .is_some_and(|since| now_ms.saturating_sub(since) >= VANISHED_MS)
    }

    pub(super) fn is_over(&self) -> bool {
        self.unread && (self.ended || self.snapped)
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()] {
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

fn reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

/// Where a node reads.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Arc<Mutex<Pipe>>);

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock();
        if pipe.arrived.is_empty() {
            if pipe.under_way.is_empty() && pipe.silent_since_ms.is_none() {
                if pipe.snapped {
                    return Poll::Ready(Err(reset()));
                }
                if pipe.ended {
                    return Poll::Ready(Ok(()));
                }
            }
            pipe.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let most = buffer.remaining().min(pipe.arrived.len());
        let bytes: Vec<u8> = pipe.arrived.drain(..most).collect();
        buffer.put_slice(&bytes);
        pipe.bytes -= most;
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut pipe = self.0.lock();
        pipe.unread = true;
        pipe.wake();
    }
}

/// Where a node writes.
#[derive(Debug)]
pub(super) struct Writer(pub(super) Arc<Mutex<Pipe>>);

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock();
        if pipe.snapped || pipe.unread {
            return Poll::Ready(Err(reset()));
        }
        let room = WINDOW_BYTES.saturating_sub(pipe.bytes).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes += room;
        pipe.under_way.push_back((None, bytes[..room].to_vec()));
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().ended = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().ended = true;
    }
}
