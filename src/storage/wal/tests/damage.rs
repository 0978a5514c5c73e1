//! What had been safe is not there any more: that is said, and never taken for a crash.

use super::*;
use crate::storage::disk::{Disk, Tear};

/// Three segments of acknowledged batches, and what they hold.
fn written(segment_bytes: u64) -> (FaultDisk, Recovered) {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, segment_bytes).unwrap();
    vote(&wal, "me").unwrap();
    append(&wal, 0..4).unwrap();
    for first in [4, 7, 10, 13, 16] {
        append(&wal, first..first + 3).unwrap();
    }
    truncate(&wal, Some(14)).unwrap();
    append(&wal, 15..17).unwrap();
    wal.close();
    let (wal, recovered) = open(&disk, segment_bytes).unwrap();
    assert_eq!(recovered.entries, 0..17);
    wal.close();
    (disk, recovered)
}

fn files(disk: &FaultDisk) -> Vec<std::path::PathBuf> {
    let dir = Path::new(DIR);
    disk.list(dir)
        .unwrap()
        .iter()
        .map(|name| dir.join(name))
        .collect()
}

fn length(disk: &FaultDisk, path: &Path) -> usize {
    disk.open(path).unwrap().length().unwrap() as usize
}

#[test]
fn every_flipped_bit_of_an_acknowledged_log_is_told_with_its_file() {
    let (disk, _) = written(330);
    let files = files(&disk);
    assert!(files.len() >= 3, "{files:?}");
    for path in &files {
        for bit in 0..length(&disk, path) * 8 {
            let damaged = disk.crash(Tear::Everything);
            damaged.damage(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            match open(&damaged, 330) {
                Err(WalError::Corrupt { file, offset, .. }) => {
                    // A header that lies about the end of the file before shows there.
                    let place = offset as usize;
                    assert!(
                        file != *path || place <= bit / 8,
                        "{file:?} {place}, bit {bit}"
                    );
                }
                other => panic!("bit {bit} of {path:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn bits_in_the_unused_space_lose_nothing() {
    let (disk, recovered) = written(1 << 20);
    let path = &files(&disk)[0];
    let used = length(&disk, path);
    disk.damage(path, |bytes| bytes.resize(used + 2000, 0));
    let mut opened = 0;
    for at in used..used + 2000 {
        let damaged = disk.crash(Tear::Everything);
        damaged.damage(path, |bytes| bytes[at] ^= 0x10);
        if let Ok((_wal, found)) = open(&damaged, 1 << 20) {
            assert_eq!(found, recovered, "byte {at}");
            opened += 1;
        }
    }
    assert!(opened > 1000, "{opened}");
}

#[test]
fn a_missing_segment_is_told() {
    let (disk, _) = written(330);
    let files = files(&disk);
    for (nth, path) in files.iter().enumerate().take(files.len() - 1) {
        let damaged = disk.crash(Tear::Everything);
        damaged.remove(path).unwrap();
        match open(&damaged, 330) {
            Err(WalError::Missing { from: 0, .. }) => assert_eq!(nth, 0),
            Err(WalError::Corrupt { file, .. }) => assert_eq!(file, files[nth + 1]),
            other => panic!("without {path:?}: {other:?}"),
        }
    }
}

#[test]
fn damage_under_an_open_log_is_an_error_of_the_read() {
    let (disk, _) = written(1 << 20);
    let (wal, _) = open(&disk, 1 << 20).unwrap();
    let path = &files(&disk)[0];
    let at = length(&disk, path) / 2;
    disk.damage(path, |bytes| bytes[at] ^= 1);
    let error = wal.read(0..17).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains(".wal"), "{error}");
}

#[test]
fn a_full_disk_stops_the_log_and_keeps_what_was_told_safe() {
    for room in 0..400 {
        let disk = FaultDisk::new();
        let poison = Poison::new();
        let open = |disk: &FaultDisk, poison: &Poison| {
            Wal::open(
                Arc::new(disk.clone()),
                Path::new(DIR),
                small(200),
                poison.clone(),
            )
        };
        let (wal, _) = open(&disk, &poison).unwrap();
        append(&wal, 0..3).unwrap();
        disk.limit_capacity(Some(disk.used_bytes() + room));
        let mut safe = 3;
        while append(&wal, safe..safe + 1).is_ok() {
            safe += 1;
        }
        let fault = poison.watch().borrow().clone().expect("the fault is told");
        assert!(fault.error.contains("full"), "{fault}");
        assert!(vote(&wal, "me").is_err());
        assert!(wal.purge_upto(0, Bytes::new()).is_err());
        assert!(wal.save_committed(Bytes::new()).is_err());
        wal.close();
        disk.limit_capacity(None);
        let (wal, recovered) = open(&disk, &Poison::new()).unwrap();
        assert!(recovered.entries.end >= safe, "room {room}: {recovered:?}");
        assert_eq!(wal.read(0..safe).unwrap(), entries(0..safe));
    }
}

#[test]
fn a_failed_sync_is_the_last_and_nothing_after_it_is_acknowledged() {
    for good in 0..6 {
        let disk = FaultDisk::new();
        let (wal, _) = open(&disk, 200).unwrap();
        disk.fail_sync_after(good);
        let mut safe = 0;
        while append(&wal, safe..safe + 2).is_ok() {
            safe += 2;
        }
        let syncs = disk.syncs();
        for _ in 0..5 {
            assert!(append(&wal, wal.entries().end..wal.entries().end + 1).is_err());
            assert!(vote(&wal, "me").is_err());
        }
        wal.close();
        assert_eq!(disk.syncs(), syncs, "nothing is synced after a failure");
        let (wal, recovered) = open(&disk.crash(Tear::Nothing), 200).unwrap();
        assert_eq!(recovered.entries, 0..safe, "{good} good syncs");
        assert_eq!(wal.read(0..safe).unwrap(), entries(0..safe));
    }
}

#[test]
fn all_that_is_queued_at_a_failure_is_told_of_it() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 4096).unwrap();
    disk.fail_writes_after(0);
    let (send, receive) = channel();
    let mut queued = 0;
    for index in 0..50 {
        let send = send.clone();
        let done: Done = Box::new(move |result| send.send(result).unwrap());
        match wal.append(index, vec![entry(index)], done) {
            Ok(()) => queued += 1,
            Err(_) => break,
        }
    }
    drop(send);
    let told: Vec<_> = receive.iter().collect();
    assert!(queued > 0);
    assert_eq!(told.len(), queued);
    assert!(told.iter().all(Result::is_err));
}

#[test]
fn a_file_that_has_lost_its_end_is_no_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::default()
    };
    let open = || {
        let disk = Arc::new(crate::storage::disk::RealDisk);
        Wal::open(disk, dir.path(), options, Poison::new())
    };
    let second = crate::storage::wal::segment::path(dir.path(), 2);
    let (wal, _) = open().unwrap();
    let mut next = 0;
    while !second.exists() {
        append(&wal, next..next + 1).unwrap();
        next += 1;
    }
    append(&wal, next..next + 5).unwrap();
    wal.close();
    let whole = std::fs::read(&second).unwrap();
    assert_eq!(whole.len(), 1 << 20, "it was a spare");
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // In its head, between its records and within them, and in what was never written.
    for length in (0..used + 20).chain([whole.len() - 1]) {
        std::fs::write(&second, &whole[..length]).unwrap();
        match open() {
            Err(WalError::Corrupt { file, .. }) => assert_eq!(file, second),
            other => panic!("cut to {length} of {used} bytes: {other:?}"),
        }
    }
    std::fs::write(&second, &whole).unwrap();
    let (wal, recovered) = open().unwrap();
    assert_eq!(recovered.entries, 0..next + 5);
    wal.close();
}
