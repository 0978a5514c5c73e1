//! One record of the log: how it is written, and what makes it believable.
//!
//! ```text
//! offset  bytes
//!      0      1  kind      1 entry, 2 vote, 3 committed, 4 truncate, 5 purged; never 0
//!                          + 0x80 on the last record of a batch
//!      1      4  length    of the payload
//!      5      8  batch     number of the batch that the record was written in
//!     13      4  head sum  CRC32C of: segment number, offset in it, bytes 0..13
//!     17      n  payload   entry: index (8), bytes · vote, committed: bytes
//!                          truncate: 0, or index + 1 (8) · purged: index (8), bytes
//!   17+n      4  body sum  CRC32C of the payload, begun from the head sum
//!   21+n      1  end       0xA5
//! ```
//! Integers are little-endian. Unused space is zeros, so the first byte tells a record from none,
//! and since the last byte is not zero either, a record whose write was cut short is visibly
//! short. The sums are bound to the place: a copy of a record elsewhere (in a payload, or written
//! to the wrong block) is not one.

use bytes::{Buf, Bytes};

/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 17;
/// Bytes after the payload.
pub(super) const FOOT_BYTES: usize = 5;
/// The most bytes one payload may have.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 20;
/// Bytes of an index in front of an entry's own.
pub(super) const INDEX_BYTES: usize = 8;

const LAST_OF_BATCH: u8 = 0x80;
const END: u8 = 0xA5;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Entry {
        index: u64,
        bytes: Bytes,
    },
    Vote(Bytes),
    Committed(Bytes),
    /// Entries after this one are void; `None`: all are.
    TruncateAfter(Option<u64>),
    /// Entries up to this one are no longer needed; the bytes are the caller's.
    Purged {
        index: u64,
        bytes: Bytes,
    },
}

/// A record's first bytes, believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    kind: u8,
    pub(super) length: usize,
    pub(super) batch: u64,
    pub(super) last_of_batch: bool,
    sum: u32,
}

impl Head {
    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        HEAD_BYTES + self.length + FOOT_BYTES
    }
}

/// Where a record goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) segment: u64,
    /// Where in the segment the buffer's first byte goes.
    pub(super) base: u64,
    pub(super) batch: u64,
    pub(super) last_of_batch: bool,
}

/// Puts a record at the end of a buffer; answers where in the segment it starts.
pub(super) fn encode(into: &mut Vec<u8>, record: &Record, frame: Frame) -> u64 {
    let start = into.len();
    let place = frame.base + start as u64;
    into.resize(start + HEAD_BYTES, 0);
    let kind = match record {
        Record::Entry { index, bytes } => {
            into.extend_from_slice(&index.to_le_bytes());
            into.extend_from_slice(bytes);
            1
        }
        Record::Vote(bytes) => {
            into.extend_from_slice(bytes);
            2
        }
        Record::Committed(bytes) => {
            into.extend_from_slice(bytes);
            3
        }
        Record::TruncateAfter(last) => {
            into.extend_from_slice(&last.map_or(0, |last| last + 1).to_le_bytes());
            4
        }
        Record::Purged { index, bytes } => {
            into.extend_from_slice(&index.to_le_bytes());
            into.extend_from_slice(bytes);
            5
        }
    };
    let length = into.len() - start - HEAD_BYTES;
    assert!(
        length <= PAYLOAD_BYTES_MAX,
        "payload is {length} bytes, at most {PAYLOAD_BYTES_MAX}"
    );
    let head = &mut into[start..start + HEAD_BYTES];
    head[0] = if frame.last_of_batch {
        kind | LAST_OF_BATCH
    } else {
        kind
    };
    head[1..5].copy_from_slice(&(length as u32).to_le_bytes());
    head[5..13].copy_from_slice(&frame.batch.to_le_bytes());
    let head_sum = sum_head(head, frame.segment, place);
    head[13..].copy_from_slice(&head_sum.to_le_bytes());
    let body_sum = crc32c::crc32c_append(head_sum, &into[start + HEAD_BYTES..]);
    into.extend_from_slice(&body_sum.to_le_bytes());
    into.push(END);
    place
}

fn sum_head(record: &[u8], segment: u64, place: u64) -> u32 {
    let mut summed = [0_u8; 29];
    summed[..8].copy_from_slice(&segment.to_le_bytes());
    summed[8..16].copy_from_slice(&place.to_le_bytes());
    summed[16..].copy_from_slice(&record[..13]);
    crc32c::crc32c(&summed)
}

/// Reads a record's head, which lies at `place` of the segment; `None` if it is not one.
pub(super) fn parse_head(bytes: &[u8], segment: u64, place: u64) -> Option<Head> {
    let mut rest = bytes.get(..HEAD_BYTES)?;
    let first = rest.get_u8();
    let kind = first & !LAST_OF_BATCH;
    let length = rest.get_u32_le() as usize;
    let batch = rest.get_u64_le();
    let sum = rest.get_u32_le();
    if !(1..=5).contains(&kind) || length > PAYLOAD_BYTES_MAX {
        return None;
    }
    if sum != sum_head(bytes, segment, place) {
        return None;
    }
    Some(Head {
        kind,
        length,
        batch,
        last_of_batch: first & LAST_OF_BATCH != 0,
        sum,
    })
}

/// Reads the record whose head this is and whose bytes start at `bytes`; `None` if it is short,
/// its sum is wrong, or the payload is not what the kind says.
pub(super) fn parse_body(head: &Head, bytes: &Bytes) -> Option<Record> {
    if bytes.len() < head.record_bytes() {
        return None;
    }
    let mut payload = bytes.slice(HEAD_BYTES..HEAD_BYTES + head.length);
    let mut foot = &bytes[HEAD_BYTES + head.length..head.record_bytes()];
    if foot.get_u32_le() != crc32c::crc32c_append(head.sum, &payload) || foot.get_u8() != END {
        return None;
    }
    let indexed = matches!(head.kind, 1 | 4 | 5);
    if indexed && payload.len() < INDEX_BYTES {
        return None;
    }
    match head.kind {
        1 => Some(Record::Entry {
            index: payload.get_u64_le(),
            bytes: payload,
        }),
        2 => Some(Record::Vote(payload)),
        3 => Some(Record::Committed(payload)),
        4 => Some(Record::TruncateAfter(payload.get_u64_le().checked_sub(1))),
        5 => Some(Record::Purged {
            index: payload.get_u64_le(),
            bytes: payload,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        vec![
            Record::Entry {
                index: 7,
                bytes: Bytes::from_static(b"seven"),
            },
            Record::Entry {
                index: 8,
                bytes: Bytes::new(),
            },
            Record::Vote(Bytes::from_static(b"me")),
            Record::Committed(Bytes::from_static(b"c")),
            Record::TruncateAfter(None),
            Record::TruncateAfter(Some(0)),
            Record::TruncateAfter(Some(41)),
            Record::Purged {
                index: 3,
                bytes: Bytes::from_static(b"three"),
            },
        ]
    }

    #[test]
    fn every_kind_is_read_back_at_its_place_only() {
        for record in records() {
            let mut buffer = vec![9; 3];
            let frame = Frame {
                segment: 2,
                base: 100,
                batch: 5,
                last_of_batch: true,
            };
            assert_eq!(encode(&mut buffer, &record, frame), 103);
            let bytes = Bytes::from(buffer).slice(3..);
            let head = parse_head(&bytes, 2, 103).unwrap();
            assert_eq!(head.record_bytes(), bytes.len());
            assert_eq!((head.batch, head.last_of_batch), (5, true));
            assert_eq!(parse_body(&head, &bytes), Some(record));
            assert_eq!(parse_head(&bytes, 2, 104), None);
            assert_eq!(parse_head(&bytes, 3, 103), None);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for record in records() {
            let mut buffer = Vec::new();
            let frame = Frame {
                segment: 2,
                base: 0,
                batch: 5,
                last_of_batch: false,
            };
            encode(&mut buffer, &record, frame);
            for bit in 0..buffer.len() * 8 {
                let mut flipped = buffer.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let flipped = Bytes::from(flipped);
                let read = parse_head(&flipped, 2, 0).and_then(|head| parse_body(&head, &flipped));
                assert_eq!(read, None, "bit {bit} of {record:?}");
            }
        }
    }
}
