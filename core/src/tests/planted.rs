//! Mistakes planted in a machine, each of which the audit must name: a check that cannot fail
//! would protect nothing.

use std::boxed::Box;
use std::string::String;

use super::{acquire, acquire_alone, bytes, entry, lock, open, session};
use crate::deadlines::Due;
use crate::lock::Lease;
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

/// A snapshot that leaves something out of the rows is refused or differs: here the highest fence,
/// without which a restored cluster would mint the old numbers again (I2).
#[test]
fn a_snapshot_without_its_highest_fence_is_refused() {
    let mut machine = machine();
    machine.mint = crate::fence::Mint::default();
    let thawed = Machine::thaw(&bytes(&machine));
    assert_eq!(thawed.unwrap_err().why, "the tables contradict each other");
}
