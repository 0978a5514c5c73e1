//! What is remembered is bounded: the bounds of `limits.rs` that scripts cannot reach.

use std::vec::Vec;

use super::{acquire, acquire_alone, ask, bytes, entry, lock, open, release, session};
use crate::*;

/// A session remembers its newest 64 outcomes; the oldest is forgotten for the 65th.
#[test]
fn the_oldest_outcome_is_forgotten_first() {
    let most = limits::REPLAYS_PER_SESSION_MAX as u128;
    let id = session(1);
    let mut machine = Machine::new();
    machine.apply(1, &entry(0, [open(id, 10_000)]));
    for request in 0..=most {
        ask(&mut machine, 0, request, release(id, "never", 1));
    }
    machine.apply(1, &entry(0, [acquire(id, "never", 0)]));
    let oldest_kept = ask(&mut machine, 0, 1, release(id, "never", 1));
    assert!(oldest_kept.replayed);
    assert_eq!(machine.audit(), Ok(()));
    let forgotten = ask(&mut machine, 0, 0, release(id, "never", 1));
    assert_eq!(forgotten.outcome, Outcome::Released);
}

/// A call that waits is not forgotten for newer ones, however many.
#[test]
fn a_waiting_call_is_remembered_while_it_waits() {
    let id = session(1);
    let mut machine = Machine::new();
    let holder = acquire_alone(session(2), "db", 0);
    machine.apply(1, &entry(0, [open(id, 10_000), holder]));
    let first = ask(&mut machine, 0, 1, acquire(id, "db", 5_000));
    for request in 100..300 {
        ask(&mut machine, 0, request, release(id, "never", 1));
    }
    let again = ask(&mut machine, 0, 1, acquire(id, "db", 5_000));
    let (Outcome::Queued(first), Outcome::Queued(again)) = (first.outcome, again.outcome) else {
        panic!("both calls wait");
    };
    assert_eq!(first.ticket, again.ticket);
    assert!(first.attachment < again.attachment);
    machine.apply(
        1,
        &entry(
            1,
            [Op::Close {
                session: session(2),
            }],
        ),
    );
    let granted = ask(&mut machine, 2, 1, acquire(id, "db", 5_000));
    assert!(granted.replayed);
    assert!(matches!(granted.outcome, Outcome::Granted(_)));
}

/// Not more than 64 calls of one session share a place: their memory is bounded too.
#[test]
fn calls_that_share_a_place_are_bounded() {
    let id = session(1);
    let mut machine = Machine::new();
    let holder = acquire_alone(session(2), "db", 0);
    machine.apply(1, &entry(0, [open(id, 10_000), holder]));
    let replies: Vec<_> = (0..=limits::REPLAYS_PER_SESSION_MAX as u128)
        .map(|request| ask(&mut machine, 0, request, acquire(id, "db", 5_000)).outcome)
        .collect();
    let (last, others) = replies.split_last().unwrap();
    assert!(others.iter().all(|o| matches!(o, Outcome::Queued(_))));
    let limit = Limit::WaitersPerLock;
    assert_eq!(*last, Outcome::Refused(Refusal::Limit { limit }));
    assert_eq!(machine.audit(), Ok(()));
}

/// A deadlock is found however long the queue is that it goes through; but if more has to be
/// looked at than there may be, a request is let into the queue, and its wait ends.
#[test]
fn a_tangle_beyond_the_bound_is_let_in() {
    let (one, two) = (session(1), session(2));
    let crowd = limits::DEADLOCK_STEPS_MAX as u128;
    let mut machine = Machine::new();
    let ops = [
        open(one, 60_000),
        open(two, 60_000),
        acquire(one, "a", 0),
        acquire(two, "b", 0),
        acquire(two, "hot", 0),
        acquire(two, "a", 20_000),
    ];
    machine.apply(1, &entry(0, ops));
    for numbers in (0..crowd).collect::<Vec<_>>().chunks(512) {
        let alone = |n: &u128| acquire_alone(session(100 + n), "hot", 30_000);
        machine.apply(1, &entry(0, numbers.iter().map(alone)));
    }
    let direct = ask(&mut machine, 0, 1, acquire(one, "hot", 10_000)).outcome;
    assert!(matches!(direct, Outcome::Refused(Refusal::Deadlock { cycle }) if cycle.len() == 2));
    // Now it goes through somebody at the far end of the queue only.
    machine.apply(1, &entry(1, [release(two, "hot", 3)]));
    let first = session(100);
    machine.apply(1, &entry(1, [acquire(first, "b", 20_000)]));
    let far = ask(&mut machine, 1, 2, acquire(one, "hot", 10_000)).outcome;
    assert!(matches!(far, Outcome::Refused(Refusal::Deadlock { cycle }) if cycle.len() == 3));
    let ops = [open(session(3), 60_000), acquire(session(3), "c", 0)];
    machine.apply(1, &entry(1, ops));
    machine.apply(1, &entry(1, [acquire(session(100 + 1), "c", 20_000)]));
    let tangled = ask(&mut machine, 1, 3, acquire(session(3), "hot", 10_000)).outcome;
    assert!(matches!(tangled, Outcome::Queued(_)), "{tangled:?}");
    assert_eq!(machine.audit(), Ok(()));
    machine.apply(1, &entry(10_001, []));
    let ended = ask(&mut machine, 10_001, 3, acquire(session(3), "hot", 10_000)).outcome;
    assert!(matches!(
        ended,
        Outcome::Refused(Refusal::WaitTimeout { .. })
    ));
}

/// The cause of a session's end is remembered for the newest 16,384; older ones never existed.
#[test]
fn old_endings_are_forgotten() {
    let most = limits::ENDED_SESSIONS_MAX as u128;
    let mut machine = Machine::new();
    for number in 1..=most + 1 {
        let id = session(number);
        machine.apply(1, &entry(0, [open(id, 500), Op::Close { session: id }]));
    }
    assert_eq!(machine.session(session(1)), Err(Gone::NeverExisted));
    assert_eq!(machine.session(session(2)), Err(Gone::Closed));
    assert_eq!(machine.session(session(most + 1)), Err(Gone::Closed));
    assert_eq!(machine.audit(), Ok(()));
    let thawed = Machine::thaw(&bytes(&machine)).unwrap();
    assert_eq!(thawed.session(session(1)), Err(Gone::NeverExisted));
    assert_eq!(thawed.session(session(2)), Err(Gone::Closed));
}

/// A closing that released more locks than are listed is not repeated, only told as closed.
#[test]
fn a_long_closing_is_not_remembered_whole() {
    for (locks, remembered) in [(limits::LISTED_MAX, true), (limits::LISTED_MAX + 1, false)] {
        let id = session(1);
        let mut machine = Machine::new();
        machine.apply(1, &entry(0, [open(id, 10_000)]));
        for number in 0..locks {
            let name = std::format!("lock/{number}");
            machine.apply(1, &entry(0, [acquire(id, &name, 0)]));
        }
        let first = ask(&mut machine, 0, 1, Op::Close { session: id });
        assert!(matches!(&first.outcome, Outcome::Closed { released } if released.len() == locks));
        let again = ask(&mut machine, 0, 1, Op::Close { session: id });
        assert_eq!(again.replayed, remembered);
        assert_eq!(again.outcome == first.outcome, remembered);
    }
}

/// More falls due at once than one entry handles: the rest goes with the next ones, and nobody
/// profits from it meanwhile.
#[test]
fn what_is_left_over_falls_due_with_the_next_entry() {
    let most = limits::EXPIRIES_PER_ENTRY_MAX as u128;
    let ids: Vec<_> = (1..=most + 2).map(session).collect();
    let mut machine = Machine::new();
    for some in ids.chunks(4096) {
        machine.apply(1, &entry(0, some.iter().map(|id| open(*id, 500))));
    }
    let last = *ids.last().unwrap();
    machine.apply(1, &entry(0, [acquire(last, "db", 0)]));
    let applied = machine.apply(1, &entry(500, []));
    assert_eq!(applied.events.len(), limits::EXPIRIES_PER_ENTRY_MAX);
    assert_eq!(machine.counts().sessions, 2);
    assert!(machine.lock(&lock("db")).is_some());
    machine.bounds.expiries_per_entry = 0;
    let renewed = Op::Renew {
        sessions: Vec::from([last]),
    };
    let applied = machine.apply(1, &entry(500, [renewed]));
    let gone = Outcome::Renewed(Vec::from([(last, Renewal::Gone(Gone::Expired))]));
    assert_eq!(applied.replies[0].outcome, gone);
    assert_eq!(machine.lock(&lock("db")), None);
    assert_eq!(machine.audit(), Ok(()));
}
