//! How places in queues are taken, taken up again, and given up.

use super::{Answer, Call, Machine, Turn};
use crate::deadlines::Due;
use crate::event::What;
use crate::limits::{REPLAYS_PER_SESSION_MAX, WAIT_MS_MAX};
use crate::lock::{Ask, Waiter};
use crate::name::{LockName, SessionId};
use crate::outcome::{Abandoned, Gone, Limit, Outcome, Queued, Refusal};
use crate::session::{Record, Session};
use crate::time::Deadline;

impl Machine {
    /// When a wait that begins now ends.
    pub(super) fn until(&self, wait_ms: u64) -> Deadline {
        self.clock.plus_ms(wait_ms.min(WAIT_MS_MAX))
    }

    /// Takes a place at the end of a lock's queue.
    pub(super) fn enqueue(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: Ask,
        until: Deadline,
    ) -> Queued {
        let waiter = self.arrive(id, lock, ask, until);
        let position = self.locks.enqueue(lock, waiter.clone());
        queued(position, &waiter)
    }

    /// Takes the place before a lock's queue.
    pub(super) fn enqueue_upgrade(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: Ask,
        until: Deadline,
    ) -> Queued {
        let waiter = self.arrive(id, lock, ask, until);
        self.locks.enqueue_upgrade(lock, waiter.clone());
        queued(0, &waiter)
    }

    fn arrive(&mut self, id: SessionId, lock: &LockName, ask: Ask, until: Deadline) -> Waiter {
        let ticket = self.revision;
        self.deadlines
            .insert(until, Due::Wait(ticket, lock.clone()));
        self.sessions.get_mut(id).expect("it is alive").places += 1;
        Waiter {
            session: id,
            ticket,
            attachment: ticket,
            since: self.clock,
            until,
            ask,
            many: false,
        }
    }

    /// What a wait that has just begun comes to: it goes on, and is remembered by its place;
    /// unless it closes a circle, and then it has never been.
    pub(super) fn unless_deadlock(&mut self, id: SessionId, queued: Queued, call: Call) -> Outcome {
        let ticket = queued.ticket;
        if let Some(refusal) = self.deadlock(id) {
            self.leave(id, ticket);
            return Outcome::Refused(refusal);
        }
        if let Some(request) = call.request {
            let session = self.sessions.get_mut(id).expect("it is alive");
            session.replay_mut().wait(request, call.digest, ticket);
        }
        Outcome::Queued(queued)
    }

    /// Gives up every place that has this ticket.
    fn leave(&mut self, id: SessionId, ticket: u64) {
        if self.locks.bundles.get(&ticket).is_some() {
            self.leave_all(ticket);
            return;
        }
        let mut places = self.locks.places_of(id);
        let place = places.find(|(_, of)| *of == ticket);
        let lock = place.expect("it waits there").0.clone();
        drop(places);
        self.leave_queue(&lock, ticket);
    }

    /// Another call of a session that waits already: it shares the place, which from now on is
    /// this call's to give up, and which waits for whichever call waits longer.
    pub(super) fn join(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ticket: u64,
        wait_ms: u64,
        call: Call,
    ) -> Outcome {
        let until = self.until(wait_ms);
        let session = self.sessions.get_mut(id).expect("it is alive");
        if let Some(refusal) = share_place(session, ticket, call) {
            return Outcome::Refused(refusal);
        }
        let waiter = self.locks.waiter_mut(lock, ticket);
        let waiter = waiter.expect("the place was just found");
        if until > waiter.until {
            let due = Due::Wait(ticket, lock.clone());
            self.deadlines.remove(waiter.until, due.clone());
            self.deadlines.insert(until, due);
            waiter.until = until;
            if session.waits_for(lock) {
                session.expires_at = until;
            }
        }
        Outcome::Queued(self.attach(lock, ticket))
    }

    /// The same call again, while its place still waits.
    pub(super) fn attach_again(&mut self, lock: Option<&LockName>, ticket: u64) -> Answer {
        if self.locks.bundles.get(&ticket).is_some() {
            return Answer::again(Outcome::Queued(self.attach_all(ticket)));
        }
        match lock {
            Some(lock) if self.locks.waiter(lock, ticket).is_some() => {
                Answer::again(Outcome::Queued(self.attach(lock, ticket)))
            }
            // Only if another call has the same digest.
            Some(_) | None => Answer::refusal(Refusal::KeyReused),
        }
    }

    /// From now on the place is this revision's caller's to give up.
    fn attach(&mut self, lock: &LockName, ticket: u64) -> Queued {
        let revision = self.revision;
        let waiter = self.locks.waiter_mut(lock, ticket);
        waiter.expect("the place was just found").attachment = revision;
        let (position, waiter) = self
            .locks
            .waiter(lock, ticket)
            .expect("the place was just found");
        queued(position, waiter)
    }

    /// A caller vanished: its place goes, unless another caller has taken it up since.
    pub(super) fn abandon(
        &mut self,
        id: SessionId,
        lock: &LockName,
        attachment: u64,
        turn: &mut Turn,
    ) -> Answer {
        let place = self.locks.place(id, lock).map(|(_, waiter)| waiter);
        let place = place.filter(|waiter| !waiter.many && waiter.attachment == attachment);
        let found = if let Some(waiter) = place.cloned() {
            self.end_wait(lock, &waiter, None, turn);
            let session = self.sessions.get_mut(id).expect("it waited");
            session.forget_wait(waiter.ticket);
            if session.waits_for(lock) {
                self.owe_end(id, Gone::Closed, None, turn);
            }
            Abandoned::Place
        } else {
            let lease = self.locks.lease_of(id, lock);
            match lease.filter(|lease| lease.was_attached(attachment)) {
                Some(lease) => Abandoned::Lease(lease.fence),
                None => Abandoned::Nothing,
            }
        };
        Answer::new(Outcome::Abandoned(found))
    }

    /// The wait that a ticket stands for has fallen due.
    pub(super) fn time_out_at(&mut self, lock: &LockName, ticket: u64, turn: &mut Turn) {
        self.revision += 1;
        if self.locks.bundles.get(&ticket).is_some() {
            self.time_out_all(ticket, turn);
        } else {
            let waiter = self.locks.waiter(lock, ticket);
            let waiter = waiter.expect("only places fall due").1.clone();
            self.time_out(lock, &waiter, turn);
        }
        self.settle(turn);
    }

    /// Handles the overdue end of a session's wait for a lock.
    pub(super) fn time_out_if_due(
        &mut self,
        id: Option<SessionId>,
        lock: &LockName,
        turn: &mut Turn,
    ) {
        let Some(id) = id else { return };
        let Some((_, waiter)) = self.locks.place(id, lock) else {
            return;
        };
        if waiter.until <= self.clock {
            self.time_out_at(lock, waiter.ticket, turn);
        }
    }

    /// A wait ends for its time has passed; a session that lived for it ends with it.
    pub(super) fn time_out(&mut self, lock: &LockName, waiter: &Waiter, turn: &mut Turn) {
        let (id, ticket) = (waiter.session, waiter.ticket);
        if waiter.many {
            self.time_out_all(ticket, turn);
            return;
        }
        let place = self.locks.waiter(lock, ticket);
        let refusal = Refusal::WaitTimeout {
            lock: lock.clone(),
            holders: self.holders(lock),
            position: place.expect("it still waits").0,
        };
        let outcome = Outcome::Refused(refusal.clone());
        self.end_wait(lock, waiter, Some(refusal), turn);
        let session = self.sessions.get_mut(id).expect("it waited");
        session.settle_wait(ticket, &outcome);
        if session.waits_for(lock) {
            let record = session.opening.map(|opening| Record {
                request: opening.request,
                call: opening.call,
                outcome,
            });
            self.owe_end(id, Gone::Closed, record, turn);
        }
    }

    /// Gives up a place, and tells it. Those behind it may get what it waited for.
    pub(super) fn end_wait(
        &mut self,
        lock: &LockName,
        waiter: &Waiter,
        refusal: Option<Refusal>,
        turn: &mut Turn,
    ) {
        if waiter.many {
            self.end_wait_all(waiter.ticket, refusal, turn);
            return;
        }
        self.leave_queue(lock, waiter.ticket);
        turn.freed.push_back(lock.clone());
        let what = What::WaitEnded {
            lock: lock.clone(),
            session: waiter.session,
            ticket: waiter.ticket,
            refusal,
        };
        self.tell(what, turn);
    }

    /// Takes a waiter out of the queue, for better or worse.
    pub(super) fn leave_queue(&mut self, lock: &LockName, ticket: u64) {
        let waiter = self.locks.dequeue(lock, ticket);
        self.deadlines
            .remove(waiter.until, Due::Wait(ticket, lock.clone()));
        let session = self.sessions.get_mut(waiter.session);
        session.expect("no place without a session").places -= 1;
    }
}

/// One more call waits in a place; too many may not.
pub(super) fn share_place(session: &mut Session, ticket: u64, call: Call) -> Option<Refusal> {
    let request = call.request?;
    let replay = session.replay_mut();
    if replay.askers(ticket) >= REPLAYS_PER_SESSION_MAX {
        let limit = Limit::WaitersPerLock;
        return Some(Refusal::Limit { limit });
    }
    replay.wait(request, call.digest, ticket);
    None
}

/// A place as its waiter is told of it.
pub(super) fn queued(position: u32, waiter: &Waiter) -> Queued {
    Queued {
        session: waiter.session,
        ticket: waiter.ticket,
        attachment: waiter.attachment,
        position,
        until: waiter.until,
    }
}
