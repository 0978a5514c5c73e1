//! What must hold across the tables, checked from scratch.
//!
//! It recomputes everything that an apply maintains step by step, and so is slow: for tests, and
//! for bytes that claim to be a machine. It checks I1 to I6 as far as one state can show them (a
//! history shows the rest) and the order of arrival that I13 rests on.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

use crate::deadlines::Due;
use crate::fence::Fence;
use crate::lock::Lock;
use crate::machine::Machine;
use crate::name::{LockName, SessionId};
use crate::session::{Life, Session};

/// The first thing that does not hold, in words.
pub(crate) fn audit(machine: &Machine) -> Result<(), String> {
    let sessions = &machine.sessions;
    let locks = &machine.locks;
    for pages in [
        sessions.rows.audit(),
        sessions.ended.rows.audit(),
        locks.rows.audit(),
    ] {
        pages.map_err(String::from)?;
    }
    audit_locks(machine)?;
    audit_sessions(machine)?;
    let counted = sessions.rows.len() <= machine.bounds.sessions;
    check(counted, "there are too many sessions")?;
    let counted = locks.rows.len() <= machine.bounds.locks;
    check(counted, "there are too many locks")
}

fn audit_locks(machine: &Machine) -> Result<(), String> {
    let locks = &machine.locks;
    let mut fences = BTreeSet::new();
    let mut places = 0;
    for (name, lock) in locks.rows.iter() {
        audit_lock(machine, name, lock).map_err(|why| format!("lock {name}: {why}"))?;
        let new = fences.insert(lock.lease.fence);
        check(new, "I2: two leases have one fence")?;
        places += lock.queue_len();
    }
    // With one lease a lock, as many index rows as locks means that none is left of a lock or a
    // lease that is gone (I1, I4).
    let leases = locks.leases_len() == locks.rows.len();
    check(leases, "I1, I4: leases and locks differ in number")?;
    let same = places == locks.places_len();
    check(same, "I4: places and their index differ in number")
}

fn audit_lock(machine: &Machine, name: &LockName, lock: &Lock) -> Result<(), String> {
    let lease = &lock.lease;
    let minted = lease.fence > Fence::claimed(0) && lease.fence.number() <= machine.mint.last();
    check(minted, "I2: its fence was never minted")?;
    check(
        lease.since <= machine.clock,
        "I6: it was granted in the future",
    )?;
    check(
        lease.attachment <= machine.revision,
        "it was attached to in the future",
    )?;
    let holder = machine.sessions.get(lease.session);
    check(holder.is_some(), "I3: its holder is not a live session")?;
    let indexed = machine.locks.has_lease(lease.session, name);
    check(indexed, "its lease is not in its session's index")?;
    check(lock.queue_is_lean(), "I4: it keeps an empty queue")?;
    let full = lock.queue_len() > machine.bounds.waiters_per_lock;
    check(!full, "too many wait for it")?;
    let mut arrived = (0, 0);
    for waiter in lock.waiters() {
        let later = arrived.0 < waiter.ticket && arrived.1 <= waiter.since.0;
        check(later, "I13: its queue is not in the order of arrival")?;
        arrived = (waiter.ticket, waiter.since.0);
        check(
            waiter.since <= machine.clock,
            "I6: a waiter came in the future",
        )?;
        let attached = waiter.ticket <= waiter.attachment;
        check(attached, "a waiter attached before it came")?;
        let attached = waiter.attachment <= machine.revision;
        check(attached, "a waiter attached in the future")?;
        let both = waiter.session == lease.session;
        check(!both, "I5: its holder waits for it")?;
        let alive = machine.sessions.get(waiter.session).is_some();
        check(alive, "I3: a waiter is not a live session")?;
        let place = machine.locks.place(waiter.session, name);
        let indexed = place.is_some_and(|(_, place)| place == waiter);
        check(indexed, "a place is not in its session's index")?;
        let due = Due::Wait(waiter.ticket, name.clone());
        let due = machine.deadlines.contains(waiter.until, due);
        check(due, "a wait does not fall due")?;
    }
    Ok(())
}

fn audit_sessions(machine: &Machine) -> Result<(), String> {
    let sessions = &machine.sessions;
    let mut openings = 0;
    let mut due = machine.locks.places_len();
    for (id, session) in sessions.rows.iter() {
        audit_session(machine, *id, session)
            .map_err(|why| format!("session {}: {why}", id.short()))?;
        if let Some(opening) = session.opening {
            let known = sessions.opened_by(opening.request) == Some(*id);
            check(known, "a session is not found by the call that opened it")?;
            openings += 1;
        }
        match session.life {
            Life::Waits(_) => {}
            Life::Open | Life::Holds(_) => due += 1,
        }
    }
    for (_, ended) in sessions.ended.rows.iter() {
        let dead = sessions.get(ended.session).is_none();
        check(dead, "an ended session is alive")?;
        if let Some(request) = ended.opened_and_ended_by() {
            let known = sessions.opened_by(request) == Some(ended.session);
            check(known, "an ended session is not found by its call")?;
            openings += 1;
        }
    }
    let same = openings == sessions.openings_len();
    check(same, "opening calls and their index differ in number")?;
    let same = sessions.ended.rows.len() == sessions.ended.index_len();
    check(same, "ended sessions and their index differ in number")?;
    let same = due == machine.deadlines.len();
    check(same, "what falls due and the deadlines differ in number")
}

fn audit_session(machine: &Machine, id: SessionId, session: &Session) -> Result<(), String> {
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
    let bounded = leases + places <= machine.bounds.leases_per_session;
    check(bounded, "it has too many leases and places")?;
    for lock in locks.leases_of(id) {
        let held = locks.get(lock).is_some_and(|row| row.lease.session == id);
        check(held, "I4: its index has a lease that is over")?;
    }
    let due = machine
        .deadlines
        .contains(session.expires_at, Due::Session(id));
    match &session.life {
        Life::Open => check(due, "it does not fall due")?,
        Life::Holds(lock) => {
            check(due, "it does not fall due")?;
            let held = locks.get(lock).is_some_and(|row| row.lease.session == id);
            check(held, "I3: it outlived the lease that it lives for")?;
        }
        Life::Waits(lock) => {
            check(!due, "it falls due twice")?;
            let place = locks.place(id, lock);
            let until = place.is_some_and(|(_, place)| place.until == session.expires_at);
            check(until, "it does not end with the wait that it lives for")?;
        }
    }
    let Some(replay) = session.replay() else {
        return Ok(());
    };
    replay.audit().map_err(String::from)?;
    let tickets: BTreeSet<u64> = locks.places_of(id).map(|(_, ticket)| ticket).collect();
    let wait = replay.tickets().all(|ticket| tickets.contains(&ticket));
    check(wait, "it remembers a call that waits in no place")
}

fn check(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_string()) }
}
