//! How much the write-ahead log costs on top of the disk: the same bytes, written and synced bare
//! into a file of zeros, and appended to the log, in turns in one run.
//!
//! `cargo run --release --example log_speed [DIR]` (DIR on the disk in question; default: here)
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockring::storage::Poison;
use lockring::storage::disk::RealDisk;
use lockring::storage::wal::{Options, Wal};

const ENTRY_BYTES: usize = 200;
/// What a record adds to an entry.
const RECORD_BYTES: usize = ENTRY_BYTES + 30;
const FILE_BYTES: u64 = 64 << 20;
const ROUNDS: usize = 6;

fn main() -> io::Result<()> {
    let dir = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    let dir = dir.join("log_speed.tmp");
    std::fs::create_dir_all(&dir)?;
    let bare = zeros(&dir.join("bare"))?;
    let (wal, _) = Wal::open(
        Arc::new(RealDisk),
        &dir.join("wal"),
        Options::default(),
        Poison::new(),
    )
    .map_err(io::Error::other)?;
    for (entries, times) in [(1, 1000), (8, 500), (64, 400)] {
        let (mut of_bare, mut of_log) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            write_bare(&bare, entries, times, &mut of_bare)?;
            append(&wal, entries, times, &mut of_log)?;
        }
        report("bare write + fdatasync", entries, &mut of_bare);
        report("log, one caller", entries, &mut of_log);
    }
    wal.close();
    std::fs::remove_dir_all(&dir)
}

fn zeros(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all_at(&vec![0; FILE_BYTES as usize], 0)?;
    file.sync_all()?;
    Ok(file)
}

fn write_bare(file: &File, entries: usize, times: usize, to: &mut Vec<Duration>) -> io::Result<()> {
    let batch = vec![0x5A; entries * RECORD_BYTES];
    let mut at = 0;
    for _ in 0..times {
        if at + batch.len() as u64 > FILE_BYTES {
            at = 0;
        }
        let began = Instant::now();
        file.write_all_at(&batch, at)?;
        file.sync_data()?;
        to.push(began.elapsed());
        at += batch.len() as u64;
    }
    Ok(())
}

fn append(wal: &Wal, entries: usize, times: usize, to: &mut Vec<Duration>) -> io::Result<()> {
    let (send, receive) = channel();
    for _ in 0..times {
        let batch = vec![Bytes::from(vec![0x5A; ENTRY_BYTES]); entries];
        let send = send.clone();
        let began = Instant::now();
        let first = wal.entries().end;
        wal.append(
            first,
            batch,
            Box::new(move |result| drop(send.send(result))),
        )?;
        receive.recv().map_err(io::Error::other)??;
        to.push(began.elapsed());
    }
    let end = wal.entries().end;
    wal.purge_upto(end.saturating_sub(10_000), Bytes::new())
}

fn report(what: &str, entries: usize, times: &mut [Duration]) {
    times.sort();
    let total: f64 = times.iter().map(Duration::as_secs_f64).sum();
    let megabytes = (times.len() * entries * ENTRY_BYTES) as f64 / 1e6;
    println!(
        "{what:24} {entries:3} a batch: p50 {:4} us, p99 {:5} us, {:6.1} MB/s, {:8.0} entries/s",
        times[times.len() / 2].as_micros(),
        times[times.len() * 99 / 100].as_micros(),
        megabytes / total,
        (times.len() * entries) as f64 / total,
    );
}
