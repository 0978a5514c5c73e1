//! The log on a disk that forgets, tears and fails.

mod behaviour;
mod crash;
mod damage;
mod model;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;

use super::{Done, FileCare, Options, Recovered, Wal, WalError, Writing};
use crate::storage::Poison;
use crate::storage::disk::FaultDisk;

const DIR: &str = "wal";

/// Small segments, everything in order, so that a test meets many of them.
fn small(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        cache_bytes: 256,
        queue_bytes_max: 1 << 20,
        files: FileCare::Inline,
        writing: Writing::Thread,
    }
}

fn open(disk: &FaultDisk, segment_bytes: u64) -> Result<(Wal, Recovered), WalError> {
    Wal::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        small(segment_bytes),
        Poison::new(),
    )
}

/// A callback, and where its answer arrives.
fn answer() -> (Done, Receiver<io::Result<()>>) {
    let (send, receive) = channel();
    (
        Box::new(move |result| send.send(result).expect("the test waits for it")),
        receive,
    )
}

/// Waits for a callback; a log that never answers fails the test, not the test run.
fn wait(receive: &Receiver<io::Result<()>>) -> io::Result<()> {
    receive
        .recv_timeout(std::time::Duration::from_secs(30))
        .expect("the callback is called")
}

fn entry(index: u64) -> Bytes {
    Bytes::from(format!("entry {index}"))
}

fn entries(range: std::ops::Range<u64>) -> Vec<Bytes> {
    range.map(entry).collect()
}

fn append(wal: &Wal, range: std::ops::Range<u64>) -> io::Result<()> {
    let (done, receive) = answer();
    wal.append(range.start, entries(range), done)?;
    wait(&receive)
}

fn vote(wal: &Wal, vote: &str) -> io::Result<()> {
    let (done, receive) = answer();
    wal.save_vote(Bytes::copy_from_slice(vote.as_bytes()), done)?;
    wait(&receive)
}

fn truncate(wal: &Wal, last: Option<u64>) -> io::Result<()> {
    let (done, receive) = answer();
    wal.truncate_after(last, done)?;
    wait(&receive)
}
