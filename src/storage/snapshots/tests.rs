use std::io::{Read, Seek, SeekFrom, Write};

use super::*;
use crate::storage::disk::{FaultDisk, RealDisk, Tear};

const DIR: &str = "snapshots";

fn open(disk: &FaultDisk) -> Snapshots {
    Snapshots::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap()
}

fn name(index: u64) -> SnapshotName {
    SnapshotName::parse(index, &format!("3-1-{index}")).unwrap()
}

/// Bytes that differ everywhere, so that no shifted copy passes for them.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn write(snapshots: &Snapshots, index: u64, length: usize) -> SnapshotName {
    let mut writer = snapshots
        .write(&name(index), format!("meta {index}").as_bytes())
        .unwrap();
    for piece in payload(length).chunks(1000) {
        writer.write(piece).unwrap();
    }
    writer.finish().unwrap()
}

fn read(reader: &mut SnapshotReader) -> Result<Vec<u8>, SnapshotError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[test]
fn what_was_written_is_read_and_the_newest_is_found() {
    let disk = FaultDisk::new();
    let snapshots = open(&disk);
    assert!(snapshots.latest().unwrap().whole.is_none());
    for (index, length) in [(9, 0), (10, 700_000), (2, 5)] {
        write(&snapshots, index, length);
    }
    assert_eq!(snapshots.list().unwrap(), [name(2), name(9), name(10)]);
    let latest = snapshots.latest().unwrap();
    assert_eq!(latest.damaged.len(), 0);
    let mut reader = latest.whole.unwrap();
    assert_eq!((reader.name.index, &reader.meta[..]), (10, &b"meta 10"[..]));
    assert_eq!(read(&mut reader).unwrap(), payload(700_000));
    assert_eq!(read(&mut snapshots.read(&name(9)).unwrap()).unwrap(), b"");
    snapshots.remove_before(&name(10)).unwrap();
    assert_eq!(open(&disk).list().unwrap(), [name(10)]);
}

#[test]
fn the_real_disk_keeps_one() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Snapshots::open(Arc::new(RealDisk), &dir.path().join("a/b")).unwrap();
    write(&open(), 4, 10_000_000);
    let mut reader = open().latest().unwrap().whole.unwrap();
    assert_eq!(read(&mut reader).unwrap(), payload(10_000_000));
}

#[test]
fn ids_that_are_no_file_names_are_refused() {
    for id in ["", "a/b", "..\0", "ü", &"x".repeat(129)] {
        let error = SnapshotName::parse(1, id).unwrap_err();
        assert!(matches!(error, SnapshotError::Id { .. }), "{id:?}");
    }
}

#[test]
fn a_crash_leaves_the_old_snapshot_or_the_new_one() {
    let disk = FaultDisk::new();
    let snapshots = open(&disk);
    write(&snapshots, 1, 600);
    let before = disk.history().len();
    write(&snapshots, 2, 600_000);
    let finished = disk.history().len();
    snapshots.remove_before(&name(2)).unwrap();
    let history = disk.history();
    for nth in before..=history.len() {
        let tears = [
            Tear::Nothing,
            Tear::Everything,
            Tear::Prefix(300_000),
            Tear::Prefix(77),
        ];
        for tear in tears.into_iter().chain((0..20).map(Tear::Sectors)) {
            let snapshots = open(&disk.crash_at(nth, tear));
            let latest = snapshots.latest().unwrap();
            assert_eq!(latest.damaged.len(), 0, "operation {nth}, {tear:?}");
            let mut reader = latest.whole.unwrap();
            let length = if reader.name.index == 1 { 600 } else { 600_000 };
            assert_eq!(read(&mut reader).unwrap(), payload(length));
            assert!(
                reader.name.index == 2 || nth < finished,
                "operation {nth}, {tear:?}"
            );
        }
    }
}

#[test]
fn every_flipped_bit_and_every_missing_byte_is_reported_by_name() {
    let disk = FaultDisk::new();
    let snapshots = open(&disk);
    write(&snapshots, 1, 100);
    write(&snapshots, 2, 100);
    let path = snapshots.path(&name(2), WHOLE);
    let length = disk.open(&path).unwrap().length().unwrap() as usize;
    let check = |change: &dyn Fn(&mut Vec<u8>), story: String| {
        let damaged = disk.crash(Tear::Everything);
        damaged.damage(&path, |bytes| change(bytes));
        let latest = open(&damaged).latest().unwrap();
        let told = latest.damaged[0].to_string();
        assert!(
            told.contains("00000000000000000002-3-1-2.snapshot"),
            "{story}: {told}"
        );
        assert_eq!(latest.whole.unwrap().name, name(1), "{story}");
    };
    for bit in 0..length * 8 {
        check(
            &|bytes| bytes[bit / 8] ^= 1 << (bit % 8),
            format!("bit {bit}"),
        );
    }
    for kept in 0..length {
        check(&|bytes| bytes.truncate(kept), format!("{kept} bytes kept"));
    }
    check(&|bytes| bytes.push(0), "a byte more".to_owned());
}

#[test]
fn a_transfer_goes_on_where_it_stopped() {
    let (here, there) = (FaultDisk::new(), FaultDisk::new());
    let sender = open(&here);
    let receiver = open(&there);
    write(&sender, 5, 300_000);
    let mut raw = sender.read(&name(5)).unwrap().raw().unwrap();
    let mut incoming = receiver.receive(&name(5)).unwrap();
    assert_eq!(incoming.offset, 0);
    let mut some = vec![0; 100_000];
    raw.read_exact(&mut some).unwrap();
    incoming.write_all(&some).unwrap();
    drop(incoming);
    let mut incoming = open(&there).receive(&name(5)).unwrap();
    assert_eq!(incoming.offset, 100_000);
    assert!(receiver.list().unwrap().is_empty(), "a part is no snapshot");
    raw.seek(SeekFrom::Start(incoming.offset)).unwrap();
    std::io::copy(&mut raw, &mut incoming).unwrap();
    assert_eq!(incoming.offset, raw.bytes);
    let mut reader = incoming.finish().unwrap();
    assert_eq!(read(&mut reader).unwrap(), payload(300_000));
    let kept = open(&there.crash(Tear::Nothing))
        .latest()
        .unwrap()
        .whole
        .unwrap();
    assert_eq!(kept.name, name(5));
}

#[test]
fn a_transfer_that_is_wrong_is_reported_and_begins_anew() {
    let disk = FaultDisk::new();
    let snapshots = open(&disk);
    let mut incoming = snapshots.receive(&name(5)).unwrap();
    incoming.write_all(b"not a snapshot at all").unwrap();
    let error = incoming.finish().unwrap_err();
    assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
    assert_eq!(snapshots.receive(&name(5)).unwrap().offset, 0);
    assert!(snapshots.list().unwrap().is_empty());
}
