//! How places in queues are taken, taken up again, and given up.

use alloc::vec::Vec;

use super::{Answer, Call, Machine, Turn};
use crate::deadlines::Due;
use crate::event::What;
use crate::limits::{REPLAYS_PER_SESSION_MAX, WAIT_MS_MAX};
use crate::lock::Waiter;
use crate::name::{LockName, SessionId};
use crate::outcome::{Abandoned, Gone, Holder, Limit, Outcome, Queued, Refusal};
use crate::session::Record;
use crate::time::Deadline;

impl Machine {
    /// When a wait that begins now ends.
    pub(super) fn until(&self, wait_ms: u64) -> Deadline {
        self.clock.plus_ms(wait_ms.min(WAIT_MS_MAX))
    }

    /// Takes a place at the end of a held lock's queue.
    pub(super) fn enqueue(&mut self, id: SessionId, lock: &LockName, until: Deadline) -> Queued {
        let waiter = Waiter {
            session: id,
            ticket: self.revision,
            attachment: self.revision,
            since: self.clock,
            until,
        };
        let position = self.locks.enqueue(lock, waiter);
        self.deadlines
            .insert(until, Due::Wait(waiter.ticket, lock.clone()));
        self.sessions.get_mut(id).expect("it is alive").places += 1;
        queued(position, &waiter)
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
        if let Some(request) = call.request {
            let replay = session.replay_mut();
            if replay.askers(ticket) >= REPLAYS_PER_SESSION_MAX {
                let limit = Limit::WaitersPerLock;
                return Outcome::Refused(Refusal::Limit { limit });
            }
            replay.wait(request, call.digest, ticket);
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
    pub(super) fn attach_again(&mut self, lock: &LockName, ticket: u64) -> Answer {
        match self.locks.waiter(lock, ticket) {
            Some(_) => Answer::again(Outcome::Queued(self.attach(lock, ticket))),
            // Only if another call has the same digest.
            None => Answer::refusal(Refusal::KeyReused),
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
        let place = self.locks.place(id, lock).map(|(_, waiter)| *waiter);
        let lease = self.locks.get(lock).map(|row| row.lease);
        let found = match (place, lease) {
            (Some(waiter), _) if waiter.attachment == attachment => {
                self.end_wait(lock, &waiter, None, turn);
                let session = self.sessions.get_mut(id).expect("it waited");
                session.forget_wait(waiter.ticket);
                if session.waits_for(lock) {
                    self.owe_end(id, Gone::Closed, None, turn);
                }
                Abandoned::Place
            }
            (_, Some(lease)) if lease.session == id && lease.was_attached(attachment) => {
                Abandoned::Lease(lease.fence)
            }
            _ => Abandoned::Nothing,
        };
        Answer::new(Outcome::Abandoned(found))
    }

    /// The wait that a ticket stands for has fallen due.
    pub(super) fn time_out_at(&mut self, lock: &LockName, ticket: u64, turn: &mut Turn) {
        self.revision += 1;
        let waiter = self.locks.waiter(lock, ticket);
        let waiter = *waiter.expect("only places fall due").1;
        self.time_out(lock, &waiter, self.holders(lock), turn);
        self.end_owed(turn);
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
    pub(super) fn time_out(
        &mut self,
        lock: &LockName,
        waiter: &Waiter,
        holders: Vec<Holder>,
        turn: &mut Turn,
    ) {
        let (id, ticket) = (waiter.session, waiter.ticket);
        let place = self.locks.waiter(lock, ticket);
        let refusal = Refusal::WaitTimeout {
            lock: lock.clone(),
            holders,
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

    /// Gives up a place, and tells it.
    pub(super) fn end_wait(
        &mut self,
        lock: &LockName,
        waiter: &Waiter,
        refusal: Option<Refusal>,
        turn: &mut Turn,
    ) {
        self.leave_queue(lock, waiter.ticket);
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
