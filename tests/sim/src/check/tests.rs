//! Each rule that no planted bug breaks is broken here by hand.

use lockring::consensus::News;
use lockring::service::{Noticed, Place};
use lockring_core::{
    ClusterTime, Event, Fence, Grant, GrantedAll, LeaseEnd, LeaseRow, LockName, MemberName, Mode,
    NewSession, Op, Outcome, Owner, Queued, Reason, Reply, RequestId, SessionId, Ttl, Want, Wants,
    What,
};

use super::{all, heard, served};
use crate::history::{Ask, Call, Told};
use crate::member::Span;
use crate::truth::Truth;
use crate::watcher::Heard;

const TWO_OF_THREE: Mode = Mode::Permits { count: 2, of: 3 };

fn session(number: u128) -> SessionId {
    SessionId::from_bits(number)
}

fn lock(name: &str) -> LockName {
    LockName::parse(name).unwrap()
}

fn grant(session_: u128, fence: u64, mode: Mode, hold_until: Option<u64>) -> Grant {
    Grant {
        session: session(session_),
        mode,
        fence: Fence::claimed(fence),
        expires_at: ClusterTime(u64::MAX),
        hold_until: hold_until.map(ClusterTime),
    }
}

fn granted(name: &str, grant: Grant) -> What {
    What::Granted {
        lock: lock(name),
        grant,
        owner: Owner::default(),
    }
}

fn ended(name: &str, of: &Grant, cause: LeaseEnd) -> What {
    What::Ended {
        lock: lock(name),
        session: of.session,
        owner: Owner::default(),
        mode: of.mode,
        fence: of.fence,
        cause,
    }
}

/// A log in which these things happened, each in its revision and at its time.
fn truth(happened: Vec<(u64, u64, What)>) -> Truth {
    let mut truth = Truth::default();
    for (revision, at, what) in happened {
        let event = Event {
            revision,
            at: ClusterTime(at),
            wall_ms: 0,
            what,
        };
        let news = News {
            revision,
            events: vec![event],
            gap: false,
        };
        truth.hear(1, at, &news).unwrap();
    }
    truth
}

fn told(op: Op, revision: u64, outcome: Outcome) -> Call {
    Call {
        client: 0,
        node: 1,
        asked_ms: revision * 10,
        told_ms: Some(revision * 10 + 5),
        ask: Ask::Command(RequestId::from_bits(1), op),
        told: Told::Reply(Reply {
            revision,
            replayed: false,
            outcome,
        }),
    }
}

/// The rules that are broken, by what they are called.
fn broken(truth: &Truth, history: &[Call]) -> Vec<String> {
    let found = all(truth, history).into_iter();
    let rule = |told: String| told.split(':').next().unwrap_or_default().to_owned();
    found.map(rule).collect()
}

#[test]
fn more_permits_than_there_are_is_told() {
    let first = granted("l", grant(1, 1, TWO_OF_THREE, None));
    let one = Mode::Permits { count: 1, of: 3 };
    let fits = granted("l", grant(2, 2, one, None));
    assert_eq!(
        broken(&truth(vec![(1, 0, first.clone()), (2, 0, fits)]), &[]),
        [""; 0]
    );
    for mode in [
        TWO_OF_THREE,
        Mode::Permits { count: 1, of: 4 },
        Mode::Shared,
        Mode::Exclusive,
    ] {
        let more = granted("l", grant(2, 2, mode, None));
        let log = truth(vec![(1, 0, first.clone()), (2, 0, more)]);
        assert_eq!(broken(&log, &[]), ["compatible holders only"], "{mode:?}");
    }
}

#[test]
fn a_hold_that_ends_before_its_time_is_told() {
    let held = grant(1, 1, Mode::Exclusive, Some(100));
    for (at, rules) in [(99, &["no lease ends early"][..]), (100, &[])] {
        let end = ended("l", &held, LeaseEnd::MaxHold);
        let log = truth(vec![(1, 0, granted("l", held.clone())), (2, at, end)]);
        assert_eq!(broken(&log, &[]), rules);
    }
}

#[test]
fn a_lock_that_does_not_stay_closed_is_told() {
    let new = NewSession {
        session: session(1),
        ttl: Ttl::parse(1_000).unwrap(),
        owner: Owner::default(),
        lock_delay_ms: 50,
        metadata: String::new(),
    };
    let opened = Outcome::Opened {
        session: session(1),
        ttl: new.ttl,
        expires_at: ClusterTime(0),
    };
    let open = told(Op::Open(new), 1, opened);
    let (lost, next) = (
        grant(1, 1, Mode::Exclusive, None),
        grant(2, 2, Mode::Exclusive, None),
    );
    let reason = Reason::parse("a test").unwrap();
    for (at, rules) in [(149, &["a lost lock stays closed"][..]), (150, &[])] {
        let cause = LeaseEnd::Broken {
            reason: reason.clone(),
        };
        let log = truth(vec![
            (2, 0, granted("l", lost.clone())),
            (3, 100, ended("l", &lost, cause)),
            (4, at, granted("l", next.clone())),
        ]);
        assert_eq!(broken(&log, std::slice::from_ref(&open)), rules);
    }
}

#[test]
fn a_part_of_what_was_asked_for_together_is_told() {
    let want = |name| Want {
        lock: lock(name),
        mode: Mode::Exclusive,
    };
    let wants = Wants::parse(vec![want("a"), want("b")]).unwrap();
    let op = Op::AcquireAll {
        session: session(1),
        wants,
        wait_ms: 0,
        max_hold_ms: None,
    };
    let row = |name, fence| LeaseRow {
        lock: lock(name),
        mode: Mode::Exclusive,
        fence: Fence::claimed(fence),
    };
    let all_of = |leases| {
        Outcome::GrantedAll(GrantedAll {
            session: session(1),
            expires_at: ClusterTime(0),
            hold_until: None,
            leases,
        })
    };
    let log = truth(vec![
        (3, 0, granted("a", grant(1, 1, Mode::Exclusive, None))),
        (4, 0, granted("b", grant(1, 2, Mode::Exclusive, None))),
    ]);
    let half = told(op.clone(), 4, all_of(vec![row("a", 1)]));
    assert_eq!(broken(&log, &[half]), ["all or nothing"]);
    // It waited since revision 2, so neither was its own before.
    let place = Queued {
        session: session(1),
        ticket: 2,
        attachment: 2,
        position: 0,
        until: ClusterTime(1_000),
    };
    let waited = told(op.clone(), 2, Outcome::Queued(place.clone()));
    let apart = told(op.clone(), 4, all_of(vec![row("a", 1), row("b", 2)]));
    assert_eq!(
        broken(&log, &[waited.clone(), apart.clone()]),
        ["all or nothing"]
    );
    // Without the wait, it may have held the first before.
    assert_eq!(broken(&log, &[apart]), [""; 0]);
    // A place that is another one, and nobody says what became of the first.
    let moved = Queued { ticket: 3, ..place };
    let moved = told(op, 3, Outcome::Queued(moved));
    assert_eq!(broken(&log, &[waited, moved]), ["a place is kept"]);
}

#[test]
fn a_slot_that_is_served_twice_is_told() {
    let span = |name: &str, from_ms, until_ms| Span {
        slot: 7,
        by: (MemberName::parse(name).unwrap(), session(1)),
        from_ms,
        until_ms,
    };
    assert_eq!(served(&[span("b", 20, 30), span("a", 10, 20)]), [""; 0]);
    assert_eq!(served(&[span("b", 19, 30), span("a", 10, 20)]).len(), 1);
}

#[test]
fn a_stream_that_leaves_out_repeats_or_turns_back_is_told() {
    let fences = 1..=4_u64;
    let log = truth(
        fences
            .map(|at| {
                let lock = format!("l{at}");
                (at, 0, granted(&lock, grant(1, at, Mode::Exclusive, None)))
            })
            .collect(),
    );
    let event = |revision: u64| {
        let event = log.moments[&revision].events[0].clone();
        Heard::Noticed(Noticed::Event(Place::behind(revision), event))
    };
    let gap = |from, to| Heard::Noticed(Noticed::Gap { from, to });
    let since = Heard::Since(1);
    let rules = |told: &[Heard]| heard(&log, told).len();
    assert_eq!(rules(&[since.clone(), event(2), event(3)]), 0);
    assert_eq!(rules(&[since.clone(), event(2), gap(3, 3), event(4)]), 0);
    assert_eq!(rules(&[since.clone(), event(2), event(4)]), 1);
    assert_eq!(rules(&[since.clone(), event(3), gap(3, 3), event(4)]), 1);
    assert_eq!(rules(&[since.clone(), event(2), event(2)]), 1);
    assert_eq!(rules(&[since, event(2), event(3), event(2)]), 1);
}
