use super::*;

#[test]
fn an_empty_log_opens_empty_and_again() {
    let disk = FaultDisk::new();
    for _ in 0..2 {
        let (wal, recovered) = open(&disk, 4096).unwrap();
        assert_eq!(recovered, Recovered::default());
        assert_eq!(wal.entries(), 0..0);
        wal.close();
    }
}

#[test]
fn what_was_appended_is_read_from_memory_from_files_and_after_a_restart() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 256).unwrap();
    for index in 0..40 {
        append(&wal, index..index + 1).unwrap();
    }
    append(&wal, 40..60).unwrap();
    vote(&wal, "me").unwrap();
    wal.save_committed(Bytes::from_static(b"c59")).unwrap();
    assert_eq!(wal.read(0..60).unwrap(), entries(0..60));
    assert_eq!(wal.read(17..18).unwrap(), entries(17..18));
    wal.close();
    assert!(wal.append(60, entries(60..61), Box::new(|_| ())).is_err());

    let (wal, recovered) = open(&disk, 256).unwrap();
    assert_eq!(recovered.entries, 0..60);
    assert_eq!(recovered.vote.unwrap(), "me");
    assert_eq!(recovered.committed.unwrap(), "c59");
    assert_eq!(wal.read(0..60).unwrap(), entries(0..60));
    assert_eq!(wal.read_within(10..60, 0).unwrap(), entries(10..11));
}

#[test]
fn a_missing_entry_is_an_error_and_never_a_short_read() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 4096).unwrap();
    append(&wal, 0..10).unwrap();
    wal.purge_upto(2, Bytes::new()).unwrap();
    assert_eq!(wal.read(3..10).unwrap(), entries(3..10));
    for range in [2..4, 9..11, 10..11] {
        let error = wal.read(range).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(wal.read(5..5).unwrap(), Vec::<Bytes>::new());
}

#[test]
fn an_append_that_leaves_a_gap_or_overlaps_is_refused() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 4096).unwrap();
    append(&wal, 0..3).unwrap();
    for first in [0, 2, 4] {
        let error = append(&wal, first..first + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{first}");
    }
    append(&wal, 3..4).unwrap();
    assert_eq!(wal.read(0..4).unwrap(), entries(0..4));
}

#[test]
fn a_new_log_may_begin_anywhere() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 4096).unwrap();
    append(&wal, 7..9).unwrap();
    wal.close();
    let (wal, recovered) = open(&disk, 4096).unwrap();
    assert_eq!(recovered.entries, 7..9);
    append(&wal, 9..10).unwrap();
    assert_eq!(wal.read(7..10).unwrap(), entries(7..10));
}

#[test]
fn truncated_entries_are_replaced_for_good() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 256).unwrap();
    append(&wal, 0..20).unwrap();
    truncate(&wal, Some(4)).unwrap();
    assert_eq!(wal.entries(), 0..5);
    let (done, receive) = answer();
    wal.append(5, vec![Bytes::from_static(b"another"); 20], done)
        .unwrap();
    wait(&receive).unwrap();
    wal.close();
    let (wal, recovered) = open(&disk, 256).unwrap();
    assert_eq!(recovered.entries, 0..25);
    assert_eq!(wal.read(3..5).unwrap(), entries(3..5));
    assert_eq!(wal.read(5..6).unwrap(), ["another"]);
    truncate(&wal, None).unwrap();
    assert_eq!(wal.entries(), 0..0);
    wal.close();
    assert_eq!(open(&disk, 256).unwrap().1.entries, 0..0);
}

#[test]
fn a_purge_deletes_segments_and_keeps_the_vote() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 256).unwrap();
    vote(&wal, "me").unwrap();
    for index in 0..100 {
        append(&wal, index..index + 1).unwrap();
    }
    let before = disk.used_bytes();
    wal.purge_upto(95, Bytes::from_static(b"p95")).unwrap();
    assert_eq!(wal.entries(), 96..100);
    append(&wal, 100..101).unwrap();
    assert!(
        disk.used_bytes() < before / 4,
        "{} of {before}",
        disk.used_bytes()
    );
    wal.close();
    let (wal, recovered) = open(&disk, 256).unwrap();
    assert_eq!(recovered.entries, 96..101);
    assert_eq!(recovered.vote.unwrap(), "me");
    assert_eq!(recovered.purged.unwrap(), (95, Bytes::from_static(b"p95")));
    assert_eq!(wal.read(96..101).unwrap(), entries(96..101));
}

#[test]
fn a_purge_beyond_the_end_moves_the_log_there() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 256).unwrap();
    append(&wal, 0..20).unwrap();
    wal.purge_upto(500, Bytes::from_static(b"p500")).unwrap();
    assert_eq!(wal.entries(), 501..501);
    append(&wal, 501..503).unwrap();
    wal.purge_upto(3, Bytes::from_static(b"old")).unwrap();
    wal.close();
    let (wal, recovered) = open(&disk, 256).unwrap();
    assert_eq!(recovered.entries, 501..503);
    assert_eq!(recovered.purged.unwrap().1, "p500");
    assert_eq!(wal.read(501..503).unwrap(), entries(501..503));
}

#[test]
fn callbacks_come_in_the_order_of_the_calls() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 4096).unwrap();
    let (send, receive) = channel();
    for index in 0..200 {
        let send = send.clone();
        let done: Done = Box::new(move |result| send.send((index, result.is_ok())).unwrap());
        if index % 7 == 0 {
            wal.save_vote(entry(index), done).unwrap();
        } else {
            let first = wal.entries().end;
            wal.append(first, vec![entry(index)], done).unwrap();
        }
    }
    drop(send);
    wal.close();
    let told: Vec<_> = receive.iter().collect();
    assert_eq!(
        told,
        (0..200).map(|index| (index, true)).collect::<Vec<_>>()
    );
}

#[test]
fn a_batch_longer_than_a_segment_goes_into_one() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 256).unwrap();
    let long = Bytes::from(vec![7; 5000]);
    let (done, receive) = answer();
    wal.append(0, vec![long.clone(), long.clone()], done)
        .unwrap();
    wait(&receive).unwrap();
    append(&wal, 2..3).unwrap();
    wal.close();
    let (wal, _) = open(&disk, 256).unwrap();
    assert_eq!(wal.read(0..3).unwrap(), [long.clone(), long, entry(2)]);
    let error = wal.append(
        3,
        vec![Bytes::from(vec![0; super::super::ENTRY_BYTES_MAX + 1])],
        answer().0,
    );
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_real_disk_keeps_a_log_with_spare_segments() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 64 << 10,
        cache_bytes: 1 << 10,
        ..Options::default()
    };
    let open = || {
        let disk = Arc::new(crate::storage::disk::RealDisk);
        Wal::open(disk, &dir.path().join("deep/wal"), options, Poison::new()).unwrap()
    };
    let (wal, _) = open();
    for batch in 0..20 {
        append(&wal, batch * 1000..(batch + 1) * 1000).unwrap();
    }
    wal.purge_upto(9_999, Bytes::new()).unwrap();
    vote(&wal, "me").unwrap();
    wal.close();
    let (wal, recovered) = open();
    assert_eq!(recovered.entries, 10_000..20_000);
    assert_eq!(wal.read(10_000..20_000).unwrap(), entries(10_000..20_000));
}

#[test]
fn a_segment_that_was_not_filled_is_left_as_soon_as_there_is_a_spare() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::default()
    };
    let disk = Arc::new(crate::storage::disk::RealDisk);
    let (wal, _) = Wal::open(disk, dir.path(), options, Poison::new()).unwrap();
    let lengths = || -> Vec<u64> {
        let files = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|it| it == "wal"))
            .collect();
        segments.sort();
        segments
            .iter()
            .map(|path| std::fs::metadata(path).unwrap().len())
            .collect()
    };
    append(&wal, 0..1).unwrap();
    assert_eq!(lengths().len(), 1);
    append(&wal, 1..10_000).unwrap();
    let mut next = 10_000;
    while lengths().len() == 1 {
        assert!(
            next < 40_000,
            "no spare was made while a whole segment was written"
        );
        append(&wal, next..next + 1).unwrap();
        next += 1;
    }
    let lengths = lengths();
    assert!(lengths[0] < 1 << 20, "{lengths:?}");
    assert_eq!(lengths[1], 1 << 20);
    assert_eq!(wal.read(0..next).unwrap(), entries(0..next));
}

#[test]
fn a_callback_that_panics_stops_the_log_and_leaves_nobody_waiting() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 4096).unwrap();
    append(&wal, 0..1).unwrap();
    wal.append(
        1,
        entries(1..2),
        Box::new(|_| panic!("a bug of the caller")),
    )
    .unwrap();
    // The panic may come before this call or while it waits.
    let mut next = 2;
    while append_or_lost(&wal, next) {
        next += 1;
    }
    assert!(
        vote(&wal, "me")
            .unwrap_err()
            .to_string()
            .contains("panicked")
    );
    wal.close();
    let (_, recovered) = open(&disk, 4096).unwrap();
    assert!(recovered.entries.end >= 2);
}

/// Appends one; `false` if the log refused or dropped it.
fn append_or_lost(wal: &Wal, index: u64) -> bool {
    let (done, receive) = answer();
    wal.append(index, entries(index..index + 1), done).is_ok()
        && matches!(receive.recv(), Ok(Ok(())))
}

#[test]
fn in_turns_nothing_is_written_or_told_before_somebody_asks() {
    let disk = FaultDisk::new();
    let options = Options {
        writing: Writing::InTurns,
        ..small(4096)
    };
    let (wal, _) = Wal::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        options,
        Poison::new(),
    )
    .unwrap();
    let begun = disk.syncs();
    let (done, receive) = answer();
    wal.append(0, entries(0..3), done).unwrap();
    let (voted, vote) = answer();
    wal.save_vote(Bytes::from_static(b"me"), voted).unwrap();
    assert!(receive.try_recv().is_err());
    assert_eq!(disk.syncs(), begun);
    wal.turn();
    assert!(receive.try_recv().unwrap().is_ok());
    assert!(vote.try_recv().unwrap().is_ok());
    assert_eq!(disk.syncs(), begun + 1, "all that was queued is one batch");
    wal.append(3, entries(3..4), Box::new(|_| ())).unwrap();
    wal.close();
    let (_, recovered) = open(&disk, 4096).unwrap();
    assert_eq!(recovered.entries, 0..4);
}
