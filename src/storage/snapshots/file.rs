//! One snapshot file.
//!
//! ```text
//!  8  magic       "locksnp" and the format's version, 1
//!  4  length      of the meta bytes
//!  n  meta        the caller's
//!  4  sum         CRC32C of all before it
//! then chunks:
//!  4  length      of the chunk, not 0
//!  4  sum         CRC32C of the place in the file (8) and the chunk
//!  n  the chunk
//! and the end:
//!  4  0
//!  4  sum         CRC32C of the place in the file (8) and the bytes of all chunks together (8)
//!  8  the bytes of all chunks together
//! ```
//! Integers are little-endian.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{SnapshotError, SnapshotName, Snapshots, WRITING, failed};
use crate::storage::disk::{self, DiskFile, DiskStream};

const MAGIC: [u8; 8] = *b"locksnp\x01";
const META_BYTES_MAX: usize = 1 << 20;
/// What is written is gathered into chunks of this length.
const CHUNK_BYTES: usize = 256 << 10;
/// A longer chunk than this is damage, not something to allocate for.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// After so many bytes the file is synced, so that the last sync does not hold up the log's.
const BYTES_PER_SYNC: u64 = 8 << 20;

/// A snapshot being written. Dropped unfinished, it leaves a file that the next open removes.
#[derive(Debug)]
pub struct SnapshotWriter {
    snapshots: Snapshots,
    name: SnapshotName,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    at: u64,
    synced: u64,
    total: u64,
    chunk: Vec<u8>,
}

impl SnapshotWriter {
    pub(super) fn new(
        snapshots: Snapshots,
        name: SnapshotName,
        file: Arc<dyn DiskFile>,
        meta: &[u8],
    ) -> Result<Self, SnapshotError> {
        assert!(
            meta.len() <= META_BYTES_MAX,
            "the meta bytes are at most 1 MiB"
        );
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&(meta.len() as u32).to_le_bytes());
        head.extend_from_slice(meta);
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        let path = snapshots.path(&name, WRITING);
        file.write_at(&head, 0).map_err(failed("writing", &path))?;
        let at = head.len() as u64;
        Ok(Self {
            snapshots,
            name,
            path,
            file,
            at,
            synced: 0,
            total: 0,
            chunk: Vec::new(),
        })
    }

    /// Writes the next bytes of the payload.
    ///
    /// # Errors
    /// The disk failed; the snapshot is to be given up.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
            self.chunk.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.chunk.len() == CHUNK_BYTES {
                self.write_chunk()?;
            }
        }
        Ok(())
    }

    /// Makes the snapshot whole, durable and visible.
    ///
    /// # Errors
    /// The disk failed; there is no such snapshot, or after a crash there may be.
    pub fn finish(mut self) -> Result<SnapshotName, SnapshotError> {
        if !self.chunk.is_empty() {
            self.write_chunk()?;
        }
        let total = self.total.to_le_bytes();
        let mut end = 0_u32.to_le_bytes().to_vec();
        end.extend_from_slice(&sum(self.at, &total).to_le_bytes());
        end.extend_from_slice(&total);
        self.file
            .write_at(&end, self.at)
            .map_err(failed("writing", &self.path))?;
        self.file
            .sync_data()
            .map_err(failed("syncing", &self.path))?;
        self.snapshots.publish(&self.name, WRITING)?;
        Ok(self.name)
    }

    fn write_chunk(&mut self) -> Result<(), SnapshotError> {
        let mut bytes = Vec::with_capacity(8 + self.chunk.len());
        bytes.extend_from_slice(&(self.chunk.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&sum(self.at, &self.chunk).to_le_bytes());
        bytes.extend_from_slice(&self.chunk);
        self.file
            .write_at(&bytes, self.at)
            .map_err(failed("writing", &self.path))?;
        self.at += bytes.len() as u64;
        self.total += self.chunk.len() as u64;
        self.chunk.clear();
        if self.at - self.synced >= BYTES_PER_SYNC {
            self.file
                .sync_data()
                .map_err(failed("syncing", &self.path))?;
            self.synced = self.at;
        }
        Ok(())
    }
}

/// A finished snapshot being read.
#[derive(Debug)]
pub struct SnapshotReader {
    /// Which one.
    pub name: SnapshotName,
    /// Its file.
    pub path: PathBuf,
    /// The bytes that were given when it was begun.
    pub meta: Bytes,
    file: Arc<dyn DiskFile>,
    first_chunk: u64,
    at: u64,
    total: u64,
    ended: bool,
}

impl SnapshotReader {
    /// All of its file, from the beginning.
    #[must_use]
    pub fn stream(&self) -> DiskStream {
        DiskStream::new(Arc::clone(&self.file), 0)
    }

    /// How long its file is.
    ///
    /// # Errors
    /// The disk failed.
    pub fn length(&self) -> Result<u64, SnapshotError> {
        self.file.length().map_err(failed("reading", &self.path))
    }

    pub(super) fn new(
        name: SnapshotName,
        path: PathBuf,
        file: Arc<dyn DiskFile>,
    ) -> Result<Self, SnapshotError> {
        let mut reader = Self {
            name,
            path,
            meta: Bytes::new(),
            file,
            first_chunk: 0,
            at: 0,
            total: 0,
            ended: false,
        };
        let mut head = reader.bytes(0, MAGIC.len() + 4)?;
        if head[..MAGIC.len()] != MAGIC {
            return Err(reader.damaged("it does not begin as a version 1 snapshot"));
        }
        let length = (&head[MAGIC.len()..]).get_u32_le() as usize;
        if length > META_BYTES_MAX {
            return Err(reader.damaged("its meta bytes are longer than any"));
        }
        let rest = reader.bytes(head.len() as u64, length + 4)?;
        head.extend_from_slice(&rest[..length]);
        if (&rest[length..]).get_u32_le() != crc32c::crc32c(&head) {
            return Err(reader.damaged("the sum of its head is wrong"));
        }
        reader.meta = Bytes::copy_from_slice(&rest[..length]);
        reader.first_chunk = head.len() as u64 + 4;
        reader.at = reader.first_chunk;
        Ok(reader)
    }

    /// The next bytes of the payload; `None` after the last, when nothing was missing.
    ///
    /// # Errors
    /// The disk failed, or the file is damaged here or ends too early or too late.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        if self.ended {
            return Ok(None);
        }
        let head = self.bytes(self.at, 8)?;
        let length = (&head[..4]).get_u32_le() as usize;
        let expected = (&head[4..]).get_u32_le();
        if length > CHUNK_BYTES_MAX {
            return Err(self.damaged("a chunk is longer than any"));
        }
        let chunk = self.bytes(self.at + 8, if length == 0 { 8 } else { length })?;
        if sum(self.at, &chunk) != expected {
            return Err(self.damaged("the sum of a chunk is wrong"));
        }
        if length > 0 {
            self.at += 8 + length as u64;
            self.total += length as u64;
            return Ok(Some(Bytes::from(chunk)));
        }
        let file_bytes = self.file.length().map_err(failed("reading", &self.path))?;
        if (&chunk[..]).get_u64_le() != self.total || file_bytes != self.at + 16 {
            return Err(self.damaged("its length is not what its end says"));
        }
        self.ended = true;
        Ok(None)
    }

    /// Reads it to its end, and goes back to the beginning.
    ///
    /// # Errors
    /// As [`SnapshotReader::next_chunk`].
    pub fn check(&mut self) -> Result<(), SnapshotError> {
        while self.next_chunk()?.is_some() {}
        (self.at, self.total, self.ended) = (self.first_chunk, 0, false);
        Ok(())
    }

    /// The file as it is, for sending it to a peer, and its length.
    ///
    /// # Errors
    /// The disk failed.
    pub fn raw(&self) -> Result<RawSnapshot, SnapshotError> {
        let bytes = self.file.length().map_err(failed("reading", &self.path))?;
        Ok(RawSnapshot {
            bytes,
            file: Arc::clone(&self.file),
            at: 0,
        })
    }

    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = vec![0; length];
        match disk::read_exact_at(&*self.file, &mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it ends too early"))
            }
            Err(error) => Err(failed("reading", &self.path)(error)),
        }
    }

    fn damaged(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Damaged {
            path: self.path.clone(),
            offset: self.at,
            what,
        }
    }
}

/// The bytes of a snapshot's file. It can be read even after the snapshot was removed.
#[derive(Debug)]
pub struct RawSnapshot {
    /// The length of the file.
    pub bytes: u64,
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Read for RawSnapshot {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for RawSnapshot {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

fn sum(place: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&place.to_le_bytes()), bytes)
}
