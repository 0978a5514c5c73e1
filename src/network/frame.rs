//! The unit on the wire.
//!
//! ```text
//! ┌──────────┬────────┬────────┬─────────────┬───────────────┐
//! │ length   │ kind   │ id     │ within_ms   │ body          │
//! │ u32      │ u8     │ u32    │ u32         │ length − 9    │
//! └──────────┴────────┴────────┴─────────────┴───────────────┘
//! ```
//! All numbers are big-endian. `length` counts what follows it. `id` pairs a reply with its request
//! and is 0 on streams; `within_ms` tells the server for how long the caller waits, and is 0
//! elsewhere. A frame that is longer than the bound ends the connection before it is read.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// Bytes between the length and the body.
const HEAD_BYTES: usize = 1 + 4 + 4;

/// Every bound of a connection, in one place.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest body of a frame, in bytes.
    pub body_bytes_max: usize,
    /// Above this many unwritten bytes nothing more is taken for writing.
    pub unwritten_bytes_max: usize,
    /// Calls in flight on one connection; the same bound holds on both sides.
    pub in_flight_max: usize,
    /// Calls that wait in the queue before a connection.
    pub queued_max: usize,
    /// Connections that a listener serves at once.
    pub connections_max: usize,
    /// Connections that a listener keeps which have not said a valid hello yet.
    pub greetings_max: usize,
    /// For how long a connection may take to be opened and greeted, in milliseconds.
    pub greeting_ms_max: u64,
    /// The first pause after a failed connection, in milliseconds; it doubles with each failure.
    pub backoff_ms_min: u64,
    /// The longest pause between two attempts, in milliseconds.
    pub backoff_ms_max: u64,
    /// For how long calls under way may go on after a shutdown, in milliseconds.
    pub shutdown_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            unwritten_bytes_max: 256 << 10,
            in_flight_max: 1024,
            queued_max: 1024,
            connections_max: 512,
            greetings_max: 64,
            greeting_ms_max: 2_000,
            backoff_ms_min: 20,
            backoff_ms_max: 500,
            shutdown_ms_max: 1_000,
        }
    }
}

/// One frame: what kind it is of and its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What the body is; the floor above gives the numbers.
    pub kind: u8,
    /// Pairs a reply with its request.
    pub id: u32,
    /// For how long the caller waits.
    pub within_ms: u32,
    /// The rest.
    pub body: Bytes,
}

impl Frame {
    /// A frame of a stream, where order replaces ids.
    pub fn new(kind: u8, body: impl Into<Bytes>) -> Self {
        Self {
            kind,
            id: 0,
            within_ms: 0,
            body: body.into(),
        }
    }
}

/// Bytes to frames and back.
#[derive(Debug)]
pub(super) struct FrameCodec {
    lengths: LengthDelimitedCodec,
}

impl FrameCodec {
    pub(super) fn new(body_bytes_max: usize) -> Self {
        let mut lengths = LengthDelimitedCodec::new();
        lengths.set_max_frame_length(body_bytes_max + HEAD_BYTES);
        Self { lengths }
    }

    /// After the hello, which has a tight bound of its own.
    pub(super) fn set_body_bytes_max(&mut self, body_bytes_max: usize) {
        self.lengths
            .set_max_frame_length(body_bytes_max + HEAD_BYTES);
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, to: &mut BytesMut) -> io::Result<()> {
        let length = HEAD_BYTES + frame.body.len();
        let length_max = self.lengths.max_frame_length();
        if length > length_max {
            let why = format!("frame is {length} bytes, at most {length_max}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        to.reserve(4 + length);
        to.put_u32(u32::try_from(length).expect("the bound of a frame fits its length field"));
        to.put_u8(frame.kind);
        to.put_u32(frame.id);
        to.put_u32(frame.within_ms);
        to.put_slice(&frame.body);
        Ok(())
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Frame>> {
        let Some(bytes) = self.lengths.decode(from)? else {
            return Ok(None);
        };
        if bytes.len() < HEAD_BYTES {
            let why = format!("frame is {} bytes, at least {HEAD_BYTES}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut body = bytes.freeze();
        let (kind, id, within_ms) = (body.get_u8(), body.get_u32(), body.get_u32());
        Ok(Some(Frame {
            kind,
            id,
            within_ms,
            body,
        }))
    }
}
