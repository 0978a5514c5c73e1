//! What must hold across the tables, checked from scratch.
//!
//! It has two halves. The *rows* are the state itself: what they must not contradict is checked
//! whenever bytes claim to be a machine. The *indexes* follow from the rows; an apply maintains
//! them step by step, so tests recompute them, and a thaw, which has just built them, need not.
//!
//! It checks I1 to I6 as far as one state can show them (a history shows the rest), and the order
//! of arrival that I13 rests on.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::deadlines::Due;
use crate::fence::Fence;
use crate::limits::RINGS_MAX;
use crate::lock::{Lock, Waiter};
use crate::machine::Machine;
use crate::name::{LockName, SessionId};
use crate::ring::Ring;
use crate::session::{Life, Session};

impl Machine {
    /// Checks the invariants across tables; slow, for tests.
    ///
    /// # Errors
    /// The first that does not hold, in words.
    pub fn audit(&self) -> Result<(), String> {
        audit_rows(self)?;
        audit_indexes(self)
    }
}

/// The first thing that the rows contradict.
pub(crate) fn audit_rows(machine: &Machine) -> Result<(), String> {
    let (sessions, locks) = (&machine.sessions, &machine.locks);
    let fits = sessions.rows.len() <= machine.bounds.sessions;
    check(fits, "there are too many sessions")?;
    let fits = locks.rows.len() <= machine.bounds.locks;
    check(fits, "there are too many locks")?;
    let mut fences = Vec::with_capacity(locks.rows.len());
    for (name, lock) in locks.rows.iter() {
        audit_lock(machine, lock).map_err(|why| format!("lock {name}: {why}"))?;
        fences.push(lock.lease.fence);
    }
    fences.sort_unstable();
    let distinct = fences.windows(2).all(|pair| pair[0] < pair[1]);
    check(distinct, "I2: two leases have one fence")?;
    for (id, session) in sessions.rows.iter() {
        audit_session(machine, *id, session)
            .map_err(|why| format!("session {}: {why}", id.short()))?;
    }
    for (number, ended) in sessions.ended.rows.iter() {
        let dead = sessions.get(ended.session).is_none();
        check(dead, "an ended session is alive")?;
        let opened = *number < machine.revision;
        check(opened, "more sessions ended than were opened")?;
    }
    check(
        machine.rings.rows.len() <= RINGS_MAX,
        "there are too many rings",
    )?;
    for (name, ring) in &machine.rings.rows {
        let row = ring.audit(machine.clock).map_err(String::from);
        let row = row.and_then(|()| audit_ring(machine, ring));
        row.map_err(|why| format!("ring {name}: {why}"))?;
    }
    Ok(())
}

fn audit_lock(machine: &Machine, lock: &Lock) -> Result<(), String> {
    let lease = &lock.lease;
    let minted = lease.fence > Fence::claimed(0) && lease.fence.number() <= machine.mint.last();
    check(minted, "I2: its fence was never minted")?;
    check(
        lease.since <= machine.clock,
        "I6: it was granted in the future",
    )?;
    let past = lease.attachment <= machine.revision;
    check(past, "it was attached to in the future")?;
    let holder = machine.sessions.get(lease.session);
    check(holder.is_some(), "I3: its holder is not a live session")?;
    check(lock.queue_is_lean(), "I4: it keeps an empty queue")?;
    let fits = lock.queue_len() <= machine.bounds.waiters_per_lock;
    check(fits, "too many wait for it")?;
    let mut before: Option<&Waiter> = None;
    for waiter in lock.waiters() {
        let later = before.is_none_or(|b| b.ticket < waiter.ticket && b.since <= waiter.since);
        check(later, "I13: its queue is not in the order of arrival")?;
        before = Some(waiter);
        check(
            waiter.since <= machine.clock,
            "I6: a waiter came in the future",
        )?;
        let attached = waiter.ticket <= waiter.attachment;
        check(attached, "a waiter attached before it came")?;
        let attached = waiter.attachment <= machine.revision;
        check(attached, "a waiter attached in the future")?;
        let apart = waiter.session != lease.session;
        check(apart, "I5: its holder waits for it")?;
        let alive = machine.sessions.get(waiter.session).is_some();
        check(alive, "I3: a waiter is not a live session")?;
    }
    Ok(())
}

/// A member lives exactly as long as its session (I3 for rings).
fn audit_ring(machine: &Machine, ring: &Ring) -> Result<(), String> {
    for member in ring.members.values().filter(|member| member.is_alive()) {
        let alive = machine.sessions.get(member.session).is_some();
        check(alive, "I3: a member's session is not alive")?;
    }
    Ok(())
}

fn audit_session(machine: &Machine, id: SessionId, session: &Session) -> Result<(), String> {
    let locks = &machine.locks;
    let uses = session.leases as usize + session.places as usize;
    let fits = uses <= machine.bounds.leases_per_session;
    check(fits, "it has too many leases and places")?;
    match &session.life {
        Life::Open => {}
        Life::Holds(lock) => {
            let held = locks.get(lock).is_some_and(|row| row.lease.session == id);
            check(held, "I3: it outlived the lease that it lives for")?;
        }
        Life::Waits(lock) => {
            let place = locks.place(id, lock);
            let until = place.is_some_and(|(_, place)| place.until == session.expires_at);
            check(until, "it does not end with the wait that it lives for")?;
        }
    }
    let Some(replay) = session.replay() else {
        return Ok(());
    };
    replay.audit().map_err(String::from)?;
    let mut tickets: Vec<u64> = locks.places_of(id).map(|(_, ticket)| ticket).collect();
    tickets.sort_unstable();
    let mut waiting = replay.tickets();
    let waits = waiting.all(|ticket| tickets.binary_search(&ticket).is_ok());
    check(waits, "it remembers a call that waits in no place")
}

/// The first index that does not follow from the rows.
fn audit_indexes(machine: &Machine) -> Result<(), String> {
    let (sessions, locks) = (&machine.sessions, &machine.locks);
    sessions.rows.audit()?;
    sessions.ended.rows.audit()?;
    locks.rows.audit()?;
    let mut places = 0;
    for (name, lock) in locks.rows.iter() {
        audit_lock_indexes(machine, name, lock).map_err(|why| format!("lock {name}: {why}"))?;
        places += lock.queue_len();
    }
    // With one lease a lock, as many index rows as locks means that none is left of a lock or a
    // lease that is gone.
    let same = locks.leases_len() == locks.rows.len();
    check(same, "I1, I4: leases and locks differ in number")?;
    let same = places == locks.places_len();
    check(same, "I4: places and their index differ in number")?;
    let (mut openings, mut due) = (0, places);
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
    let same = sessions.ended.rows.len() == sessions.ended.index_len();
    check(same, "ended sessions and their index differ in number")?;
    let mut bound = BTreeMap::new();
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
    let same = due == machine.deadlines.len();
    check(same, "what falls due and the deadlines differ in number")
}

fn audit_lock_indexes(machine: &Machine, name: &LockName, lock: &Lock) -> Result<(), String> {
    let indexed = machine.locks.has_lease(lock.lease.session, name);
    check(indexed, "its lease is not in its session's index")?;
    for waiter in lock.waiters() {
        let place = machine.locks.place(waiter.session, name);
        let indexed = place.is_some_and(|(_, place)| place == waiter);
        check(indexed, "a place is not in its session's index")?;
        let due = Due::Wait(waiter.ticket, name.clone());
        let due = machine.deadlines.contains(waiter.until, due);
        check(due, "a wait does not fall due")?;
    }
    Ok(())
}

fn audit_session_indexes(
    machine: &Machine,
    id: SessionId,
    session: &Session,
) -> Result<(), String> {
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
        let held = locks.get(lock).is_some_and(|row| row.lease.session == id);
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

fn check(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_string()) }
}
