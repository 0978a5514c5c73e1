use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::stream;
use tokio::io::AsyncWrite;

use super::*;

/// Counts the writes that reach the socket.
struct Counting<W> {
    writes: Arc<AtomicUsize>,
    to: W,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Counting<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.to).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_shutdown(cx)
    }
}

/// Two ends of a wire, and how often the near one has written to it.
fn wire() -> (FrameStream, FrameStream, Arc<AtomicUsize>) {
    let (near, far) = tokio::io::duplex(256 << 10);
    let writes = Arc::new(AtomicUsize::new(0));
    let Duplex { read, write } = Duplex::split(near);
    let near = Duplex {
        read,
        write: Box::new(Counting {
            writes: writes.clone(),
            to: write,
        }),
    };
    let framed = |duplex| FrameStream::new(duplex, &limits(), limits().body_bytes_max);
    (framed(near), framed(Duplex::split(far)), writes)
}

#[tokio::test]
async fn frames_that_are_ready_together_are_written_together_and_in_order() {
    let (mut near, mut far, writes) = wire();
    let frames: Vec<Frame> = (0..100).map(|i| Frame::new(i, vec![i; 100])).collect();
    near.sender
        .send_all(stream::iter(frames.clone()))
        .await
        .unwrap();
    assert_eq!(writes.load(Ordering::Relaxed), 1);
    for frame in frames {
        assert_eq!(far.receive().await.unwrap(), Some(frame));
    }
    assert!(far.receiver.receive_ready().is_none());
}

#[tokio::test]
async fn the_directions_work_and_end_apart() {
    let (near, far, _) = wire();
    let (mut near_sender, mut near_receiver) = near.split();
    let (mut far_sender, mut far_receiver) = far.split();
    near_sender.send(Frame::new(1, "question")).await.unwrap();
    near_sender.close().await.unwrap();
    assert_eq!(
        far_receiver.receive().await.unwrap(),
        Some(Frame::new(1, "question"))
    );
    assert_eq!(far_receiver.receive().await.unwrap(), None);
    far_sender.send(Frame::new(2, "answer")).await.unwrap();
    assert_eq!(
        near_receiver.receive().await.unwrap(),
        Some(Frame::new(2, "answer"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_receiver_that_does_not_read() {
    let (mut near, mut far, _) = wire();
    let frame = || Frame::new(1, vec![0; 64 << 10]);
    let mut taken = 0;
    let fill = async {
        loop {
            near.sender.feed(frame()).await.unwrap();
            taken += 1;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(100), fill)
            .await
            .is_err()
    );
    let most = 1 + (limits().unwritten_bytes_max + (256 << 10)) / (64 << 10);
    assert!(
        taken <= most,
        "{taken} frames were taken, at most {most} fit"
    );

    let drain = async { while far.receive().await.unwrap().is_some() {} };
    let finish = async {
        near.sender.feed(frame()).await.unwrap();
        near.sender.close().await.unwrap();
    };
    within(futures_util::future::join(drain, finish)).await;
}
