//! What readers are shown: listings in order, page by page, and single rows.

use std::vec::Vec;

use super::{acquire, acquire_alone, entry, lock, new_session, open, session};
use crate::*;

fn names(locks: &[LockView]) -> Vec<&str> {
    locks.iter().map(|view| view.lock.as_str()).collect()
}

#[test]
fn locks_are_listed_by_prefix_in_pages() {
    let mut machine = Machine::new();
    let holder = session(1);
    let all = ["a", "b", "b/1", "b/2", "b/3", "b0", "c"];
    let acquires = all.iter().rev().map(|name| acquire(holder, name, 0));
    machine.apply(
        1,
        &entry(0, [open(holder, 10_000)].into_iter().chain(acquires)),
    );
    assert_eq!(names(&machine.locks("", None, 100)), all);
    assert_eq!(
        names(&machine.locks("b/", None, 100)),
        ["b/1", "b/2", "b/3"]
    );
    assert_eq!(names(&machine.locks("b/", None, 2)), ["b/1", "b/2"]);
    assert_eq!(names(&machine.locks("b/", Some(&lock("b/2")), 2)), ["b/3"]);
    // A start before the prefix is no start.
    assert_eq!(names(&machine.locks("b/", Some(&lock("a")), 1)), ["b/1"]);
    assert_eq!(names(&machine.locks("b/", Some(&lock("c")), 1)), [""; 0]);
    assert_eq!(names(&machine.locks("d", None, 1)), [""; 0]);
}

#[test]
fn a_lock_shows_its_holder_and_its_queue() {
    let mut machine = Machine::new();
    let ops = [
        acquire_alone(session(1), "db", 0),
        acquire_alone(session(2), "db", 5_000),
    ];
    machine.apply(1, &entry(100, ops));
    let view = machine.lock(&lock("db")).unwrap();
    assert_eq!(view.highest_fence, Some(Fence::claimed(1)));
    assert_eq!(view.queue_total, 1);
    let holder = &view.holders[0];
    assert_eq!(holder.session, session(1));
    assert_eq!(holder.since, ClusterTime(100));
    assert_eq!(holder.expires_at, ClusterTime(10_100));
    let waiter = &view.queue[0];
    assert_eq!(waiter.session, session(2));
    assert_eq!((waiter.ticket, waiter.since), (2, ClusterTime(100)));
    assert_eq!(waiter.until, ClusterTime(5_100));
    let place = machine.place(session(2), &lock("db")).unwrap();
    assert_eq!((place.ticket, place.position), (2, 0));
    assert_eq!(machine.place(session(1), &lock("db")), None);
    assert_eq!(machine.next_deadline(), Some(ClusterTime(5_100)));
}

#[test]
fn long_rows_are_listed_in_part_and_counted_whole() {
    let mut machine = Machine::new();
    let holder = session(1);
    machine.apply(1, &entry(0, [open(holder, 10_000)]));
    for number in 0..limits::LISTED_MAX as u128 + 5 {
        let held = std::format!("held/{number}");
        let alone = acquire_alone(session(100 + number), "hot", 5_000);
        machine.apply(1, &entry(0, [acquire(holder, &held, 0), alone]));
    }
    let view = machine.session(holder).unwrap();
    assert_eq!(view.leases.len(), limits::LISTED_MAX);
    assert_eq!(view.leases_total as usize, limits::LISTED_MAX + 5);
    let hot = machine.lock(&lock("hot")).unwrap();
    assert_eq!(hot.queue.len(), limits::LISTED_MAX);
    assert_eq!(hot.queue_total as usize, limits::LISTED_MAX + 4);
}

/// Of many sharers the view lists some and counts all; each is found by its session or its fence.
#[test]
fn every_one_of_many_sharers_is_found() {
    let mut machine = Machine::new();
    let most = limits::LISTED_MAX as u128 + 5;
    for number in 1..=most {
        let mut alone = acquire_alone(session(number), "doc", 0);
        if let Op::Acquire { mode, .. } = &mut alone {
            *mode = Mode::Shared;
        }
        machine.apply(1, &entry(0, [alone]));
    }
    let doc = lock("doc");
    let view = machine.lock(&doc).unwrap();
    assert_eq!(view.holders.len(), limits::LISTED_MAX);
    assert_eq!(u128::from(view.holders_total), most);
    for number in 1..=most {
        let grant = machine.lease(session(number), &doc).unwrap();
        assert_eq!(grant.mode, Mode::Shared);
        assert!(machine.is_in_force(&doc, grant.fence));
    }
    assert_eq!(machine.lease(session(most + 1), &doc), None);
    let newest = view.highest_fence.unwrap().number();
    assert!(!machine.is_in_force(&doc, Fence::claimed(newest + 1)));
    assert!(!machine.is_in_force(&lock("free"), Fence::claimed(1)));
}

#[test]
fn sessions_are_listed_by_owner_in_pages() {
    let mut machine = Machine::new();
    let of = |number: u128, owner: &str| {
        let mut new = new_session(session(number), 10_000);
        new.owner = Owner::parse(owner).unwrap();
        new.metadata = owner.repeat(2);
        Op::Open(new)
    };
    machine.apply(
        1,
        &entry(0, [of(3, "a"), of(1, "b"), of(2, "a"), of(4, "a")]),
    );
    let ids = |owner, after, rows| -> Vec<SessionId> {
        let rows = machine.sessions(owner, after, rows);
        rows.iter().map(|view| view.session).collect()
    };
    assert_eq!(ids(None, None, 9), [1, 2, 3, 4].map(session));
    assert_eq!(ids(Some("a"), None, 2), [2, 3].map(session));
    assert_eq!(ids(Some("a"), Some(session(3)), 2), [4].map(session));
    assert_eq!(ids(Some("c"), None, 2), []);
    assert_eq!(ids(Some("a\n"), None, 2), [], "nobody can be called so");
    let last = Some(SessionId::from_bits(u128::MAX));
    assert_eq!(ids(Some("a"), last, 2), []);
    let view = machine.session(session(1)).unwrap();
    assert_eq!((view.owner.as_str(), view.metadata.as_str()), ("b", "bb"));
    assert_eq!(machine.session(session(9)), Err(Gone::NeverExisted));
    for gone in [2, 4] {
        let gone = session(gone);
        machine.apply(1, &entry(0, [Op::Close { session: gone }]));
    }
    let rows = machine.sessions(Some("a"), None, 9);
    assert_eq!(rows.len(), 1, "who has ended is not listed");
    let ended = |from, to| machine.ended_session(session(from), session(to));
    assert_eq!(ended(1, 3), Some(session(2)));
    assert_eq!(ended(1, 9), Some(session(4)), "the last of them");
    assert_eq!(ended(3, 3), None, "it lives");
    machine.audit().unwrap();
}

#[test]
fn a_session_shows_its_leases_and_places_by_name() {
    let mut machine = Machine::new();
    let (one, two) = (session(1), session(2));
    let ops = [
        open(one, 10_000),
        open(two, 10_000),
        acquire(two, "x", 0),
        acquire(two, "w", 0),
        acquire(one, "b", 0),
        acquire(one, "a", 0),
        acquire(one, "x", 100),
        acquire(one, "w", 100),
    ];
    machine.apply(1, &entry(0, ops));
    let view = machine.session(one).unwrap();
    let leases: Vec<_> = view
        .leases
        .iter()
        .map(|l| (l.lock.as_str(), l.fence.number()))
        .collect();
    assert_eq!(leases, [("a", 4), ("b", 3)]);
    let waits: Vec<_> = view
        .waits
        .iter()
        .map(|w| (w.lock.as_str(), w.position))
        .collect();
    assert_eq!(waits, [("w", 0), ("x", 0)]);
    let counts = machine.counts();
    assert_eq!((counts.sessions, counts.locks), (2, 4));
    assert_eq!((counts.leases, counts.waiters), (4, 2));
}
