//! How long a connection may keep its node waiting.
//!
//! One timer for "the head of a request" cannot tell a client that is between two requests from
//! one that sends a header a byte at a time: the first deserves a minute and more, the second ten
//! seconds. So this wraps the connection's bytes and keeps three bounds apart:
//!
//! - *head*: from the first byte of a request until its head is complete;
//! - *idle*: from an answer until the first byte of the next request;
//! - *write*: as long as the client takes nothing of an answer that is ready.
//!
//! While a request is being answered the client owes nothing, and there is no bound here: a parked
//! call has its own. (Its body has one too, where it is read.)
//!
//! A timer is armed only when there is really something to wait for. A head that arrives in one
//! packet, which is nearly every head, arms none; and the idle timer is not moved with each
//! request but looks, when it fires, whether there was one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody as Body;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The three bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

/// Requests that a connection has begun to answer, and has answered: whoever answers them counts.
#[derive(Debug, Default)]
pub(super) struct Progress {
    begun: AtomicU64,
    answered: AtomicU64,
}

impl Progress {
    /// The head of a request is complete.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer is out of our hands.
    fn answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer. As long as there is one, the client owes nothing: a stream of events may
/// be silent for longer than a client may be between two requests.
#[derive(Debug)]
pub(super) struct Answering<B> {
    body: B,
    progress: Arc<Progress>,
}

impl<B> Answering<B> {
    pub(super) fn new(body: B, progress: Arc<Progress>) -> Self {
        Self { body, progress }
    }
}

impl<B> Drop for Answering<B> {
    fn drop(&mut self) {
        self.progress.answer();
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that does not wait for ever.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    bounds: Bounds,
    progress: Arc<Progress>,
    /// The number of the request whose head has begun to arrive, or has to: the first is owed as
    /// soon as the connection stands.
    head_of: u64,
    head: Timer,
    idle: Timer,
    /// How many requests there had been when the idle timer was armed.
    idle_since: u64,
    write: Timer,
}

/// A timer that exists only while something is waited for.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>, bound: Duration) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep(bound)));
        ready!(timer.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }

    fn stop(&mut self) {
        self.0 = None;
    }
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, bounds: Bounds, progress: Arc<Progress>) -> Self {
        Self {
            stream,
            bounds,
            progress,
            head_of: 1,
            head: Timer::default(),
            idle: Timer::default(),
            idle_since: 0,
            write: Timer::default(),
        }
    }

    /// Something arrived: if no request is being answered, it belongs to the head of the next.
    fn arrived(&mut self) {
        let begun = self.progress.begun.load(Ordering::Relaxed);
        if begun == self.progress.answered.load(Ordering::Relaxed) {
            self.head_of = begun + 1;
        }
    }

    /// Nothing arrived: fails once the client has been waited for long enough.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let begun = self.progress.begun.load(Ordering::Relaxed);
        if begun != self.progress.answered.load(Ordering::Relaxed) {
            self.head.stop();
            return Poll::Pending;
        }
        if self.head_of > begun {
            ready!(self.head.poll(cx, self.bounds.head));
            return Poll::Ready(late("the head of a request"));
        }
        self.head.stop();
        loop {
            if self.idle.0.is_none() {
                self.idle_since = begun;
            }
            ready!(self.idle.poll(cx, self.bounds.idle));
            if self.idle_since == begun {
                return Poll::Ready(late("the next request"));
            }
        }
    }

    /// Whatever the client takes, it takes within the bound.
    fn poll_taken<T>(
        &mut self,
        cx: &mut Context<'_>,
        taken: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if taken.is_ready() {
            self.write.stop();
            return taken;
        }
        ready!(self.write.poll(cx, self.bounds.write));
        Poll::Ready(Err(late("the taking of an answer")))
    }
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} took too long"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                this.arrived();
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_patience(cx).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let taken = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.poll_taken(cx, taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let taken = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.poll_taken(cx, taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let taken = Pin::new(&mut this.stream).poll_flush(cx);
        ready!(this.poll_taken(cx, taken))?;
        // An answer that is out begins the wait for the next request, and hyper does not read
        // again before something arrives: the timer is armed here, or nobody would.
        match this.poll_patience(cx) {
            Poll::Ready(late) => Poll::Ready(Err(late)),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let taken = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.poll_taken(cx, taken)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    fn connection() -> (DuplexStream, Patient<DuplexStream>, Arc<Progress>) {
        let (client, server) = duplex(64);
        let progress = Arc::new(Progress::default());
        let patient = Patient::new(server, BOUNDS, Arc::clone(&progress));
        (client, patient, progress)
    }

    /// Reads until the patience ends; tells after how many seconds.
    async fn seconds_until_late(patient: &mut Patient<DuplexStream>) -> u64 {
        let from = Instant::now();
        let mut bytes = [0; 16];
        loop {
            match patient.read(&mut bytes).await {
                Ok(read) => assert!(read > 0, "the client hung up"),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return from.elapsed().as_secs();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_owes_its_first_head() {
        let (_client, mut patient, _) = connection();
        assert_eq!(seconds_until_late(&mut patient).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_is_not_extended_by_each_byte() {
        let (mut client, mut patient, _) = connection();
        let trickle = tokio::spawn(async move {
            while client.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        assert_eq!(seconds_until_late(&mut patient).await, 10);
        drop(patient);
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_between_two_requests_has_the_longer_bound() {
        let (mut client, mut patient, progress) = connection();
        client.write_all(b"GET").await.unwrap();
        patient.read_exact(&mut [0; 3]).await.unwrap();
        progress.begin();
        progress.answer();
        assert_eq!(seconds_until_late(&mut patient).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_parked_call_is_waited_for_without_a_bound() {
        let (mut client, mut patient, progress) = connection();
        client.write_all(b"GET").await.unwrap();
        patient.read_exact(&mut [0; 3]).await.unwrap();
        progress.begin();
        let parked = Duration::from_secs(3600);
        let read = tokio::time::timeout(parked, patient.read(&mut [0; 16])).await;
        assert!(read.is_err(), "{read:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let (_client, mut patient, _) = connection();
        let from = Instant::now();
        let wrote = patient.write_all(&[0; 65]).await;
        assert_eq!(wrote.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(from.elapsed().as_secs(), 30);
    }
}
