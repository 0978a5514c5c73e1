//! How leases begin, pass on and end.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Call, Ending, Machine, Turn};
use crate::deadlines::Due;
use crate::event::{LeaseEnd, What};
use crate::fence::{Fence, Mint};
use crate::limits::{HOLD_MS_MAX, LISTED_MAX};
use crate::lock::{Ask, Lease, Lock, Terms};
use crate::mode::Mode;
use crate::name::{LockName, SessionId};
use crate::outcome::{Gone, Grant, Holder, Outcome, Refusal};
use crate::planted::{self, Plant};
use crate::session::{Life, Record, Session};
use crate::time::Deadline;

impl Machine {
    /// Who holds a lock, as others may see it: the first of them.
    pub(super) fn holders(&self, lock: &LockName) -> Vec<Holder> {
        let Some(row) = self.locks.get(lock) else {
            return Vec::new();
        };
        let leases = row.leases().iter().take(LISTED_MAX);
        let holders = leases.map(|lease| {
            let session = self.sessions.get(lease.session);
            let session = session.expect("no lease without a live session");
            Holder {
                session: lease.session,
                owner: session.owner.clone(),
                mode: lease.mode,
                fence: lease.fence,
                since: lease.since,
                expires_at: session.expires_at,
                hold_until: lease.hold_until(),
                value: lease.value().cloned(),
            }
        });
        holders.collect()
    }

    /// The lease that a session has already, as it is told of it.
    pub(super) fn grant_again(&self, id: SessionId, lock: &LockName) -> Grant {
        let lease = self.locks.lease_of(id, lock).expect("it holds it");
        let session = self.sessions.get(id).expect("it is alive");
        grant_of(lease, session)
    }

    /// Makes a lease, of a lock that admits it.
    pub(super) fn grant(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: &Ask,
        attachment: u64,
        turn: &mut Turn,
    ) -> Grant {
        let terms = Terms {
            hold_until: ask.max_hold_ms.map(|ms| self.clock.plus_ms(ms)),
            value: ask.value.clone(),
            asked: false,
        };
        let fence = self.mint_at(turn.wall_ms);
        let lease = Lease::new(id, fence, self.clock, attachment, ask.mode, terms);
        let session = self.sessions.get_mut(id).expect("it is alive");
        if session.waits_for(lock) {
            session.life = Life::Holds(lock.clone());
            session.expires_at = self.clock.plus_ms(session.ttl.ms());
            self.deadlines.insert(session.expires_at, Due::Session(id));
        }
        let grant = self.begin_lease(lock, &lease, turn);
        self.locks.grant(lock, lease);
        grant
    }

    /// Puts a new lease in the place of one that ends, in one step. It is asked for if the old
    /// one was: a revocation is not escaped by giving the lease another number.
    pub(super) fn swap(
        &mut self,
        lock: &LockName,
        fence: Fence,
        heir: Heir,
        cause: LeaseEnd,
        turn: &mut Turn,
    ) -> Grant {
        let row = self.locks.get(lock).expect("the lock is held");
        let old = row.lease(fence).expect("the lease is there").clone();
        let terms = Terms {
            hold_until: heir.hold_until,
            value: heir.value,
            asked: old.is_asked(),
        };
        self.finish_lease(lock, &old, cause, turn);
        let fence = self.mint_at(turn.wall_ms);
        let lease = Lease::new(
            heir.session,
            fence,
            self.clock,
            heir.attachment,
            heir.mode,
            terms,
        );
        let grant = self.begin_lease(lock, &lease, turn);
        self.locks.swap_lease(lock, old.fence, lease);
        turn.freed.push_back(lock.clone());
        grant
    }

    /// Counts a lease that begins, sees to its longest hold, and tells it.
    fn begin_lease(&mut self, lock: &LockName, lease: &Lease, turn: &mut Turn) -> Grant {
        if let Some(until) = lease.hold_until() {
            let due = Due::Hold(lease.fence, lock.clone());
            self.deadlines.insert(until, due);
        }
        let session = self.sessions.get_mut(lease.session).expect("it is alive");
        session.leases += 1;
        let grant = grant_of(lease, session);
        let what = What::Granted {
            lock: lock.clone(),
            grant: grant.clone(),
            owner: session.owner.clone(),
        };
        self.tell(what, turn);
        grant
    }

    /// Ends a lease. What it leaves free is handed on later in this revision.
    pub(super) fn end_lease(
        &mut self,
        lock: &LockName,
        fence: Fence,
        cause: LeaseEnd,
        turn: &mut Turn,
    ) {
        let abnormal = is_abnormal(&cause);
        let (lease, called_off) = self.locks.end_lease(lock, fence);
        if let Some(deadline) = called_off {
            self.deadlines.remove(deadline, Due::Revoke(lock.clone()));
        }
        self.finish_lease(lock, &lease, cause, turn);
        let session = self.sessions.get(lease.session).expect("it is alive");
        if abnormal && session.lock_delay_ms > 0 {
            let delay_ms = u64::from(session.lock_delay_ms);
            self.delay(lock, self.clock.plus_ms(delay_ms));
        }
        turn.freed.push_back(lock.clone());
    }

    /// Ends a lease against its holder's will; a session that lived for it ends with it.
    pub(super) fn take_lease(
        &mut self,
        lock: &LockName,
        fence: Fence,
        cause: LeaseEnd,
        turn: &mut Turn,
    ) {
        let row = self.locks.get(lock).expect("the lock is held");
        let id = row.lease(fence).expect("the lease is there").session;
        let gone = match &cause {
            LeaseEnd::MaxHold => Gone::Expired,
            _ => Gone::EndedByOperator,
        };
        self.end_lease(lock, fence, cause, turn);
        self.drop_upgrade(id, lock, turn);
        let session = self.sessions.get(id).expect("it is alive");
        if session.holds_for(lock) {
            self.owe_end(id, gone, None, turn);
        }
    }

    /// Counts a lease that ends, calls off the end of its longest hold, and tells it.
    fn finish_lease(&mut self, lock: &LockName, lease: &Lease, cause: LeaseEnd, turn: &mut Turn) {
        if let Some(until) = lease.hold_until() {
            let due = Due::Hold(lease.fence, lock.clone());
            self.deadlines.remove(until, due);
        }
        let session = self.sessions.get_mut(lease.session).expect("it is alive");
        session.leases -= 1;
        let what = What::Ended {
            lock: lock.clone(),
            session: lease.session,
            owner: session.owner.clone(),
            mode: lease.mode,
            fence: lease.fence,
            cause,
        };
        self.tell(what, turn);
    }

    /// Closes a lock for a while, if it is not closed for longer.
    fn delay(&mut self, lock: &LockName, until: Deadline) {
        let before = self.locks.get(lock).and_then(Lock::delayed_until);
        if before.is_some_and(|before| before >= until) {
            return;
        }
        self.locks
            .change(lock, |whole| whole.delayed_until = Some(until));
        if let Some(before) = before {
            self.deadlines.remove(before, Due::Delay(lock.clone()));
        }
        self.deadlines.insert(until, Due::Delay(lock.clone()));
    }

    fn mint_at(&mut self, wall_ms: u64) -> Fence {
        if planted::is(Plant::WallClockFence) {
            self.mint = Mint::at(wall_ms);
        }
        self.mint.mint()
    }

    /// Gives a lock to whoever is next and still there, for as long as it admits the next.
    /// Waiters who are overdue are passed by, and their waits end here: nobody is granted a lock
    /// for a dead caller, and nobody waits for one.
    pub(super) fn hand_on(&mut self, lock: &LockName, turn: &mut Turn) {
        let most = self.bounds.holders_per_lock;
        while let Some(row) = self.locks.get(lock)
            && let Some(waiter) = row.next_waiter()
        {
            let admitted = row.admits(waiter, most);
            let waiter = waiter.clone();
            let (id, ticket) = (waiter.session, waiter.ticket);
            let careless = planted::is(Plant::GrantToExpired);
            if waiter.until <= self.clock && !careless {
                self.time_out(lock, &waiter, turn);
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
            if !admitted {
                return;
            }
            if waiter.many {
                match self.grant_all_if_ready(ticket, turn) {
                    true => continue,
                    false => return,
                }
            }
            let upgrades = row_upgrades(self.locks.get(lock), ticket);
            self.leave_queue(lock, ticket);
            let grant = match upgrades {
                true => self.grant_upgrade(lock, &waiter, turn),
                false => self.grant(id, lock, &waiter.ask, waiter.attachment, turn),
            };
            let session = self.sessions.get_mut(id).expect("it is alive");
            session.settle_wait(ticket, &Outcome::Granted(grant));
        }
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

/// The lease that takes the place of another.
pub(super) struct Heir {
    /// Whose it is.
    pub(super) session: SessionId,
    /// The attachment of the waiter that it is granted to; 0 if nobody had to wait.
    pub(super) attachment: u64,
    /// How it shares the lock.
    pub(super) mode: Mode,
    /// When it ends, however alive its session is.
    pub(super) hold_until: Option<Deadline>,
    /// What it shows.
    pub(super) value: Option<Arc<str>>,
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

/// A lease as its holder is told of it.
pub(super) fn grant_of(lease: &Lease, session: &Session) -> Grant {
    Grant {
        session: lease.session,
        mode: lease.mode,
        fence: lease.fence,
        expires_at: session.expires_at,
        hold_until: lease.hold_until(),
    }
}

/// What its holder asks of a lease, within the bounds.
pub(super) fn ask_of(mode: Mode, max_hold_ms: Option<u64>, value: &str) -> Ask {
    Ask {
        mode,
        max_hold_ms: max_hold_ms.map(|ms| ms.clamp(1, HOLD_MS_MAX)),
        value: value_of(value),
    }
}

/// What a lease shows; nothing, if it is empty.
pub(super) fn value_of(value: &str) -> Option<Arc<str>> {
    (!value.is_empty()).then(|| value.into())
}

/// Whether the holder may have work under way that still touches what the lock protects.
const fn is_abnormal(cause: &LeaseEnd) -> bool {
    match cause {
        LeaseEnd::Session(Gone::Expired | Gone::EndedByOperator)
        | LeaseEnd::EndedByOperator { .. }
        | LeaseEnd::MaxHold
        | LeaseEnd::Broken { .. }
        | LeaseEnd::Revoked { .. } => true,
        LeaseEnd::Released
        | LeaseEnd::Session(Gone::Closed | Gone::NeverExisted)
        | LeaseEnd::Transferred { .. }
        | LeaseEnd::Upgraded
        | LeaseEnd::Downgraded => false,
    }
}

fn row_upgrades(row: Option<&Lock>, ticket: u64) -> bool {
    let upgrade = row.and_then(Lock::upgrade);
    upgrade.is_some_and(|waiter| waiter.ticket == ticket)
}
