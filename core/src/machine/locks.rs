//! How leases begin, pass on and end.

use alloc::vec;
use alloc::vec::Vec;

use super::{Answer, Call, Ending, Machine, Turn};
use crate::command::NewSession;
use crate::deadlines::Due;
use crate::event::{LeaseEnd, What};
use crate::fence::{Fence, Mint};
use crate::lock::{Lease, Mode, as_count};
use crate::name::{LockName, SessionId};
use crate::outcome::{Gone, Grant, Holder, Limit, Outcome, Refusal};
use crate::planted::{self, Plant};
use crate::session::{Life, Record, Session};

impl Machine {
    /// An open session asks for a lease.
    pub(super) fn acquire(
        &mut self,
        id: SessionId,
        lock: &LockName,
        wait_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay(id, Some(lock), call) {
            return answer;
        }
        let outcome = self.acquire_anew(id, lock, wait_ms, call, turn);
        match outcome {
            // A wait is remembered by its place; after a limit the caller shall try again.
            Outcome::Queued(_) | Outcome::Refused(Refusal::Limit { .. }) => {}
            _ => self.remember(id, call, &outcome),
        }
        Answer::new(outcome)
    }

    fn acquire_anew(
        &mut self,
        id: SessionId,
        lock: &LockName,
        wait_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Outcome {
        let session = self.sessions.get(id).expect("it is alive");
        if let Some(row) = self.locks.get(lock) {
            if row.lease.session == id {
                return Outcome::Granted(grant_of(&row.lease, session));
            }
            if let Some((_, waiter)) = self.locks.place(id, lock) {
                let ticket = waiter.ticket;
                return match wait_ms {
                    0 => Outcome::Refused(self.held(lock)),
                    _ => self.join(id, lock, ticket, wait_ms, call),
                };
            }
        }
        let uses = session.leases as usize + session.places as usize;
        if uses >= self.bounds.leases_per_session {
            let limit = Limit::LeasesPerSession;
            return Outcome::Refused(Refusal::Limit { limit });
        }
        if let Some(refusal) = self.refuses_lease(lock, wait_ms) {
            return Outcome::Refused(refusal);
        }
        if self.locks.get(lock).is_none() {
            return Outcome::Granted(self.grant(id, lock, 0, turn));
        }
        let until = self.until(wait_ms);
        let queued = self.enqueue(id, lock, until);
        if let Some(request) = call.request {
            let session = self.sessions.get_mut(id).expect("it is alive");
            session
                .replay_mut()
                .wait(request, call.digest, queued.ticket);
        }
        Outcome::Queued(queued)
    }

    /// A caller without a session asks for a lease, and for a session that lives for it alone.
    pub(super) fn acquire_alone(
        &mut self,
        new: &NewSession,
        lock: &LockName,
        wait_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(id) = call.request.and_then(|r| self.sessions.opened_by(r)) {
            return self.acquire_alone_again(id, call);
        }
        let refusal = self
            .refuses_session(new)
            .or_else(|| self.refuses_lease(lock, wait_ms));
        if let Some(refusal) = refusal {
            return Answer::refusal(refusal);
        }
        let id = new.session;
        if self.locks.get(lock).is_none() {
            let expires_at = self.clock.plus_ms(new.ttl.ms());
            self.begin(new, expires_at, Life::Holds(lock.clone()), call, turn);
            self.deadlines.insert(expires_at, Due::Session(id));
            return Answer::new(Outcome::Granted(self.grant(id, lock, 0, turn)));
        }
        let until = self.until(wait_ms);
        self.begin(new, until, Life::Waits(lock.clone()), call, turn);
        Answer::new(Outcome::Queued(self.enqueue(id, lock, until)))
    }

    /// The same call again: its outcome follows from what its session lives for.
    fn acquire_alone_again(&mut self, id: SessionId, call: Call) -> Answer {
        let Some(session) = self.sessions.get(id) else {
            let ended = self.sessions.ended.get(id);
            let record = ended.and_then(|ended| ended.record.as_ref());
            return match record.filter(|r| r.call == call.digest) {
                Some(record) => Answer::again(record.outcome.clone()),
                None => Answer::refusal(Refusal::KeyReused),
            };
        };
        if session.opening.is_none_or(|o| o.call != call.digest) {
            return Answer::refusal(Refusal::KeyReused);
        }
        match &session.life {
            Life::Open => Answer::refusal(Refusal::KeyReused),
            Life::Holds(lock) => {
                let row = self.locks.get(lock).expect("it lives for its lease");
                Answer::again(Outcome::Granted(grant_of(&row.lease, session)))
            }
            Life::Waits(lock) => {
                let lock = &lock.clone();
                let place = self.locks.place(id, lock);
                let ticket = place.expect("it lives for its place").1.ticket;
                self.attach_again(lock, ticket)
            }
        }
    }

    /// Why a lease that the caller does not have is neither granted nor waited for.
    fn refuses_lease(&self, lock: &LockName, wait_ms: u64) -> Option<Refusal> {
        let Some(row) = self.locks.get(lock) else {
            let full = self.locks.rows.len() >= self.bounds.locks;
            let limit = Limit::Locks;
            return full.then_some(Refusal::Limit { limit });
        };
        if wait_ms == 0 {
            return Some(self.held(lock));
        }
        let full = row.queue_len() >= self.bounds.waiters_per_lock;
        let limit = Limit::WaitersPerLock;
        full.then_some(Refusal::Limit { limit })
    }

    fn held(&self, lock: &LockName) -> Refusal {
        Refusal::Held {
            lock: lock.clone(),
            holders: self.holders(lock),
            queue: self
                .locks
                .get(lock)
                .map_or(0, |row| as_count(row.queue_len())),
        }
    }

    /// Who holds a lock, as others may see it.
    pub(super) fn holders(&self, lock: &LockName) -> Vec<Holder> {
        let Some(row) = self.locks.get(lock) else {
            return Vec::new();
        };
        let session = self.sessions.get(row.lease.session);
        let session = session.expect("no lease without a live session");
        vec![Holder {
            session: row.lease.session,
            owner: session.owner.clone(),
            mode: Mode::Exclusive,
            fence: row.lease.fence,
            since: row.lease.since,
            expires_at: session.expires_at,
            hold_until: None,
            value: None,
        }]
    }

    /// Makes the lease: of a lock that is free, or that has just been given up.
    fn grant(&mut self, id: SessionId, lock: &LockName, attachment: u64, turn: &mut Turn) -> Grant {
        let lease = Lease {
            session: id,
            fence: self.mint_at(turn.wall_ms),
            since: self.clock,
            attachment,
        };
        let session = self.sessions.get_mut(id).expect("it is alive");
        session.leases += 1;
        if session.waits_for(lock) {
            session.life = Life::Holds(lock.clone());
            session.expires_at = self.clock.plus_ms(session.ttl.ms());
            self.deadlines.insert(session.expires_at, Due::Session(id));
        }
        let grant = grant_of(&lease, session);
        let what = What::Granted {
            lock: lock.clone(),
            grant: grant.clone(),
            owner: session.owner.clone(),
        };
        self.locks.grant(lock, lease);
        self.tell(what, turn);
        grant
    }

    fn mint_at(&mut self, wall_ms: u64) -> Fence {
        if planted::is(Plant::WallClockFence) {
            self.mint = Mint::at(wall_ms);
        }
        self.mint.mint()
    }

    /// A holder gives up its lease.
    pub(super) fn release(
        &mut self,
        id: SessionId,
        lock: &LockName,
        fence: Fence,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay(id, Some(lock), call) {
            return answer;
        }
        let lease = self.locks.get(lock).map(|row| row.lease);
        let (id, fence) = believed(lease, id, fence);
        if lease.is_none_or(|lease| lease.session != id || lease.fence != fence) {
            let highest_fence = lease.map(|lease| lease.fence);
            let outcome = Outcome::Refused(Refusal::FenceStale { highest_fence });
            self.remember(id, call, &outcome);
            return Answer::new(outcome);
        }
        self.locks.end_lease(lock);
        let session = self.sessions.get_mut(id).expect("it is alive");
        session.leases -= 1;
        let what = What::Ended {
            lock: lock.clone(),
            session: id,
            owner: session.owner.clone(),
            mode: Mode::Exclusive,
            fence,
            cause: LeaseEnd::Released,
        };
        let over = session.holds_for(lock);
        self.tell(what, turn);
        self.hand_over(lock, turn);
        if over {
            self.owe_end(id, Gone::Closed, call.record(&Outcome::Released), turn);
        } else {
            self.remember(id, call, &Outcome::Released);
        }
        Answer::new(Outcome::Released)
    }

    /// Gives a lock whose lease has just ended to the first in its queue who is still there; a
    /// lock that nobody waits for goes. Waiters who are overdue are passed by, and their waits
    /// end here: nobody is granted a lock for a dead caller.
    pub(super) fn hand_over(&mut self, lock: &LockName, turn: &mut Turn) {
        while let Some(waiter) = self.locks.first_waiter(lock) {
            let (id, ticket) = (waiter.session, waiter.ticket);
            let careless = planted::is(Plant::GrantToExpired);
            if waiter.until <= self.clock && !careless {
                self.time_out(lock, &waiter, Vec::new(), turn);
                continue;
            }
            let session = self.sessions.get(id).expect("no place without a session");
            if session.expires_at <= self.clock && !careless {
                let cause = Gone::Expired;
                let refusal = Refusal::SessionGone { session: id, cause };
                self.end_wait(lock, &waiter, Some(refusal), turn);
                self.owe_end(id, cause, None, turn);
                continue;
            }
            self.leave_queue(lock, ticket);
            let grant = self.grant(id, lock, waiter.attachment, turn);
            let session = self.sessions.get_mut(id).expect("it is alive");
            session.settle_wait(ticket, &Outcome::Granted(grant));
            return;
        }
        self.locks.remove(lock);
    }

    pub(super) fn owe_end(
        &self,
        session: SessionId,
        cause: Gone,
        record: Option<Record>,
        turn: &mut Turn,
    ) {
        turn.ending.push_back(Ending {
            session,
            cause,
            record,
        });
    }
}

impl Call {
    /// The record of this call, if it can be repeated.
    pub(super) fn record(self, outcome: &Outcome) -> Option<Record> {
        self.request.map(|request| Record {
            request,
            call: self.digest,
            outcome: outcome.clone(),
        })
    }
}

/// The session and the fence of a release, as they were given; or as they should have been, if a
/// bug is planted.
fn believed(lease: Option<Lease>, id: SessionId, fence: Fence) -> (SessionId, Fence) {
    match lease {
        Some(lease) if planted::is(Plant::NoOwnerCheck) => (lease.session, fence),
        Some(lease) if planted::is(Plant::NoFenceCheck) => (id, lease.fence),
        _ => (id, fence),
    }
}

/// A lease as its holder is told of it.
fn grant_of(lease: &Lease, session: &Session) -> Grant {
    Grant {
        session: lease.session,
        mode: Mode::Exclusive,
        fence: lease.fence,
        expires_at: session.expires_at,
        hold_until: None,
    }
}
