//! A long source of bytes over a stream of frames, resumed where it was cut.
//!
//! A snapshot can be gigabytes and a connection can end at any byte of it. So the receiver keeps
//! what it has, and says at the next offer of the same source from where to go on. Every chunk
//! carries its offset and a checksum, so that a wrong resumption or a flipped bit ends the transfer
//! instead of ending up in the copy.
//!
//! ```text
//!   sender                               receiver
//!   OFFER   bytes u64 │ about      →
//!                                  ←     RESUME   offset u64          (or REFUSE   why)
//!   CHUNK   offset u64 │ crc32c u32 │ data  →     … until all bytes are sent
//!                                  ←     ACCEPT   verdict             (or REFUSE   why)
//! ```
//! What the source is (`about`), where the partial copy lies and whether it belongs to the same
//! source, is the business of the floor above.

use std::io::{self, SeekFrom};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::frame::Frame;
use super::stream::FrameStream;

/// Long enough to be cheap, short enough to share the connection's bound of a frame.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;

const KIND_OFFER: u8 = 1;
const KIND_RESUME: u8 = 2;
const KIND_CHUNK: u8 = 3;
const KIND_ACCEPT: u8 = 4;
const KIND_REFUSE: u8 = 5;

/// Offset and checksum.
const CHUNK_HEAD_BYTES: usize = 8 + 4;

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The length of the whole source.
    pub bytes: u64,
    /// Which source it is; equal for two offers if, and only if, the bytes are.
    pub about: Bytes,
}

/// For how long the sender waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the receiver to take one more chunk.
    pub step: Duration,
    /// For the receiver to use what it has received whole.
    pub verdict: Duration,
}

/// Why a transfer ended early.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("connection: {0}")]
    Connection(io::Error),
    #[error("the source: {0}")]
    Source(io::Error),
    #[error("the copy: {0}")]
    Copy(io::Error),
    #[error("nothing moved in time")]
    TimedOut,
    #[error("the peer closed the connection")]
    Closed,
    #[error("chunk at byte {offset} is damaged")]
    Damaged { offset: u64 },
    #[error("chunk at byte {found}, expected {expected} of {bytes}")]
    Misplaced {
        expected: u64,
        found: u64,
        bytes: u64,
    },
    #[error("frame of kind {found}, expected {expected}")]
    Unexpected { expected: u8, found: u8 },
    #[error("frame too short for its kind")]
    Short,
    #[error("the receiver refused: {0}")]
    Refused(String),
}

/// Sends the source from where the receiver wants it, and waits for its verdict.
pub async fn send(
    stream: &mut FrameStream,
    offer: &Offer,
    source: &mut (impl AsyncRead + AsyncSeek + Unpin),
    patience: Patience,
) -> Result<Bytes, TransferError> {
    let mut body = BytesMut::with_capacity(8 + offer.about.len());
    body.put_u64(offer.bytes);
    body.put_slice(&offer.about);
    put(stream, Frame::new(KIND_OFFER, body), patience.step).await?;
    let mut resume = take(stream, KIND_RESUME, patience.step).await?;
    let mut offset = resume.try_get_u64().map_err(|_| TransferError::Short)?;
    if offset > offer.bytes {
        let bytes = offer.bytes;
        return Err(TransferError::Misplaced {
            expected: bytes,
            found: offset,
            bytes,
        });
    }
    source
        .seek(SeekFrom::Start(offset))
        .await
        .map_err(TransferError::Source)?;
    while offset < offer.bytes {
        let length = (offer.bytes - offset).min(CHUNK_BYTES_MAX as u64);
        let chunk = read_chunk(source, offset, length)
            .await
            .map_err(TransferError::Source)?;
        let sent = put(stream, Frame::new(KIND_CHUNK, chunk), patience.step).await;
        // A receiver that has given up says why, which tells more than that the write failed.
        if let Some(Ok(frame)) = stream.receiver.receive_ready() {
            open(frame, KIND_CHUNK)?;
        }
        sent?;
        offset += length;
    }
    take(stream, KIND_ACCEPT, patience.verdict).await
}

async fn read_chunk(
    source: &mut (impl AsyncRead + Unpin),
    offset: u64,
    length: u64,
) -> io::Result<BytesMut> {
    let length = usize::try_from(length).expect("a chunk fits memory");
    let mut chunk = BytesMut::zeroed(CHUNK_HEAD_BYTES + length);
    source.read_exact(&mut chunk[CHUNK_HEAD_BYTES..]).await?;
    let checksum = crc32c::crc32c(&chunk[CHUNK_HEAD_BYTES..]);
    let mut head = &mut chunk[..CHUNK_HEAD_BYTES];
    head.put_u64(offset);
    head.put_u32(checksum);
    Ok(chunk)
}

/// Receiver: the offer that opens the stream.
pub async fn offered(stream: &mut FrameStream, within: Duration) -> Result<Offer, TransferError> {
    let mut body = take(stream, KIND_OFFER, within).await?;
    let found = KIND_OFFER;
    let bytes = body.try_get_u64();
    let bytes = bytes.map_err(|_| TransferError::Unexpected {
        expected: KIND_OFFER,
        found,
    })?;
    Ok(Offer { bytes, about: body })
}

/// Receiver: asks for what follows the first `offset` bytes and writes it to the copy. However this
/// ends, all that was written is flushed and in order, so the copy's length is where to resume.
/// `within` bounds the wait for each chunk.
pub async fn receive(
    stream: &mut FrameStream,
    offer: &Offer,
    offset: u64,
    copy: &mut (impl AsyncWrite + Unpin),
    within: Duration,
) -> Result<(), TransferError> {
    let resume = Bytes::copy_from_slice(&offset.to_be_bytes());
    put(stream, Frame::new(KIND_RESUME, resume), within).await?;
    let received = receive_chunks(stream, offer, offset, copy, within).await;
    let flushed = copy.flush().await.map_err(TransferError::Copy);
    received.and(flushed)
}

async fn receive_chunks(
    stream: &mut FrameStream,
    offer: &Offer,
    mut offset: u64,
    copy: &mut (impl AsyncWrite + Unpin),
    within: Duration,
) -> Result<(), TransferError> {
    while offset < offer.bytes {
        let mut chunk = take(stream, KIND_CHUNK, within).await?;
        let found = chunk.try_get_u64().map_err(|_| TransferError::Short)?;
        let checksum = chunk.try_get_u32().map_err(|_| TransferError::Short)?;
        let expected = offset;
        let end = found.saturating_add(chunk.len() as u64);
        if found != expected || chunk.is_empty() || end > offer.bytes {
            return Err(TransferError::Misplaced {
                expected,
                found,
                bytes: offer.bytes,
            });
        }
        if crc32c::crc32c(&chunk) != checksum {
            return Err(TransferError::Damaged { offset });
        }
        copy.write_all(&chunk).await.map_err(TransferError::Copy)?;
        offset = end;
    }
    Ok(())
}

/// Receiver: the verdict on what was received whole, or why it is not wanted (also instead of
/// [`receive`]).
pub async fn conclude(
    stream: &mut FrameStream,
    verdict: Result<Bytes, String>,
    within: Duration,
) -> Result<(), TransferError> {
    let frame = match verdict {
        Ok(verdict) => Frame::new(KIND_ACCEPT, verdict),
        Err(why) => Frame::new(KIND_REFUSE, why),
    };
    put(stream, frame, within).await
}

async fn put(
    stream: &mut FrameStream,
    frame: Frame,
    within: Duration,
) -> Result<(), TransferError> {
    let sent = timeout(within, stream.send(frame))
        .await
        .map_err(|_| TransferError::TimedOut)?;
    sent.map_err(TransferError::Connection)
}

async fn take(
    stream: &mut FrameStream,
    kind: u8,
    within: Duration,
) -> Result<Bytes, TransferError> {
    let frame = timeout(within, stream.receive())
        .await
        .map_err(|_| TransferError::TimedOut)?;
    open(
        frame
            .map_err(TransferError::Connection)?
            .ok_or(TransferError::Closed)?,
        kind,
    )
}

fn open(frame: Frame, expected: u8) -> Result<Bytes, TransferError> {
    match frame.kind {
        found if found == expected => Ok(frame.body),
        KIND_REFUSE => {
            let why = String::from_utf8_lossy(&frame.body).into_owned();
            Err(TransferError::Refused(why))
        }
        found => Err(TransferError::Unexpected { expected, found }),
    }
}
