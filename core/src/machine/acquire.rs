//! How one lease is asked for.

use super::{Answer, Call, Machine, Turn};
use crate::command::NewSession;
use crate::deadlines::Due;
use crate::limits::VALUE_BYTES_MAX;
use crate::lock::{Ask, Lock, as_count};
use crate::mode::Mode;
use crate::name::{LockName, SessionId};
use crate::outcome::{Limit, Outcome, Refusal};
use crate::session::Life;

impl Machine {
    /// An open session asks for a lease.
    pub(super) fn acquire(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: Ask,
        wait_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay(id, Some(lock), call) {
            return answer;
        }
        let outcome = match refuses_ask(&ask) {
            Some(refusal) => Outcome::Refused(refusal),
            None => self.acquire_anew(id, lock, ask, wait_ms, call, turn),
        };
        self.remember_unless_open(id, call, &outcome);
        Answer::new(outcome)
    }

    fn acquire_anew(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: Ask,
        wait_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Outcome {
        if let Some(held) = self.locks.lease_of(id, lock).map(|lease| lease.mode) {
            return match (held, ask.mode) {
                (held, asked) if held == asked => Outcome::Granted(self.grant_again(id, lock)),
                (Mode::Shared, Mode::Exclusive) => self.upgrade(id, lock, ask, wait_ms, call, turn),
                (Mode::Exclusive, Mode::Shared) => self.downgrade(id, lock, &ask, turn),
                (mode, _) => {
                    let lock = lock.clone();
                    Outcome::Refused(Refusal::UpgradeConflict { lock, mode })
                }
            };
        }
        if let Some((_, waiter)) = self.locks.place(id, lock) {
            let (ticket, mode) = (waiter.ticket, waiter.ask.mode);
            if waiter.many || mode != ask.mode {
                let lock = lock.clone();
                return Outcome::Refused(Refusal::UpgradeConflict { lock, mode });
            }
            return match wait_ms {
                0 => Outcome::Refused(self.held(lock)),
                _ => self.join(id, lock, ticket, wait_ms, call),
            };
        }
        let refusal = self
            .refuses_more_leases(id, 1)
            .or_else(|| self.refuses_lease(lock, ask.mode, wait_ms));
        if let Some(refusal) = refusal {
            return Outcome::Refused(refusal);
        }
        if self.is_open(lock, ask.mode) {
            return Outcome::Granted(self.grant(id, lock, &ask, 0, turn));
        }
        let until = self.until(wait_ms);
        let queued = self.enqueue(id, lock, ask, until);
        self.unless_deadlock(id, queued, call)
    }

    /// A caller without a session asks for a lease, and for a session that lives for it alone.
    pub(super) fn acquire_alone(
        &mut self,
        new: &NewSession,
        lock: &LockName,
        ask: Ask,
        wait_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(id) = call.request.and_then(|r| self.sessions.opened_by(r)) {
            return self.acquire_alone_again(id, call);
        }
        let refusal = refuses_ask(&ask)
            .or_else(|| self.refuses_session(new))
            .or_else(|| self.refuses_lease(lock, ask.mode, wait_ms));
        if let Some(refusal) = refusal {
            return Answer::refusal(refusal);
        }
        let id = new.session;
        if self.is_open(lock, ask.mode) {
            let expires_at = self.clock.plus_ms(new.ttl.ms());
            self.begin(new, expires_at, Life::Holds(lock.clone()), call, turn);
            self.deadlines.insert(expires_at, Due::Session(id));
            return Answer::new(Outcome::Granted(self.grant(id, lock, &ask, 0, turn)));
        }
        // Nobody can wait for a session that has nothing, so this wait closes no circle.
        let until = self.until(wait_ms);
        self.begin(new, until, Life::Waits(lock.clone()), call, turn);
        Answer::new(Outcome::Queued(self.enqueue(id, lock, ask, until)))
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
            Life::Holds(lock) => Answer::again(Outcome::Granted(self.grant_again(id, lock))),
            Life::Waits(lock) => {
                let lock = &lock.clone();
                let place = self.locks.place(id, lock);
                let ticket = place.expect("it lives for its place").1.ticket;
                self.attach_again(Some(lock), ticket)
            }
        }
    }

    /// Why a session may not have so many more leases and places.
    pub(super) fn refuses_more_leases(&self, id: SessionId, more: usize) -> Option<Refusal> {
        let session = self.sessions.get(id).expect("it is alive");
        let uses = session.leases as usize + session.places as usize + more;
        let limit = Limit::LeasesPerSession;
        (uses > self.bounds.leases_per_session).then_some(Refusal::Limit { limit })
    }

    /// Why a lease that the caller does not have is neither granted nor waited for.
    pub(super) fn refuses_lease(
        &self,
        lock: &LockName,
        mode: Mode,
        wait_ms: u64,
    ) -> Option<Refusal> {
        let Some(row) = self.locks.get(lock) else {
            let full = self.locks.rows.len() >= self.bounds.locks;
            let limit = Limit::Locks;
            return full.then_some(Refusal::Limit { limit });
        };
        if let Some(refusal) = refuses_permits(lock, row, mode) {
            return Some(refusal);
        }
        if row.is_open(mode, self.bounds.holders_per_lock) {
            return None;
        }
        if row.is_open(mode, usize::MAX) {
            let limit = Limit::HoldersPerLock;
            return Some(Refusal::Limit { limit });
        }
        if wait_ms == 0 {
            return Some(self.held(lock));
        }
        let full = row.waiting() >= self.bounds.waiters_per_lock;
        let limit = Limit::WaitersPerLock;
        full.then_some(Refusal::Limit { limit })
    }

    /// What a caller is told that does not want to wait.
    pub(super) fn held(&self, lock: &LockName) -> Refusal {
        let row = self.locks.get(lock);
        if let Some(until) = row.and_then(Lock::delayed_until) {
            let lock = lock.clone();
            return Refusal::Delayed { lock, until };
        }
        Refusal::Held {
            lock: lock.clone(),
            holders: self.holders(lock),
            queue: row.map_or(0, |row| as_count(row.waiting())),
        }
    }

    /// Whether a lock can be granted at once to somebody who comes now.
    pub(super) fn is_open(&self, lock: &LockName, mode: Mode) -> bool {
        let most = self.bounds.holders_per_lock;
        let row = self.locks.get(lock);
        row.is_none_or(|row| row.is_open(mode, most))
    }

    /// Remembers what a call came to, unless it is open: a wait is remembered by its place, and
    /// after a limit the caller shall try again.
    pub(super) fn remember_unless_open(&mut self, id: SessionId, call: Call, outcome: &Outcome) {
        match outcome {
            Outcome::Queued(_) | Outcome::Refused(Refusal::Limit { .. }) => {}
            _ => self.remember(id, call, outcome),
        }
    }
}

/// Why a lease cannot be what it is asked to be, whatever the lock.
fn refuses_ask(ask: &Ask) -> Option<Refusal> {
    let value = ask.value.as_ref().map_or(0, |value| value.len());
    let limit = match ask.mode.fits() {
        false => Limit::Permits,
        true if value > VALUE_BYTES_MAX => Limit::ValueBytes,
        true => return None,
    };
    Some(Refusal::Limit { limit })
}

/// Why a lock that is in use with so many permits is not in use with others.
fn refuses_permits(lock: &LockName, row: &Lock, mode: Mode) -> Option<Refusal> {
    let Mode::Permits { of: asked, .. } = mode else {
        return None;
    };
    let of = row.permits().filter(|of| *of != asked)?;
    let lock = lock.clone();
    Some(Refusal::LimitMismatch { lock, of })
}
