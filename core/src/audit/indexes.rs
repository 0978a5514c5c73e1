//! The indexes: what follows from the rows and is maintained step by step.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::check;
use crate::deadlines::Due;
use crate::lock::Lock;
use crate::machine::{Machine, multi_due};
use crate::name::{LockName, SessionId};
use crate::session::{Life, Session};

/// The first index that does not follow from the rows.
pub(super) fn audit_indexes(machine: &Machine) -> Result<(), String> {
    let (sessions, locks) = (&machine.sessions, &machine.locks);
    sessions.rows.audit()?;
    sessions.ended.rows.audit()?;
    locks.rows.audit()?;
    locks.bundles.audit()?;
    let (mut leases, mut places, mut due) = (0, 0, 0);
    for (name, lock) in locks.rows.iter() {
        due +=
            audit_lock_indexes(machine, name, lock).map_err(|why| format!("lock {name}: {why}"))?;
        leases += lock.leases().len();
        places += lock.waiting();
    }
    for (ticket, bundle) in locks.bundles.iter() {
        let falls_due = machine
            .deadlines
            .contains(bundle.until, multi_due(*ticket, bundle));
        check(falls_due, "a wait for many does not fall due")?;
        due += 1;
    }
    // Each lease is in the index, so as many index rows as leases means that none is left of a
    // lease that is gone.
    let same = locks.leases_len() == leases;
    check(same, "I4: leases and their index differ in number")?;
    let same = places == locks.places_len();
    check(same, "I4: places and their index differ in number")?;
    let mut openings = 0;
    for (id, session) in sessions.rows.iter() {
        audit_session_indexes(machine, *id, session)
            .map_err(|why| format!("session {}: {why}", id.short()))?;
        openings += usize::from(session.opening.is_some());
        due += usize::from(!matches!(session.life, Life::Waits(_)));
    }
    for (_, ended) in sessions.ended.rows.iter() {
        if let Some(request) = ended.opened_and_ended_by() {
            let known = sessions.opened_by(request) == Some(ended.session);
            check(known, "an ended session is not found by its call")?;
            openings += 1;
        }
    }
    let same = openings == sessions.openings_len();
    check(same, "opening calls and their index differ in number")?;
    // A session in the rows is found by its owner, so as many means that nothing else is there.
    let same = sessions.owners_len() == sessions.rows.len();
    check(
        same,
        "sessions and the index of their owners differ in number",
    )?;
    let same = sessions.ended.rows.len() == sessions.ended.index_len();
    check(same, "ended sessions and their index differ in number")?;
    due += audit_rings(machine)?;
    let same = due == machine.deadlines.len();
    check(same, "what falls due and the deadlines differ in number")
}

/// Returns how much of the rings falls due.
fn audit_rings(machine: &Machine) -> Result<usize, String> {
    let (mut due, mut bound) = (0, BTreeMap::new());
    for (name, ring) in &machine.rings.rows {
        if let Some(at) = ring.alarm() {
            let falls_due = machine.deadlines.contains(at, Due::Ring(name.clone()));
            check(falls_due, "a ring does not wake when it should")?;
            due += 1;
        }
        for member in ring.members.values().filter(|member| member.is_alive()) {
            *bound.entry((member.session, name)).or_insert(0) += 1;
        }
    }
    for ((session, ring), members) in &bound {
        let same = machine.rings.bound(*session, ring) == *members;
        check(same, "a session's members are not in their index")?;
    }
    let same = bound.len() == machine.rings.bound_len();
    check(same, "members and their index differ in number")?;
    Ok(due)
}

/// Returns how much of the lock falls due.
fn audit_lock_indexes(machine: &Machine, name: &LockName, lock: &Lock) -> Result<usize, String> {
    let (mut due, deadlines) = (0, &machine.deadlines);
    for lease in lock.leases() {
        let indexed = machine.locks.has_lease(lease.session, name);
        check(indexed, "its lease is not in its session's index")?;
        if let Some(until) = lease.hold_until() {
            let falls_due = deadlines.contains(until, Due::Hold(lease.fence, name.clone()));
            check(falls_due, "a longest hold does not fall due")?;
            due += 1;
        }
    }
    for waiter in lock.waiters() {
        let place = machine.locks.place(waiter.session, name);
        let indexed = place.is_some_and(|(_, place)| place == waiter);
        check(indexed, "a place is not in its session's index")?;
        if !waiter.many {
            let falls_due = Due::Wait(waiter.ticket, name.clone());
            let falls_due = deadlines.contains(waiter.until, falls_due);
            check(falls_due, "a wait does not fall due")?;
            due += 1;
        }
    }
    if let Some(revocation) = lock.revocation() {
        let falls_due = deadlines.contains(revocation.deadline, Due::Revoke(name.clone()));
        check(falls_due, "a revocation does not fall due")?;
        due += 1;
    }
    if let Some(until) = lock.delayed_until() {
        let falls_due = deadlines.contains(until, Due::Delay(name.clone()));
        check(falls_due, "a delay does not fall due")?;
        due += 1;
    }
    Ok(due)
}

fn audit_session_indexes(
    machine: &Machine,
    id: SessionId,
    session: &Session,
) -> Result<(), String> {
    let indexed = machine.sessions.is_of_owner(id, &session.owner);
    check(indexed, "it is not found by its owner")?;
    let locks = &machine.locks;
    let leases = locks.leases_of(id).count();
    check(
        leases == session.leases as usize,
        "its leases are miscounted",
    )?;
    let places = locks.places_of(id).count();
    check(
        places == session.places as usize,
        "its places are miscounted",
    )?;
    for lock in locks.leases_of(id) {
        let held = locks.lease_of(id, lock).is_some();
        check(held, "I4: its index has a lease that is over")?;
    }
    let due = machine
        .deadlines
        .contains(session.expires_at, Due::Session(id));
    let falls_due = !matches!(session.life, Life::Waits(_));
    check(due == falls_due, "it does not fall due as it should")?;
    if let Some(opening) = session.opening {
        let known = machine.sessions.opened_by(opening.request) == Some(id);
        check(known, "it is not found by the call that opened it")?;
    }
    Ok(())
}
