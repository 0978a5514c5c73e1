//! One file of the log.
//!
//! ```text
//! offset  bytes
//!      0      8  magic         "lockwal" and the format's version, 2
//!      8      8  segment       this file's number, from 1; the next file's is one higher
//!     16      8  previous end  where the last whole batch of the file before ends
//!     24      8  first batch   number of the first batch in this file
//!     32      8  filled        so many bytes were there, zeros, before the first; 0 if it grows
//!     40      4  sum           CRC32C of bytes 0..40
//!     44      …  records, then zeros
//! ```
//! A file gets its name only after its header, and copies of the newest vote, committed and purged
//! records, are durable in it. So a named file without a believable header is damage, never an
//! accident of a crash; every file before it can be deleted without losing the vote; and what
//! lies in a file behind `previous end` is known to be the litter of a crash.
//!
//! A file that is shorter than it was filled has lost its end, and with it batches that may have
//! been acknowledged: no crash does that, since its length was durable before its name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Buf;

use super::WalError;
use crate::storage::disk::DiskFile;

pub(super) const HEADER_BYTES: usize = 44;
/// What the sum is of.
const SUMMED_BYTES: usize = HEADER_BYTES - 4;
const MAGIC: [u8; 8] = *b"lockwal\x02";
/// Ends the name of a file that is not part of the log yet.
const UNFINISHED: &str = ".new";

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) segment: u64,
    pub(super) previous_end: u64,
    pub(super) first_batch: u64,
    /// How long the file was, full of zeros, before anything was written to it; 0 if it grows.
    pub(super) filled: u64,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.previous_end.to_le_bytes());
        bytes.extend_from_slice(&self.first_batch.to_le_bytes());
        bytes.extend_from_slice(&self.filled.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = bytes;
        if bytes.len() < HEADER_BYTES || rest.get_u64() != u64::from_be_bytes(MAGIC) {
            return Err("it does not begin as a version 2 segment of the log");
        }
        let header = Self {
            segment: rest.get_u64_le(),
            previous_end: rest.get_u64_le(),
            first_batch: rest.get_u64_le(),
            filled: rest.get_u64_le(),
        };
        if rest.get_u32_le() != crc32c::crc32c(&bytes[..SUMMED_BYTES]) {
            return Err("its header's sum is wrong");
        }
        Ok(header)
    }
}

/// A segment whose name is durable.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
}

impl Segment {
    /// Reads the header, which must be believable and carry the number in the name.
    pub(super) fn header(&self) -> Result<Header, WalError> {
        let mut bytes = [0; HEADER_BYTES];
        let got = self
            .file
            .read_at(&mut bytes, 0)
            .map_err(WalError::io("reading", &self.path))?;
        let header = Header::parse(&bytes[..got]).map_err(|what| WalError::Corrupt {
            file: self.path.clone(),
            offset: 0,
            what,
        })?;
        if header.segment != self.number {
            let what = "its header has another number than its name";
            return Err(WalError::Corrupt {
                file: self.path.clone(),
                offset: 8,
                what,
            });
        }
        Ok(header)
    }
}

/// Where a segment lives.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wal"))
}

/// Where a file grows up before it is named a segment.
pub(super) fn unfinished(dir: &Path, what: &str) -> PathBuf {
    dir.join(format!("{what}{UNFINISHED}"))
}

/// What a file in the log's directory is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Segment(u64),
    Unfinished,
    Foreign,
}

pub(super) fn parse_name(name: &str) -> Name {
    if name.ends_with(UNFINISHED) {
        return Name::Unfinished;
    }
    match name
        .strip_suffix(".wal")
        .filter(|digits| digits.len() == 20)
        .map(str::parse)
    {
        Some(Ok(number)) => Name::Segment(number),
        _ => Name::Foreign,
    }
}

/// For messages: what was being done to which file.
pub(super) fn doing(what: &str, path: &Path) -> String {
    format!("{what} {}", path.display())
}

impl WalError {
    /// Says what was being done when the disk failed.
    pub(super) fn io<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            doing: doing(what, path),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_every_flipped_bit_is_noticed() {
        let header = Header {
            segment: 3,
            previous_end: 99,
            first_batch: 12,
            filled: 4096,
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::parse(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn names_are_told_apart() {
        let name = path(Path::new("d"), 12)
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert_eq!(parse_name(&name), Name::Segment(12));
        assert_eq!(parse_name("spare.new"), Name::Unfinished);
        assert_eq!(parse_name("12.wal"), Name::Foreign);
        assert_eq!(parse_name("LOCK"), Name::Foreign);
    }
}
