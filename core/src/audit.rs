//! What must hold across the tables, checked from scratch.
//!
//! It has two halves. The *rows* are the state itself: what they must not contradict is checked
//! whenever bytes claim to be a machine. The *indexes* follow from the rows; an apply maintains
//! them step by step, so tests recompute them, and a thaw, which has just built them, need not.
//!
//! It checks I1 to I6 as far as one state can show them (a history shows the rest), and the order
//! of arrival that I13 rests on.

mod indexes;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::fence::Fence;
use crate::limits::RINGS_MAX;
use crate::lock::{Bundle, Lease, Lock, Waiter};
use crate::machine::Machine;
use crate::mode::Mode;
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
        indexes::audit_indexes(self)
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
        audit_lock(machine, name, lock).map_err(|why| format!("lock {name}: {why}"))?;
        fences.extend(lock.leases().iter().map(|lease| lease.fence));
    }
    fences.sort_unstable();
    let distinct = fences.windows(2).all(|pair| pair[0] < pair[1]);
    check(distinct, "I2: two leases have one fence")?;
    for (ticket, bundle) in locks.bundles.iter() {
        audit_bundle(machine, *ticket, bundle).map_err(|why| format!("wait {ticket}: {why}"))?;
    }
    check(sessions.operators.fits(), "too many calls are remembered")?;
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

fn audit_lock(machine: &Machine, name: &LockName, lock: &Lock) -> Result<(), String> {
    check(lock.is_lean(), "I4: it keeps more than there is")?;
    for lease in lock.leases() {
        audit_lease(machine, lease)?;
    }
    audit_modes(machine, lock)?;
    let fits = lock.queue().map_or(0, |queue| queue.len()) <= machine.bounds.waiters_per_lock;
    check(fits, "too many wait for it")?;
    let mut before: Option<&Waiter> = None;
    for waiter in lock.queue().into_iter().flat_map(|queue| queue.iter()) {
        let later = before.is_none_or(|b| b.ticket < waiter.ticket && b.since <= waiter.since);
        check(later, "I13: its queue is not in the order of arrival")?;
        before = Some(waiter);
        audit_waiter(machine, name, waiter)?;
        let apart = lock.leases().iter().all(|l| l.session != waiter.session);
        check(apart, "I5: its holder waits for it")?;
    }
    if let Some(waiter) = lock.upgrade() {
        audit_waiter(machine, name, waiter)?;
        let held = lock.leases().iter().find(|l| l.session == waiter.session);
        let shares = held.is_some_and(|lease| lease.mode == Mode::Shared);
        let raises = waiter.ask.mode == Mode::Exclusive && !waiter.many;
        check(shares && raises, "I5: an upgrader is no sharer")?;
        let apart = lock.queue().is_none_or(|q| q.get(waiter.ticket).is_none());
        check(apart, "an upgrader has another's ticket")?;
    }
    let asked = lock.leases().iter().any(Lease::is_asked);
    let same = asked == lock.revocation().is_some();
    check(same, "leases that are asked for and a revocation disagree")?;
    let stands = lock.next_waiter().is_some_and(|waiter| match waiter.many {
        true => machine.is_ready(waiter.ticket),
        false => lock.admits(waiter, machine.bounds.holders_per_lock),
    });
    check(!stands, "I13: whoever is next could have it")
}

fn audit_lease(machine: &Machine, lease: &Lease) -> Result<(), String> {
    let minted = lease.fence > Fence::claimed(0) && lease.fence.number() <= machine.mint.last();
    check(minted, "I2: its fence was never minted")?;
    check(
        lease.since <= machine.clock,
        "I6: it was granted in the future",
    )?;
    let past = lease.attachment <= machine.revision;
    check(past, "it was attached to in the future")?;
    check(lease.mode.fits(), "a lease has a mode that is none")?;
    let holder = machine.sessions.get(lease.session);
    check(holder.is_some(), "I3: its holder is not a live session")
}

/// Whether leases can be beside each other, and everybody means the same permits.
fn audit_modes(machine: &Machine, lock: &Lock) -> Result<(), String> {
    let leases = lock.leases();
    let fits = leases.len() <= machine.bounds.holders_per_lock;
    check(fits, "too many hold it")?;
    let shared = leases.iter().all(|lease| lease.mode == Mode::Shared);
    let counts = leases.iter().map(|lease| match lease.mode {
        Mode::Permits { count, of } => Some((u64::from(count), of)),
        Mode::Exclusive | Mode::Shared => None,
    });
    let counts: Option<Vec<_>> = counts.collect();
    let within = counts.is_some_and(|counts| {
        let used: u64 = counts.iter().map(|(count, _)| count).sum();
        counts.iter().all(|(_, of)| used <= u64::from(*of))
    });
    let compatible = leases.len() < 2 || shared || within;
    check(compatible, "I1: incompatible leases coexist")?;
    let held = leases.iter().map(|lease| lease.mode);
    let waited = lock.waiters().map(|waiter| waiter.ask.mode);
    let same = held.chain(waited).all(|mode| match mode {
        Mode::Permits { of, .. } => lock.permits() == Some(of),
        Mode::Exclusive | Mode::Shared => true,
    });
    check(same, "it has two numbers of permits")
}

fn audit_waiter(machine: &Machine, name: &LockName, waiter: &Waiter) -> Result<(), String> {
    check(
        waiter.since <= machine.clock,
        "I6: a waiter came in the future",
    )?;
    let attached = waiter.ticket <= waiter.attachment;
    check(attached, "a waiter attached before it came")?;
    let attached = waiter.attachment <= machine.revision;
    check(attached, "a waiter attached in the future")?;
    check(waiter.ask.mode.fits(), "a waiter wants a mode that is none")?;
    let alive = machine.sessions.get(waiter.session).is_some();
    check(alive, "I3: a waiter is not a live session")?;
    let bundle = machine.locks.bundles.get(&waiter.ticket);
    let as_it_is = match bundle {
        None => !waiter.many,
        Some(bundle) => {
            let wanted = bundle.wants.iter().find(|want| want.lock == *name);
            waiter.many
                && bundle.session == waiter.session
                && bundle.until == waiter.until
                && wanted.is_some_and(|want| want.mode == waiter.ask.mode)
                && bundle.places().any(|lock| lock == name)
        }
    };
    check(as_it_is, "a place among many is not as its wait says")
}

fn audit_bundle(machine: &Machine, ticket: u64, bundle: &Bundle) -> Result<(), String> {
    let alive = machine.sessions.get(bundle.session).is_some();
    check(alive, "I3: it is not of a live session")?;
    let attached = ticket <= bundle.attachment && bundle.attachment <= machine.revision;
    check(
        attached,
        "it was attached to before it came or in the future",
    )?;
    let sorted = bundle.kept.is_sorted_by(|a, b| a < b);
    check(sorted, "what it keeps is out of order")?;
    let mut places = bundle.places().peekable();
    check(places.peek().is_some(), "it waits nowhere")?;
    let mut places = places.map(|lock| machine.locks.waiter(lock, ticket));
    let queued = places.all(|place| place.is_some_and(|(_, waiter)| waiter.many));
    check(queued, "it has no place where it waits")
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
            let held = locks.lease_of(id, lock).is_some();
            check(held, "I3: it outlived the lease that it lives for")?;
        }
        Life::Waits(lock) => {
            let place = locks.place(id, lock);
            let alone = place.filter(|(_, place)| !place.many);
            let until = alone.is_some_and(|(_, place)| place.until == session.expires_at);
            check(until, "it does not end with the wait that it lives for")?;
            let held = locks.lease_of(id, lock).is_some();
            check(!held, "it waits for what it has")?;
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

fn check(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_string()) }
}
