//! Mistakes planted in a machine, each of which the audit must name: a check that cannot fail
//! would protect nothing.

use std::boxed::Box;
use std::string::String;

use super::{acquire, acquire_alone, bytes, entry, lock, open, session};
use crate::deadlines::Due;
use crate::lock::{Lease, Lock, Whole};
use crate::session::Life;
use crate::*;

/// `s1` holds `db` with fence 1, `s2` waits for it until 700, `s3` lives for its lease of `one`.
fn machine() -> Machine {
    let mut machine = Machine::new();
    let ops = [
        open(session(1), 10_000),
        open(session(2), 10_000),
        acquire(session(1), "db", 0),
        acquire(session(2), "db", 600),
        acquire_alone(session(3), "one", 0),
    ];
    machine.apply(1, &entry(100, ops));
    assert_eq!(machine.audit(), Ok(()));
    machine
}

fn found(plant: impl Fn(&mut Machine)) -> String {
    let mut machine = machine();
    plant(&mut machine);
    machine.audit().expect_err("a mistake was planted")
}

fn change_lease(machine: &mut Machine, change: impl Fn(&mut Lease)) {
    machine
        .locks
        .change(&lock("db"), |row| change(&mut row.leases[0]));
}

type Plant = (&'static str, Box<dyn Fn(&mut Machine)>);

fn each_is_named<const N: usize>(plants: [Plant; N]) {
    for (mistake, plant) in plants {
        let named = found(plant);
        assert!(named.contains(mistake), "{mistake}: {named}");
    }
}

#[test]
fn the_audit_names_what_rows_contradict() {
    each_is_named([
        (
            "I2: two leases have one fence",
            Box::new(|m| {
                change_lease(m, |lease| lease.fence = Fence::claimed(2));
            }),
        ),
        (
            "I2: its fence was never minted",
            Box::new(|m| {
                change_lease(m, |lease| lease.fence = Fence::claimed(9));
            }),
        ),
        (
            "I3: its holder is not a live session",
            Box::new(|m| {
                change_lease(m, |lease| lease.session = session(9));
            }),
        ),
        (
            "I5: its holder waits for it",
            Box::new(|m| {
                change_lease(m, |lease| lease.session = session(2));
            }),
        ),
        (
            "I6: it was granted in the future",
            Box::new(|m| {
                change_lease(m, |lease| lease.since = ClusterTime(101));
            }),
        ),
        (
            "I13: its queue is not in the order",
            Box::new(|m| {
                let late = acquire_alone(session(4), "db", 900);
                m.apply(1, &entry(100, [late]));
                m.locks.waiter_mut(&lock("db"), 6).unwrap().since = ClusterTime(99);
            }),
        ),
        (
            "I3: it outlived the lease that it lives for",
            Box::new(|m| {
                m.sessions.get_mut(session(3)).unwrap().life = Life::Holds(lock("db"));
            }),
        ),
    ]);
}

#[test]
fn the_audit_names_indexes_that_do_not_follow() {
    each_is_named([
        (
            "its lease is not in its session's index",
            Box::new(|m| {
                m.locks
                    .change(&lock("one"), |row| row.leases[0].session = session(1));
                m.sessions.get_mut(session(3)).unwrap().life = Life::Open;
            }),
        ),
        (
            "I4: leases and their index differ in number",
            Box::new(|m| {
                m.locks.rows.remove(&lock("one")).unwrap();
                m.sessions.get_mut(session(3)).unwrap().life = Life::Open;
            }),
        ),
        (
            "a wait does not fall due",
            Box::new(|m| {
                m.deadlines
                    .remove(ClusterTime(700), Due::Wait(4, lock("db")));
            }),
        ),
        (
            "it does not fall due as it should",
            Box::new(|m| {
                m.deadlines
                    .remove(ClusterTime(10_100), Due::Session(session(1)));
            }),
        ),
        (
            "its leases are miscounted",
            Box::new(|m| {
                m.sessions.get_mut(session(1)).unwrap().leases = 2;
            }),
        ),
    ]);
}

/// Beside that, `s1` and `s2` share `doc` and were asked to give it up until 800, `s2` waits for
/// `many` and `one` together, `short` may be held until 5100, and `lost` is closed until 1100.
fn rich() -> Machine {
    let mut machine = machine();
    let (one, two) = (session(1), session(2));
    let with = |id, name: &str, mode, wait_ms, max_hold_ms| Op::Acquire {
        by: Acquirer::Session(id),
        lock: lock(name),
        mode,
        wait_ms,
        max_hold_ms,
        value: String::new(),
    };
    let wants = ["many", "one"].map(|name| Want {
        lock: lock(name),
        mode: Mode::Exclusive,
    });
    let reason = Reason::parse("why").unwrap();
    let mut careless = super::new_session(session(7), 10_000);
    careless.lock_delay_ms = 1_000;
    let ops = [
        with(one, "doc", Mode::Shared, 0, None),
        with(two, "doc", Mode::Shared, 0, None),
        Op::AcquireAll {
            session: two,
            wants: Wants::parse(wants.into()).unwrap(),
            wait_ms: 5_000,
            max_hold_ms: None,
        },
        with(one, "short", Mode::Exclusive, 0, Some(5_000)),
        Op::Open(careless),
        with(session(7), "lost", Mode::Exclusive, 0, None),
        Op::EndSession {
            session: session(7),
            reason: reason.clone(),
        },
        Op::Revoke {
            lock: lock("doc"),
            reason,
            deadline_ms: 700,
        },
    ];
    machine.apply(1, &entry(100, ops));
    assert_eq!(machine.audit(), Ok(()));
    machine
}

fn in_rich(mistake: &str, plant: impl Fn(&mut Machine)) {
    let mut machine = rich();
    plant(&mut machine);
    let named = machine.audit().expect_err("a mistake was planted");
    assert!(named.contains(mistake), "{mistake}: {named}");
}

#[test]
fn the_audit_names_what_modes_and_many_contradict() {
    let (db, doc, many, short) = (lock("db"), lock("doc"), lock("many"), lock("short"));
    in_rich("I1: incompatible leases coexist", |m| {
        m.locks
            .change(&doc, |row| row.leases[1].mode = Mode::Exclusive);
    });
    in_rich("I1: incompatible leases coexist", |m| {
        let permits = Mode::Permits { count: 2, of: 3 };
        let leases = |row: &mut Whole| row.leases.iter_mut().for_each(|l| l.mode = permits);
        m.locks.change(&doc, leases);
    });
    in_rich("a lease has a mode that is none", |m| {
        let mode = Mode::Permits { count: 0, of: 3 };
        m.locks.change(&db, |row| row.leases[0].mode = mode);
    });
    in_rich("I5: an upgrader is no sharer", |m| {
        let mut waiter = m.locks.place(session(2), &db).unwrap().1.clone();
        waiter.ask.mode = Mode::Exclusive;
        m.locks.change(&db, |row| row.upgrade = Some(waiter));
    });
    in_rich("I13: whoever is next could have it", |m| {
        m.locks.change(&db, |row| row.leases.clear());
    });
    in_rich("I13: whoever is next could have it", |m| {
        m.locks.change(&lock("one"), |row| row.leases.clear());
        m.sessions.get_mut(session(3)).unwrap().life = Life::Open;
    });
    in_rich("leases that are asked for and a revocation disagree", |m| {
        m.locks.change(&doc, |row| row.revocation = None);
    });
    in_rich("a place among many is not as its wait says", |m| {
        let (_, waiter) = m.locks.place(session(2), &many).unwrap();
        let ticket = waiter.ticket;
        m.locks.waiter_mut(&many, ticket).unwrap().until = ClusterTime(9_000);
    });
    in_rich("a place among many is not as its wait says", |m| {
        let ticket = m.locks.place(session(2), &many).unwrap().1.ticket;
        m.locks.bundles.remove(&ticket);
    });
    in_rich("it has no place where it waits", |m| {
        let ticket = m.locks.place(session(2), &many).unwrap().1.ticket;
        m.locks.dequeue(&many, ticket);
    });
    in_rich("a longest hold does not fall due", |m| {
        let fence = m.locks.get(&short).unwrap().highest_fence().unwrap();
        let due = Due::Hold(fence, short.clone());
        m.deadlines.remove(ClusterTime(5_100), due);
    });
    in_rich("a revocation does not fall due", |m| {
        m.deadlines
            .remove(ClusterTime(800), Due::Revoke(doc.clone()));
    });
    in_rich("a delay does not fall due", |m| {
        let due = Due::Delay(lock("lost"));
        m.deadlines.remove(ClusterTime(1_100), due);
    });
    in_rich("I4: it keeps more than there is", |m| {
        let row = Lock::Whole(Whole::default().into());
        m.locks.rows.insert(lock("nothing"), row);
    });
}

/// A snapshot that leaves something out of the rows is refused or differs: here the highest fence,
/// without which a restored cluster would mint the old numbers again (I2).
#[test]
fn a_snapshot_without_its_highest_fence_is_refused() {
    let mut machine = machine();
    machine.mint = crate::fence::Mint::default();
    let thawed = Machine::thaw(&bytes(&machine));
    assert_eq!(thawed.unwrap_err().why, "the tables contradict each other");
}
