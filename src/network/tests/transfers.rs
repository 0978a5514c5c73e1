use std::io::Cursor;

use super::transfer::{self, CHUNK_BYTES_MAX, Offer, Patience, TransferError};
use super::*;

const STEP: Duration = Duration::from_secs(5);
const WAIT: Patience = Patience {
    step: STEP,
    verdict: STEP,
};

/// A pair of streams whose bytes pass through the test, which may cut them.
fn wire() -> (FrameStream, FrameStream) {
    let (near, far) = tokio::io::duplex(16 << 10);
    let stream = |end| FrameStream::new(Duplex::split(end), &limits(), limits().body_bytes_max);
    (stream(near), stream(far))
}

fn source() -> Vec<u8> {
    (0..10 * CHUNK_BYTES_MAX + 12_345)
        .map(|i| (i * 31 + i / 251) as u8)
        .collect()
}

fn offer(source: &[u8]) -> Offer {
    Offer {
        bytes: source.len() as u64,
        about: "snapshot 7".into(),
    }
}

/// Receives into `copy` from where it ends, then concludes.
async fn receive(mut stream: FrameStream, copy: &mut Vec<u8>) -> Result<(), TransferError> {
    let offer = transfer::offered(&mut stream, STEP).await?;
    assert_eq!(offer.about, "snapshot 7");
    let offset = copy.len() as u64;
    transfer::receive(&mut stream, &offer, offset, copy, STEP).await?;
    transfer::conclude(&mut stream, Ok("installed".into()), STEP).await
}

#[tokio::test]
async fn a_source_arrives_whole() {
    for source in [Vec::new(), vec![7], source()] {
        let (mut near, far) = wire();
        let (mut copy, offer) = (Vec::new(), offer(&source));
        let mut reader = Cursor::new(&source);
        let send = transfer::send(&mut near, &offer, &mut reader, WAIT);
        let both = futures_util::future::join(send, receive(far, &mut copy));
        let (verdict, received) = within(both).await;
        received.unwrap();
        assert_eq!(verdict.unwrap(), "installed");
        assert!(copy == source);
    }
}

/// A source that fails at a byte, as a process that is killed there would.
struct CutAt<'a> {
    source: Cursor<&'a [u8]>,
    cut: u64,
    read: u64,
}

impl tokio::io::AsyncRead for CutAt<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.source.position() + buffer.remaining() as u64 > self.cut {
            return std::task::Poll::Ready(Err(std::io::Error::other("cut")));
        }
        self.read += buffer.remaining() as u64;
        std::pin::Pin::new(&mut self.source).poll_read(cx, buffer)
    }
}

impl tokio::io::AsyncSeek for CutAt<'_> {
    fn start_seek(
        mut self: std::pin::Pin<&mut Self>,
        position: std::io::SeekFrom,
    ) -> std::io::Result<()> {
        std::pin::Pin::new(&mut self.source).start_seek(position)
    }

    fn poll_complete(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<u64>> {
        std::pin::Pin::new(&mut self.source).poll_complete(cx)
    }
}

#[tokio::test]
async fn a_transfer_that_is_cut_anywhere_resumes_and_sends_nothing_twice() {
    let source = source();
    let bytes = source.len() as u64;
    let (mut copy, mut read) = (Vec::new(), 0);
    for percent in [0, 5, 37, 38, 80, 100] {
        let mut cut = CutAt {
            source: Cursor::new(&source),
            cut: bytes * percent / 100,
            read: 0,
        };
        let (mut near, far) = wire();
        let offer = offer(&source);
        let sender = async move {
            let sent = transfer::send(&mut near, &offer, &mut cut, WAIT).await;
            (sent, cut.read)
        };
        let both = futures_util::future::join(sender, receive(far, &mut copy));
        let ((sent, sent_bytes), received) = within(both).await;
        read += sent_bytes;
        assert_eq!(
            copy.len() as u64,
            read,
            "all that was sent is kept, and only once"
        );
        assert!(copy == source[..copy.len()]);
        assert_eq!(sent.is_ok(), percent == 100, "{sent:?}");
        assert_eq!(received.is_ok(), percent == 100, "{received:?}");
    }
    assert!(copy == source);
}

#[tokio::test]
async fn a_receiver_can_refuse_an_offer() {
    let source = source();
    let (mut near, mut far) = wire();
    let refuse = async {
        transfer::offered(&mut far, STEP).await.unwrap();
        transfer::conclude(&mut far, Err("older than mine".into()), STEP)
            .await
            .unwrap();
    };
    let (offer, mut reader) = (offer(&source), Cursor::new(&source));
    let send = transfer::send(&mut near, &offer, &mut reader, WAIT);
    let (sent, ()) = within(futures_util::future::join(send, refuse)).await;
    assert!(matches!(sent, Err(TransferError::Refused(why)) if why == "older than mine"));
}

#[tokio::test]
async fn a_damaged_or_misplaced_chunk_ends_the_transfer() {
    let chunk = |offset: u64, checksum: u32, data: &[u8]| {
        [&offset.to_be_bytes()[..], &checksum.to_be_bytes(), data].concat()
    };
    let sum = crc32c::crc32c(b"data");
    for (body, damaged) in [
        (chunk(0, sum ^ 1, b"data"), true),
        (chunk(1, sum, b"data"), false),
        (chunk(0, sum, b"data and more than was offered"), false),
        (chunk(0, 0, b""), false),
    ] {
        let (mut near, mut far) = wire();
        near.send(Frame::new(3, body)).await.unwrap();
        let offer = Offer {
            bytes: 10,
            about: Bytes::new(),
        };
        let mut copy = Vec::new();
        let error = transfer::receive(&mut far, &offer, 0, &mut copy, STEP)
            .await
            .unwrap_err();
        assert_eq!(
            matches!(error, TransferError::Damaged { offset: 0 }),
            damaged,
            "{error}"
        );
        assert!(copy.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_does_not_move_ends_on_both_sides() {
    let source = source();
    let (mut near, mut far) = wire();
    let mut copy = Vec::new();
    let silent = transfer::receive(&mut far, &offer(&source), 0, &mut copy, STEP).await;
    assert!(matches!(silent, Err(TransferError::TimedOut)), "{silent:?}");
    let (offer, mut reader) = (offer(&source), Cursor::new(&source));
    let deaf = transfer::send(&mut near, &offer, &mut reader, WAIT).await;
    assert!(matches!(deaf, Err(TransferError::TimedOut)), "{deaf:?}");
}
