//! What falls due, and what of it is settled before a command that it would matter to.

use alloc::vec::Vec;

use super::{Machine, Turn};
use crate::command::{Acquirer, Command, Op};
use crate::deadlines::Due;
use crate::event::LeaseEnd;
use crate::fence::Fence;
use crate::lock::{Lease, Lock};
use crate::name::{LockName, SessionId};

impl Machine {
    /// Handles what is due, in order, up to the bound.
    pub(super) fn expire_due(&mut self, turn: &mut Turn) {
        for _ in 0..self.bounds.expiries_per_entry {
            match self.deadlines.due_by(self.clock) {
                Some(Due::Session(session)) => self.expire(session, turn),
                Some(Due::Wait(ticket, lock)) => self.time_out_at(&lock, ticket, turn),
                Some(Due::Hold(fence, lock)) => self.end_hold(&lock, fence, turn),
                Some(Due::Revoke(lock)) => self.enforce_revocation(&lock, turn),
                Some(Due::Delay(lock)) => self.end_delay(&lock, turn),
                Some(Due::Ring(ring)) => self.wake_ring(&ring, turn),
                None => return,
            }
        }
    }

    /// Settles what is overdue and would matter to this command.
    pub(super) fn expire_touched(&mut self, command: &Command, turn: &mut Turn) {
        // Nearly always nothing is left over, and one look says so.
        if self.deadlines.due_by(self.clock).is_none() {
            return;
        }
        let opened = command.request.and_then(|r| self.sessions.opened_by(r));
        match &command.op {
            Op::Open(_) => self.expire_if_due(opened, turn),
            Op::Renew { sessions } => {
                for session in sessions {
                    self.expire_if_due(Some(*session), turn);
                }
            }
            Op::Close { session } | Op::EndSession { session, .. } => {
                self.expire_if_due(Some(*session), turn);
            }
            Op::Acquire { by, lock, .. } => {
                let session = match by {
                    Acquirer::Session(session) => Some(*session),
                    Acquirer::OneLease(_) => opened,
                };
                self.expire_if_due(session, turn);
                self.time_out_if_due(session, lock, turn);
                self.settle_lock(lock, turn);
            }
            Op::AcquireAll { session, wants, .. } => {
                self.expire_if_due(Some(*session), turn);
                for want in wants.iter() {
                    self.time_out_if_due(Some(*session), &want.lock, turn);
                }
                for want in wants.iter() {
                    self.settle_lock(&want.lock, turn);
                }
            }
            Op::Abandon { session, lock, .. } => {
                self.expire_if_due(Some(*session), turn);
                self.time_out_if_due(Some(*session), lock, turn);
            }
            Op::AbandonAll { session, wants, .. } => {
                self.expire_if_due(Some(*session), turn);
                for want in wants.iter() {
                    self.time_out_if_due(Some(*session), &want.lock, turn);
                }
            }
            Op::Release { session, lock, .. } | Op::SetValue { session, lock, .. } => {
                self.expire_if_due(Some(*session), turn);
                self.settle_lock(lock, turn);
            }
            Op::Transfer {
                session, lock, to, ..
            } => {
                self.expire_if_due(Some(*session), turn);
                self.expire_if_due(Some(*to), turn);
                self.time_out_if_due(Some(*to), lock, turn);
                self.settle_lock(lock, turn);
            }
            Op::Revoke { lock, .. } | Op::Break { lock, .. } => self.settle_lock(lock, turn),
            Op::Ring(op) => self.expire_touched_by_ring(op, turn),
        }
    }

    /// Settles what is overdue of a lock: its holders, what falls due of it itself, and whoever
    /// is next in its queue. Those behind are passed by when their turn comes.
    fn settle_lock(&mut self, lock: &LockName, turn: &mut Turn) {
        let leases = self.locks.get(lock).map_or(&[][..], Lock::leases);
        // Most locks have one holder, and nothing to collect.
        if let [lease] = leases {
            let (holder, fence) = (lease.session, lease.fence);
            self.expire_if_due(Some(holder), turn);
            self.end_hold_if_due(lock, fence, turn);
        } else {
            let leases: Vec<_> = leases.iter().map(|l| (l.session, l.fence)).collect();
            for (holder, fence) in leases {
                self.expire_if_due(Some(holder), turn);
                self.end_hold_if_due(lock, fence, turn);
            }
        }
        let revocation = self.locks.get(lock).and_then(Lock::revocation);
        if revocation.is_some_and(|revocation| revocation.deadline <= self.clock) {
            self.enforce_revocation(lock, turn);
        }
        let delayed_until = self.locks.get(lock).and_then(Lock::delayed_until);
        if delayed_until.is_some_and(|until| until <= self.clock) {
            self.end_delay(lock, turn);
        }
        while let Some(next) = self.locks.get(lock).and_then(Lock::next_waiter) {
            let (id, ticket, until) = (next.session, next.ticket, next.until);
            if until <= self.clock {
                self.time_out_at(lock, ticket, turn);
            } else if self.is_overdue(id) {
                self.expire_if_due(Some(id), turn);
            } else {
                return;
            }
        }
    }

    fn is_overdue(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        session.is_some_and(|session| session.expires_at <= self.clock)
    }

    /// A lease has lasted as long as it may.
    fn end_hold(&mut self, lock: &LockName, fence: Fence, turn: &mut Turn) {
        self.revision += 1;
        self.take_lease(lock, fence, LeaseEnd::MaxHold, turn);
        self.settle(turn);
    }

    fn end_hold_if_due(&mut self, lock: &LockName, fence: Fence, turn: &mut Turn) {
        let row = self.locks.get(lock);
        let lease = row.and_then(|row| row.lease(fence));
        let until = lease.and_then(Lease::hold_until);
        if until.is_some_and(|until| until <= self.clock) {
            self.end_hold(lock, fence, turn);
        }
    }

    /// A lock that was lost abnormally is open again.
    fn end_delay(&mut self, lock: &LockName, turn: &mut Turn) {
        self.revision += 1;
        let until = self.locks.change(lock, |row| row.delayed_until.take());
        let until = until.expect("only a delay that is there ends");
        self.deadlines.remove(until, Due::Delay(lock.clone()));
        turn.freed.push_back(lock.clone());
        self.settle(turn);
    }
}
