//! Snapshots: frozen while the machine goes on, read back from bytes of any kind.

use std::string::String;
use std::vec::Vec;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{acquire, acquire_alone, ask, bytes, entry, open, release, session};
use crate::*;

/// A machine with something in every table: leases, queues, remembered outcomes, waiting calls,
/// ended sessions.
fn busy(locks: u64) -> Machine {
    let mut machine = Machine::new();
    machine.apply(1, &entry(5, (0..9).map(|n| open(session(n), 60_000))));
    for number in 0..locks {
        let name = std::format!("lock/{number}");
        let by = session(u128::from(number % 9));
        let next = session(u128::from((number + 1) % 9));
        ask(&mut machine, 6, u128::from(number), acquire(by, &name, 0));
        match number % 4 {
            0 => drop(ask(
                &mut machine,
                7,
                1 << 70 | u128::from(number),
                acquire(next, &name, 900),
            )),
            1 => {
                let alone = acquire_alone(session(u128::from(100 + number)), &name, 800);
                ask(&mut machine, 8, 1 << 80 | u128::from(number), alone);
            }
            _ => {}
        }
    }
    machine.apply(1, &entry(9, (0..3).flat_map(more_of)));
    let id = session(50);
    machine.apply(1, &entry(9, [open(id, 500)]));
    ask(&mut machine, 9, 1 << 90, Op::Close { session: id });
    let counts = machine.counts();
    assert!(counts.leases > counts.locks - 20, "{counts:?}");
    assert_eq!(machine.locks.bundles.len(), 3);
    assert_eq!(machine.audit(), Ok(()));
    machine
}

/// One of everything that more than one exclusive lease can be.
fn more_of(number: u128) -> Vec<Op> {
    let by = |at: u128| session(200 + 10 * number + at);
    let name = |kind: &str| super::lock(&std::format!("{kind}/{number}"));
    let with = |id, kind, mode, wait_ms, max_hold_ms| Op::Acquire {
        by: Acquirer::Session(id),
        lock: name(kind),
        mode,
        wait_ms,
        max_hold_ms,
        value: "v".into(),
    };
    let permits = |count| Mode::Permits { count, of: 9 };
    let wants = ["free", "shared"].map(|kind| Want {
        lock: name(kind),
        mode: Mode::Exclusive,
    });
    let reason = Reason::parse("why").unwrap();
    let delayed = NewSession {
        lock_delay_ms: 5_000,
        ..super::new_session(session(60 + number), 60_000)
    };
    Vec::from([
        open(by(0), 60_000),
        open(by(1), 60_000),
        open(by(2), 60_000),
        with(by(0), "shared", Mode::Shared, 0, Some(7_000)),
        with(by(1), "shared", Mode::Shared, 0, None),
        with(by(0), "shared", Mode::Exclusive, 700, None),
        with(by(0), "permits", permits(3), 0, None),
        with(by(1), "permits", permits(9), 800, Some(9_000)),
        Op::AcquireAll {
            session: by(2),
            wants: Wants::parse(wants.into()).unwrap(),
            wait_ms: 900,
            max_hold_ms: Some(900),
        },
        Op::Revoke {
            lock: name("shared"),
            reason: reason.clone(),
            deadline_ms: 600,
        },
        Op::Acquire {
            by: Acquirer::OneLease(delayed),
            lock: name("delayed"),
            mode: Mode::Exclusive,
            wait_ms: 0,
            max_hold_ms: None,
            value: String::new(),
        },
        Op::Break {
            lock: name("delayed"),
            reason,
        },
    ])
}

/// The frozen bytes are those of the freeze, whatever is applied afterwards.
#[test]
fn a_frozen_view_does_not_move() {
    let mut machine = busy(5_000);
    let at_the_freeze = bytes(&machine);
    let frozen = machine.freeze();
    let digest = frozen.digest();
    let mut chance = StdRng::seed_from_u64(1);
    for number in 0..10_000u64 {
        let by = session(chance.random_range(0..9));
        let name = std::format!("lock/{}", chance.random_range(0..9_000));
        let op = match chance.random_range(0..3) {
            0 => acquire_alone(session(20_000 + u128::from(number)), &name, 500),
            1 => Op::Renew {
                sessions: Vec::from([by]),
            },
            _ => {
                let held = machine.lock(&super::lock(&name));
                let fence = held
                    .as_ref()
                    .map_or(0, |view| view.highest_fence.unwrap().number());
                let by = held.map_or(by, |view| view.holders[0].session);
                release(by, &name, fence)
            }
        };
        ask(
            &mut machine,
            10 + number / 50,
            1 << 100 | u128::from(number),
            op,
        );
    }
    assert_ne!(bytes(&machine), at_the_freeze);
    let mut frozen_bytes = Vec::new();
    let mut longest = 0;
    frozen.encode(&mut |chunk| {
        longest = longest.max(chunk.len());
        frozen_bytes.extend_from_slice(chunk);
    });
    assert!(frozen_bytes == at_the_freeze, "the frozen view moved");
    assert_eq!(frozen.digest(), digest);
    assert!(frozen_bytes.len() > 100_000);
    assert!(longest <= 64 * 1024, "a chunk has {longest} bytes");
    assert_eq!(machine.audit(), Ok(()));
}

/// The digest is of the state: two machines that came to it with different pages agree.
#[test]
fn the_digest_does_not_depend_on_pages() {
    let machine = busy(3_000);
    let thawed = Machine::thaw(&bytes(&machine)).unwrap();
    assert_eq!(thawed.freeze().digest(), machine.freeze().digest());
    assert_eq!(bytes(&thawed), bytes(&machine));
    assert_eq!(thawed.audit(), Ok(()));
}

/// Bytes that were cut, flipped or made up never panic, and never make a machine that the audit
/// would not pass.
#[test]
fn any_bytes_are_answered() {
    let good = bytes(&busy(40));
    for len in 0..good.len() {
        assert!(Machine::thaw(&good[..len]).is_err(), "cut at {len}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert!(Machine::thaw(&longer).is_err());
    let mut chance = StdRng::seed_from_u64(2);
    let mut refused = 0;
    for _ in 0..6_000 {
        let mut bad = good.clone();
        for _ in 0..chance.random_range(1..4) {
            let at = chance.random_range(10..bad.len());
            bad[at] = match chance.random_range(0..3) {
                0 => bad[at] ^ (1 << chance.random_range(0..8)),
                1 => 0xff,
                _ => chance.random(),
            };
        }
        match Machine::thaw(&bad) {
            Ok(mut machine) => {
                assert_eq!(machine.audit(), Ok(()));
                machine.apply(1, &entry(10_000, [acquire(session(1), "lock/1", 5)]));
                machine.apply(1, &entry(1 << 40, []));
                assert_eq!(machine.audit(), Ok(()));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 500, "only {refused} were refused");
    for _ in 0..2_000 {
        let mut made_up = good[..10].to_vec();
        made_up.extend((0..chance.random_range(0..200)).map(|_| chance.random::<u8>()));
        drop(Machine::thaw(&made_up));
    }
}

/// What a cluster granted after its backup is forgotten by a restore, but not by the resources
/// that saw the fences: none of them may be granted again.
#[test]
fn a_restore_grants_no_fence_twice() {
    let mut machine = busy(40);
    let backup = bytes(&machine);
    let mut lost = Vec::new();
    for number in 0..100 {
        let alone = acquire_alone(session(500 + number), &std::format!("new/{number}"), 0);
        let Outcome::Granted(grant) = ask(&mut machine, 20, 1 << 110 | number, alone).outcome
        else {
            panic!("nobody else holds it");
        };
        lost.push(grant.fence);
    }
    let mut restored = Machine::thaw(&backup).unwrap();
    restored.skip_fences_after_restore();
    let alone = acquire_alone(session(900), "new/0", 0);
    let Outcome::Granted(grant) = ask(&mut restored, 20, 1 << 110, alone).outcome else {
        panic!("nobody else holds it");
    };
    assert!(lost.iter().all(|fence| *fence < grant.fence));
    assert_eq!(restored.audit(), Ok(()));
}

/// Other files and other versions are told from cut snapshots.
#[test]
fn what_is_no_snapshot_is_told_apart() {
    let good = bytes(&Machine::new());
    let why = |bytes: &[u8]| Machine::thaw(bytes).unwrap_err().why;
    assert_eq!(why(b"something else"), "this is no snapshot of lockring's");
    let mut newer = good.clone();
    newer[8] += 1;
    assert_eq!(why(&newer), "the snapshot has another version than 2");
    assert_eq!(why(&good[..good.len() - 1]), "a row cannot be read");
}
