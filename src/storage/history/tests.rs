use lockring_core::{ClusterTime, Fence, Gone, LeaseEnd, Mode, Owner, SessionId, What};

use super::*;

fn small() -> Options {
    Options {
        events_max: 1_000_000,
        lock_events_max: 1_000,
        age_ms_max: 1_000_000,
        cache_bytes: 1 << 20,
        queue_max: 10_000,
    }
}

fn lock(name: &str) -> LockName {
    LockName::parse(name).unwrap()
}

fn ended(revision: u64, name: &str) -> Event {
    Event {
        revision,
        at: ClusterTime(revision * 10),
        wall_ms: 0,
        what: What::Ended {
            lock: lock(name),
            session: session(),
            owner: Owner::parse("a worker").unwrap(),
            mode: Mode::Exclusive,
            fence: Fence::claimed(revision),
            cause: LeaseEnd::Released,
        },
    }
}

fn session() -> SessionId {
    SessionId::from_bits(7)
}

fn session_ended(revision: u64) -> Event {
    let what = What::SessionEnded {
        session: session(),
        cause: Gone::NeverExisted,
        reason: None,
    };
    Event {
        revision,
        at: ClusterTime(revision * 10),
        wall_ms: 0,
        what,
    }
}

/// One event a revision, on locks `a`, `b` and `c` in turns.
fn record(history: &History, after: u64, upto: u64) {
    for revision in after + 1..=upto {
        let name = ["a", "b", "c"][(revision % 3) as usize];
        history.record(
            revision - 1,
            revision,
            Arc::new(vec![ended(revision, name)]),
        );
    }
}

fn revisions(told: &Told) -> Vec<u64> {
    told.events.iter().map(|event| event.revision).collect()
}

fn open(dir: &tempfile::TempDir, options: Options) -> History {
    History::open(&dir.path().join("history"), options).unwrap()
}

/// The database below the history, which must have been closed.
fn database(dir: &tempfile::TempDir) -> sled::Db {
    store::open_unlocked(&dir.path().join("history"), small()).unwrap()
}

/// Ends a row: what was recorded so far is written, though not yet durable.
fn settle(history: &History) {
    history.gaps().unwrap();
}

fn names(dir: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn events_are_told_by_lock_and_by_revision_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, small());
    record(&history, 0, 2000);
    history.record(
        2000,
        2001,
        Arc::new(vec![session_ended(2001), ended(2001, "ab")]),
    );
    let check = |history: &History| {
        let told = history.since(1500, 100).unwrap();
        assert_eq!(revisions(&told), (1501..=1600).collect::<Vec<_>>());
        assert_eq!(told.missing, []);
        let told = history.of_lock(&lock("b"), 1000, 5).unwrap();
        assert_eq!(revisions(&told), [1003, 1006, 1009, 1012, 1015]);
        assert_eq!(told.events[0], ended(1003, "b"));
        assert_eq!(
            revisions(&history.of_lock(&lock("ab"), 0, 5).unwrap()),
            [2001]
        );
        assert_eq!(
            revisions(&history.of_lock(&lock("d"), 0, 5).unwrap()),
            [0_u64; 0]
        );
        assert_eq!(
            revisions(&history.since(1999, 1000).unwrap()),
            [2000, 2001, 2001]
        );
        assert_eq!(revisions(&history.since(2000, 1).unwrap()), [2001, 2001]);
        assert_eq!(revisions(&history.since(9999, 1).unwrap()), [0_u64; 0]);
    };
    check(&history);
    assert_eq!(history.sync().unwrap(), 2001);
    history.close();
    assert!(history.since(0, 1).is_err());
    check(&open(&dir, small()));
}

#[test]
fn a_replay_after_a_restart_adds_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, small());
    record(&history, 0, 700);
    history.close();
    let history = open(&dir, small());
    record(&history, 100, 900);
    // One record that begins in what is known and ends behind it.
    let events: Vec<Event> = (881..=950).map(|revision| ended(revision, "z")).collect();
    history.record(880, 950, Arc::new(events));
    let told = history.since(0, usize::MAX).unwrap();
    assert_eq!(revisions(&told), (1..=950).collect::<Vec<_>>());
    assert_eq!(told.missing, []);
    assert_eq!(
        revisions(&history.of_lock(&lock("z"), 0, 100).unwrap()).len(),
        50
    );
}

/// sled gives the lock on its file up a while after it was closed: under load, a quick restart
/// found it held, and recorded no history until the next.
#[test]
fn a_database_that_is_still_being_closed_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let closing = database(&dir);
    let history = open(&dir, small());
    while !dir.path().join("history.opening").exists() {
        std::thread::yield_now();
    }
    record(&history, 0, 30);
    drop(closing);
    assert_eq!(revisions(&history.since(0, 99).unwrap()).len(), 30);
}

#[test]
fn what_was_not_recorded_is_told_as_a_gap_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, small());
    record(&history, 0, 10);
    record(&history, 50, 60);
    history.record(90, 90, Arc::new(Vec::new()));
    let gaps = [
        Gap {
            after: 10,
            upto: 50,
        },
        Gap {
            after: 60,
            upto: 90,
        },
    ];
    assert_eq!(history.gaps().unwrap(), gaps);
    history.close();
    let history = open(&dir, small());
    assert_eq!(history.gaps().unwrap(), gaps);
    assert_eq!(history.since(60, 10).unwrap().missing, gaps[1..]);
    assert_eq!(history.of_lock(&lock("a"), 90, 10).unwrap().missing, []);
}

#[test]
fn a_full_queue_is_a_gap_and_never_a_wait() {
    /// Events that cannot be had before a gate opens, so that the thread stands still.
    struct Slow(Mutex<std::sync::mpsc::Receiver<()>>, Vec<Event>);
    impl AsRef<[Event]> for Slow {
        fn as_ref(&self) -> &[Event] {
            // The gate opens by the end of its sender, so it is passed every time after that.
            assert!(self.0.lock().recv().is_err());
            &self.1
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let history = open(
        &dir,
        Options {
            queue_max: 4,
            ..small()
        },
    );
    let (open_gate, gate) = std::sync::mpsc::channel();
    let slow = Slow(Mutex::new(gate), vec![ended(1, "a")]);
    history.record(0, 1, Arc::new(slow));
    record(&history, 1, 1000);
    drop(open_gate);
    let told = history.since(0, usize::MAX).unwrap();
    let known = revisions(&told);
    assert!(known.len() <= 6, "{known:?}");
    let last = *known.last().unwrap();
    assert_eq!(known, (1..=last).collect::<Vec<_>>());
    assert_eq!(
        told.missing,
        [Gap {
            after: last,
            upto: 1000
        }]
    );
    record(&history, 1000, 1001);
    history.close();
    let history = open(&dir, small());
    assert_eq!(
        history.gaps().unwrap(),
        [Gap {
            after: last,
            upto: 1000
        }]
    );
}

#[test]
fn old_events_go_by_number_and_by_age_and_that_is_told() {
    for options in [
        Options {
            events_max: 5_000,
            lock_events_max: 100_000,
            ..small()
        },
        Options {
            age_ms_max: 50_000,
            lock_events_max: 100_000,
            ..small()
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let history = open(&dir, options);
        for step in 0..40 {
            record(&history, step * 500, (step + 1) * 500);
            settle(&history);
        }
        let told = history.since(0, usize::MAX).unwrap();
        let known = revisions(&told);
        assert!((3_500..=6_000).contains(&known.len()), "{}", known.len());
        assert_eq!(known, (known[0]..=20_000).collect::<Vec<_>>());
        assert_eq!(
            told.missing,
            [Gap {
                after: 0,
                upto: known[0] - 1
            }]
        );
        let of_a = revisions(&history.of_lock(&lock("a"), 0, usize::MAX).unwrap());
        assert!(
            of_a[0] >= known[0] && of_a.len() > 1_100,
            "{} of a",
            of_a.len()
        );
        history.close();
        assert_eq!(
            revisions(&open(&dir, options).since(0, usize::MAX).unwrap()),
            known
        );
    }
}

#[test]
fn a_busy_lock_gives_way_and_the_others_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        lock_events_max: 100,
        events_max: 2_000,
        ..small()
    };
    let history = open(&dir, options);
    for revision in 1..=12_000 {
        let name = if revision % 100 == 0 { "quiet" } else { "busy" };
        history.record(
            revision - 1,
            revision,
            Arc::new(vec![ended(revision, name)]),
        );
        // Rows of any length: a slow thread makes short ones of its own.
        if revision % 100 == 0 || revision * 7919 % 331 == 0 {
            settle(&history);
        }
    }
    let check = |history: &History| {
        let quiet = history.of_lock(&lock("quiet"), 2_000, usize::MAX).unwrap();
        let every_hundredth: Vec<u64> = (21..=120).map(|nth| nth * 100).collect();
        assert_eq!(revisions(&quiet), every_hundredth);
        let busy = history.of_lock(&lock("busy"), 0, usize::MAX).unwrap();
        let known = revisions(&busy);
        assert!((100..=2_000).contains(&known.len()), "{}", known.len());
        let whole: Vec<u64> = (known[0]..=12_000)
            .filter(|revision| revision % 100 != 0)
            .collect();
        assert_eq!(known, whole, "the newest of a busy lock stay");
        // Right before it there may be one of the quiet lock's.
        assert!(busy.missing[0].upto + 2 >= known[0], "{:?}", busy.missing);
        let all = history.since(0, usize::MAX).unwrap();
        assert!(all.events.len() <= 2_250, "{}", all.events.len());
        assert!(all.missing[0].upto + 2 >= known[0], "{:?}", all.missing);
    };
    check(&history);
    history.close();
    check(&open(&dir, options));
}

#[test]
fn small_rows_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, small());
    for revision in 1..=256 {
        record(&history, revision - 1, revision);
        settle(&history);
    }
    history.close();
    let database = database(&dir);
    let rows = database.scan_prefix(b"r").count();
    assert!(rows <= 10, "{rows} rows");
    assert_eq!(database.scan_prefix(b"i").count(), rows);
    drop(database);
    let history = open(&dir, small());
    assert_eq!(
        revisions(&history.since(0, 9999).unwrap()),
        (1..=256).collect::<Vec<_>>()
    );
}

/// Whatever is done to the files: what is told is true, and what is missing is told.
#[test]
fn a_damaged_database_tells_nothing_false_and_no_hole_as_silence() {
    let whole = tempfile::tempdir().unwrap();
    let history = open(&whole, small());
    for step in 0..20 {
        record(&history, step * 500, (step + 1) * 500);
        history.sync().unwrap();
    }
    history.close();
    let database = std::fs::read(whole.path().join("history/db")).unwrap();
    let conf = std::fs::read(whole.path().join("history/conf")).unwrap();
    let mut emptied = 0;
    for nth in 0..24 {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("history");
        std::fs::create_dir(&place).unwrap();
        let mut damaged = database.clone();
        let at = database.len() * (nth / 3) / 8;
        match nth % 3 {
            0 => damaged[at] ^= 4,
            1 => damaged[at..]
                .iter_mut()
                .take(4096)
                .for_each(|byte| *byte = 0xEE),
            _ => damaged.truncate(at),
        }
        std::fs::write(place.join("db"), damaged).unwrap();
        std::fs::write(place.join("conf"), &conf).unwrap();
        // Some of it makes sled panic, which ends the process: then it is started again.
        let mut starts = 0;
        let (history, told) = loop {
            starts += 1;
            let history = open(&dir, small());
            history.record(10_000, 10_001, Arc::new(vec![ended(10_001, "d")]));
            match history.since(0, usize::MAX) {
                Ok(told) => break (history, told),
                Err(error) => assert!(starts < 3, "damage {nth}: {error}"),
            }
        };
        let known = revisions(&told);
        emptied += usize::from(known == [10_001]);
        for revision in 1..=10_001_u64 {
            let missing = told
                .missing
                .iter()
                .any(|gap| (gap.after + 1..=gap.upto).contains(&revision));
            let there = known.binary_search(&revision);
            assert!(
                there.is_ok() || missing,
                "damage {nth}: {revision} is missing in silence"
            );
            if let Ok(at) = there {
                let name = ["a", "b", "c"][(revision % 3) as usize];
                let name = if revision == 10_001 { "d" } else { name };
                assert_eq!(told.events[at], ended(revision, name), "damage {nth}");
            }
        }
        history.close();
    }
    assert!(emptied > 0, "none of the damage was bad enough");
}

#[test]
fn databases_that_cannot_be_opened_are_set_aside_and_few_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=5 {
        let history = open(&dir, small());
        record(&history, 0, 30);
        history.close();
        let database = database(&dir);
        database.insert("mformat", &[9]).unwrap();
        drop(database);
        let history = open(&dir, small());
        history.record(30, 31, Arc::new(vec![ended(31, "a")]));
        let told = history.since(0, 10).unwrap();
        assert_eq!(revisions(&told), [31]);
        assert_eq!(told.missing, [Gap { after: 0, upto: 30 }]);
        history.close();
        std::fs::remove_dir_all(dir.path().join("history")).unwrap();
        let kept = names(&dir);
        assert_eq!(kept.last().unwrap(), &format!("history.damaged-{round}"));
        assert_eq!(kept.len(), round.min(3), "{kept:?}");
    }
}

#[test]
fn openings_that_ended_the_process_set_the_database_aside() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, small());
    record(&history, 0, 30);
    history.close();
    std::fs::write(dir.path().join("history.opening"), "1").unwrap();
    let history = open(&dir, small());
    assert_eq!(history.sync().unwrap(), 30);
    history.close();
    std::fs::write(dir.path().join("history.opening"), "2").unwrap();
    let history = open(&dir, small());
    assert_eq!(history.sync().unwrap(), 0);
    history.close();
    assert_eq!(names(&dir), ["history", "history.damaged-1"]);
}

#[test]
fn a_history_that_cannot_be_kept_says_so_and_takes_records_without_harm() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let history = History::open(&file.path().join("history"), small()).unwrap();
    record(&history, 0, 100);
    let error = history.since(0, 1).unwrap_err().to_string();
    assert!(
        error.starts_with("the event history has stopped"),
        "{error}"
    );
    history.close();
}

#[test]
fn a_disk_that_fails_is_told_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, small());
    record(&history, 0, 100);
    settle(&history);
    // sled keeps what is large in files of their own; from now on it cannot make any. A flush
    // that follows, also the one when it is dropped, would wait for ever.
    let large = dir.path().join("history/blobs");
    std::fs::remove_dir_all(&large).unwrap();
    std::fs::write(&large, "").unwrap();
    let names =
        (0..9_000_u64).map(|nth| format!("{:016x}", nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let many: Vec<_> = names.map(|name| ended(101, &name)).collect();
    history.record(100, 101, Arc::new(many));
    let told = history.since(0, 1).unwrap_err();
    assert!(told.to_string().contains("stopped: IO error"), "{told}");
    assert_eq!(history.sync().unwrap_err(), told);
    record(&history, 101, 102);
    history.close();
}
