//! How many locks are asked for together: all or nothing, in one revision.

use alloc::vec::Vec;

use super::grants::{ask_of, grant_of};
use super::places::share_place;
use super::{Answer, Call, Machine, Turn};
use crate::command::{Want, Wants};
use crate::deadlines::Due;
use crate::event::What;
use crate::lock::{Ask, Bundle, Waiter};
use crate::mode::Mode;
use crate::name::{LockName, SessionId};
use crate::outcome::{Abandoned, GrantedAll, LeaseRow, Limit, Outcome, Queued, Refusal};
use crate::time::Deadline;

impl Machine {
    /// An open session asks for many leases.
    pub(super) fn acquire_all(
        &mut self,
        id: SessionId,
        wants: &Wants,
        wait_ms: u64,
        max_hold_ms: Option<u64>,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay(id, None, call) {
            return answer;
        }
        let outcome = self.acquire_all_anew(id, wants, wait_ms, max_hold_ms, call, turn);
        self.remember_unless_open(id, call, &outcome);
        Answer::new(outcome)
    }

    fn acquire_all_anew(
        &mut self,
        id: SessionId,
        wants: &Wants,
        wait_ms: u64,
        max_hold_ms: Option<u64>,
        call: Call,
        turn: &mut Turn,
    ) -> Outcome {
        if let Some((ticket, bundle)) = self.bundle_at(id, &wants[0].lock)
            && bundle.wants == *wants
        {
            return match wait_ms {
                0 => Outcome::Refused(self.held(self.missing(ticket))),
                _ => self.join_all(id, ticket, wait_ms, call),
            };
        }
        let (kept, missing) = match self.split(id, wants) {
            Ok(parts) => parts,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let refusal = self
            .refuses_more_leases(id, missing.len())
            .or_else(|| self.refuses_new_locks(&missing))
            .or_else(|| {
                let mut missing = missing.iter();
                missing.find_map(|want| self.refuses_lease(&want.lock, want.mode, wait_ms))
            });
        if let Some(refusal) = refusal {
            return Outcome::Refused(refusal);
        }
        let ask = ask_of(Mode::Exclusive, max_hold_ms, "");
        if missing
            .iter()
            .all(|want| self.is_open(&want.lock, want.mode))
        {
            return Outcome::GrantedAll(self.grant_all(id, wants, ask.max_hold_ms, 0, turn));
        }
        let bundle = Bundle {
            session: id,
            attachment: self.revision,
            until: self.until(wait_ms),
            max_hold_ms: ask.max_hold_ms,
            wants: wants.clone(),
            kept,
            blocked: 0,
        };
        let queued = self.enqueue_all(bundle);
        self.unless_deadlock(id, queued, call)
    }

    /// Those wants that the session holds already as it wants them, and those that it does not.
    fn split<'a>(
        &self,
        id: SessionId,
        wants: &'a Wants,
    ) -> Result<(Vec<LockName>, Vec<&'a Want>), Refusal> {
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for want in wants.iter() {
            if !want.mode.fits() {
                let limit = Limit::Permits;
                return Err(Refusal::Limit { limit });
            }
            let held = self.locks.lease_of(id, &want.lock).map(|lease| lease.mode);
            let place = self.locks.place(id, &want.lock);
            let waits = place.map(|(_, waiter)| waiter.ask.mode);
            match (held, waits) {
                (Some(mode), None) if mode == want.mode => kept.push(want.lock.clone()),
                (Some(mode), _) | (None, Some(mode)) => {
                    let lock = want.lock.clone();
                    return Err(Refusal::UpgradeConflict { lock, mode });
                }
                (None, None) => missing.push(want),
            }
        }
        Ok((kept, missing))
    }

    /// Whether so many locks that are not in use yet would be too many.
    fn refuses_new_locks(&self, missing: &[&Want]) -> Option<Refusal> {
        let absent = missing
            .iter()
            .filter(|want| self.locks.get(&want.lock).is_none());
        let limit = Limit::Locks;
        let full = self.locks.rows.len() + absent.count() > self.bounds.locks;
        full.then_some(Refusal::Limit { limit })
    }

    /// The wait for many that a session's place in this lock's queue is of.
    fn bundle_at(&self, id: SessionId, lock: &LockName) -> Option<(u64, &Bundle)> {
        let place = self.locks.place(id, lock);
        let ticket = place.filter(|(_, waiter)| waiter.many)?.1.ticket;
        Some((ticket, self.bundle(ticket)))
    }

    fn bundle(&self, ticket: u64) -> &Bundle {
        let bundle = self.locks.bundles.get(&ticket);
        bundle.expect("a place among many is of a bundle")
    }

    /// Takes a place in the queue of every lock, under one ticket.
    fn enqueue_all(&mut self, bundle: Bundle) -> Queued {
        let ticket = self.revision;
        let id = bundle.session;
        for want in bundle.wants.iter() {
            if bundle.kept.binary_search(&want.lock).is_ok() {
                continue;
            }
            let waiter = Waiter {
                session: id,
                ticket,
                attachment: ticket,
                since: self.clock,
                until: bundle.until,
                ask: Ask {
                    mode: want.mode,
                    ..Ask::default()
                },
                many: true,
            };
            self.locks.enqueue(&want.lock, waiter);
            self.sessions.get_mut(id).expect("it is alive").places += 1;
        }
        self.deadlines.insert(bundle.until, due(ticket, &bundle));
        self.locks.bundles.insert(ticket, bundle);
        self.queued_all(ticket)
    }

    /// A wait for many as its waiter is told of it.
    pub(super) fn queued_all(&self, ticket: u64) -> Queued {
        let bundle = self.bundle(ticket);
        let places = bundle.places();
        let positions = places.filter_map(|lock| Some(self.locks.waiter(lock, ticket)?.0));
        Queued {
            session: bundle.session,
            ticket,
            attachment: bundle.attachment,
            position: positions.max().unwrap_or(0),
            until: bundle.until,
        }
    }

    /// Another call for the same locks: it shares the places.
    fn join_all(&mut self, id: SessionId, ticket: u64, wait_ms: u64, call: Call) -> Outcome {
        let until = self.until(wait_ms);
        let session = self.sessions.get_mut(id).expect("it is alive");
        if let Some(refusal) = share_place(session, ticket, call) {
            return Outcome::Refused(refusal);
        }
        if until > self.bundle(ticket).until {
            self.extend_all(ticket, until);
        }
        Outcome::Queued(self.attach_all(ticket))
    }

    fn extend_all(&mut self, ticket: u64, until: Deadline) {
        let bundle = self.locks.bundles.get_mut(&ticket);
        let bundle = bundle.expect("it waits");
        let due = due(ticket, bundle);
        self.deadlines.remove(bundle.until, due.clone());
        self.deadlines.insert(until, due);
        bundle.until = until;
        for lock in places_of(bundle) {
            let waiter = self.locks.waiter_mut(&lock, ticket);
            waiter.expect("it has a place there").until = until;
        }
    }

    /// From now on the places are this revision's caller's to give up.
    pub(super) fn attach_all(&mut self, ticket: u64) -> Queued {
        let bundle = self.locks.bundles.get_mut(&ticket);
        bundle.expect("it waits").attachment = self.revision;
        self.queued_all(ticket)
    }

    /// A caller vanished that asked for many locks.
    pub(super) fn abandon_all(
        &mut self,
        id: SessionId,
        wants: &Wants,
        attachment: u64,
        turn: &mut Turn,
    ) -> Answer {
        let mut locks = wants.iter().map(|want| &want.lock);
        let place = locks.find_map(|lock| self.bundle_at(id, lock));
        let place = place.filter(|(_, bundle)| bundle.attachment == attachment);
        if let Some((ticket, _)) = place {
            self.end_wait_all(ticket, None, turn);
            let session = self.sessions.get_mut(id).expect("it waited");
            session.forget_wait(ticket);
            return Answer::new(Outcome::Abandoned(Abandoned::Place));
        }
        let leases = wants.iter().filter_map(|want| {
            let lease = self.locks.lease_of(id, &want.lock)?;
            let attached = lease.was_attached(attachment);
            attached.then(|| (want.lock.clone(), lease.fence))
        });
        let leases: Vec<_> = leases.collect();
        let found = match leases.is_empty() {
            true => Abandoned::Nothing,
            false => Abandoned::Leases(leases),
        };
        Answer::new(Outcome::Abandoned(found))
    }

    /// Grants a wait for many if it is first everywhere and every lock is free for it. True if
    /// the wait is over, whatever it came to.
    pub(super) fn grant_all_if_ready(&mut self, ticket: u64, turn: &mut Turn) -> bool {
        let bundle = self.bundle(ticket);
        if let Some(lost) = self.lost(bundle) {
            let highest_fence = self.highest_fence(lost);
            let refusal = Refusal::FenceStale { highest_fence };
            self.settle_all(ticket, refusal, turn);
            return true;
        }
        if let Some(blocked) = self.first_blocked(ticket, bundle) {
            let bundle = self.locks.bundles.get_mut(&ticket);
            bundle.expect("it waits").blocked = blocked;
            return false;
        }
        let bundle = self.leave_all(ticket);
        turn.freed.extend(places_of(&bundle));
        let (id, attachment) = (bundle.session, bundle.attachment);
        let all = self.grant_all(id, &bundle.wants, bundle.max_hold_ms, attachment, turn);
        let outcome = Outcome::GrantedAll(all.clone());
        self.tell(What::GrantedAll { ticket, all }, turn);
        let session = self.sessions.get_mut(id).expect("it is alive");
        session.settle_wait(ticket, &outcome);
        true
    }

    /// Whether a wait for many could be granted. The audit asks, of a machine that may be none.
    pub(crate) fn is_ready(&self, ticket: u64) -> bool {
        self.locks.bundles.get(&ticket).is_some_and(|bundle| {
            self.lost(bundle).is_none() && self.first_blocked(ticket, bundle).is_none()
        })
    }

    /// A lock that its session held when it came, and no longer does.
    fn lost<'a>(&self, bundle: &'a Bundle) -> Option<&'a LockName> {
        let mode = |lock| {
            let lease = self.locks.lease_of(bundle.session, lock)?;
            Some(lease.mode)
        };
        bundle.kept.iter().find(|lock| {
            let want = bundle.wants.iter().find(|want| want.lock == **lock);
            mode(lock) != want.map(|want| want.mode)
        })
    }

    /// Which of the wants is not free for it; the one that was seen last is looked at first.
    fn first_blocked(&self, ticket: u64, bundle: &Bundle) -> Option<usize> {
        let len = bundle.wants.len();
        let mut order = (bundle.blocked..len).chain(0..bundle.blocked.min(len));
        order.find(|at| {
            let lock = &bundle.wants[*at].lock;
            bundle.kept.binary_search(lock).is_err() && !self.is_turn_of(ticket, lock)
        })
    }

    /// Whether a waiter is next and the lock admits it.
    fn is_turn_of(&self, ticket: u64, lock: &LockName) -> bool {
        let most = self.bounds.holders_per_lock;
        self.locks.get(lock).is_some_and(|row| {
            let next = row.next_waiter().filter(|waiter| waiter.ticket == ticket);
            next.is_some_and(|waiter| row.admits(waiter, most))
        })
    }

    /// Makes all leases that the session does not have yet.
    fn grant_all(
        &mut self,
        id: SessionId,
        wants: &Wants,
        max_hold_ms: Option<u64>,
        attachment: u64,
        turn: &mut Turn,
    ) -> GrantedAll {
        let mut leases = Vec::with_capacity(wants.len());
        let mut hold_until = None;
        for want in wants.iter() {
            let grant = match self.locks.lease_of(id, &want.lock) {
                Some(lease) => grant_of(lease, self.sessions.get(id).expect("it is alive")),
                None => {
                    let ask = Ask {
                        mode: want.mode,
                        max_hold_ms,
                        value: None,
                    };
                    let grant = self.grant(id, &want.lock, &ask, attachment, turn);
                    hold_until = grant.hold_until;
                    grant
                }
            };
            leases.push(LeaseRow {
                lock: want.lock.clone(),
                mode: grant.mode,
                fence: grant.fence,
            });
        }
        GrantedAll {
            session: id,
            expires_at: self.sessions.get(id).expect("it is alive").expires_at,
            hold_until,
            leases,
        }
    }

    /// A wait for many ends for its time has passed.
    pub(super) fn time_out_all(&mut self, ticket: u64, turn: &mut Turn) {
        let lock = self.missing(ticket).clone();
        let refusal = Refusal::WaitTimeout {
            holders: self.holders(&lock),
            lock,
            position: self.queued_all(ticket).position,
        };
        self.settle_all(ticket, refusal, turn);
    }

    /// The first lock by name that is not free for a wait for many.
    fn missing(&self, ticket: u64) -> &LockName {
        let bundle = self.bundle(ticket);
        let mut places = bundle.places();
        let first = places.next().expect("it has a place");
        let mut blocked = bundle
            .places()
            .filter(|lock| !self.is_turn_of(ticket, lock));
        blocked.next().unwrap_or(first)
    }

    /// A wait for many is refused: those who called are told and remember it.
    fn settle_all(&mut self, ticket: u64, refusal: Refusal, turn: &mut Turn) {
        let id = self.bundle(ticket).session;
        let outcome = Outcome::Refused(refusal.clone());
        self.end_wait_all(ticket, Some(refusal), turn);
        let session = self.sessions.get_mut(id).expect("it waited");
        session.settle_wait(ticket, &outcome);
    }

    /// Gives up all places of a wait for many, and tells it.
    pub(super) fn end_wait_all(&mut self, ticket: u64, refusal: Option<Refusal>, turn: &mut Turn) {
        let bundle = self.leave_all(ticket);
        let locks = places_of(&bundle);
        turn.freed.extend(locks.iter().cloned());
        let what = What::WaitAllEnded {
            session: bundle.session,
            ticket,
            locks,
            refusal,
        };
        self.tell(what, turn);
    }

    /// Takes a wait for many out of all queues.
    pub(super) fn leave_all(&mut self, ticket: u64) -> Bundle {
        let bundle = self.locks.bundles.remove(&ticket).expect("it waits");
        self.deadlines.remove(bundle.until, due(ticket, &bundle));
        for lock in bundle.places() {
            self.locks.dequeue(lock, ticket);
            let session = self.sessions.get_mut(bundle.session);
            session.expect("no place without a session").places -= 1;
        }
        bundle
    }
}

/// How the end of a wait for many falls due.
pub(crate) fn due(ticket: u64, bundle: &Bundle) -> Due {
    Due::Wait(ticket, bundle.wants[0].lock.clone())
}

fn places_of(bundle: &Bundle) -> Vec<LockName> {
    bundle.places().cloned().collect()
}
