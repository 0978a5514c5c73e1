//! What falls due in the naive machine, and what of it goes before a command.

use std::vec;
use std::vec::Vec;

use super::*;

impl Naive {
    /// Handles what falls due first, if anything is due.
    pub(super) fn first_due(&mut self) -> bool {
        let none = LockName::floor;
        let mut due: Vec<(Deadline, u8, u128, LockName)> = vec![];
        for client in &self.clients {
            if self.life_wait(client).is_none() {
                due.push((client.expires_at, 0, client.id.to_bits(), none()));
            }
        }
        for wait in &self.waits {
            due.push((wait.until, 1, u128::from(wait.ticket), none()));
        }
        for lease in &self.leases {
            if let Some(until) = lease.hold_until {
                due.push((until, 2, u128::from(lease.fence), none()));
            }
        }
        for (lock, deadline, _) in &self.revocations {
            due.push((*deadline, 3, 0, lock.clone()));
        }
        for (lock, until) in &self.delays {
            due.push((*until, 4, 0, lock.clone()));
        }
        due.sort();
        let Some((at, kind, number, lock)) = due.first().cloned() else {
            return false;
        };
        if at > self.clock {
            return false;
        }
        let short = u64::try_from(number).unwrap_or_default();
        match kind {
            0 => self.expire(SessionId::from_bits(number)),
            1 => self.time_out_alone(short),
            2 => self.held_too_long(short),
            3 => self.revoked(&lock),
            _ => self.undelay(&lock),
        }
        true
    }

    fn expire(&mut self, id: SessionId) {
        self.revision += 1;
        self.end(id, Gone::Expired, None, None);
        self.finish();
    }

    fn time_out_alone(&mut self, ticket: u64) {
        self.revision += 1;
        self.time_out(ticket);
        self.finish();
    }

    fn held_too_long(&mut self, fence: u64) {
        self.revision += 1;
        self.take(fence, LeaseEnd::MaxHold);
        self.finish();
    }

    fn revoked(&mut self, lock: &LockName) {
        self.revision += 1;
        let of = |(name, _, _): &&(LockName, Deadline, Reason)| name == lock;
        let reason = self.revocations.iter().find(of).unwrap().2.clone();
        let asked: Vec<_> = self
            .of(lock)
            .iter()
            .filter(|l| l.asked)
            .map(|l| l.fence)
            .collect();
        for fence in asked {
            let reason = reason.clone();
            self.take(fence, LeaseEnd::Revoked { reason });
        }
        self.finish();
    }

    fn undelay(&mut self, lock: &LockName) {
        self.revision += 1;
        self.delays.retain(|(name, _)| name != lock);
        self.freed.push(lock.clone());
        self.finish();
    }

    pub(super) fn overdue_before(&mut self, command: &Command) {
        let opened = command.request.and_then(|id| self.opened_by(id));
        match &command.op {
            Op::Open(_) => self.overdue_client(opened),
            Op::Renew { sessions } => {
                for id in sessions {
                    self.overdue_client(Some(*id));
                }
            }
            Op::Close { session } | Op::EndSession { session, .. } => {
                self.overdue_client(Some(*session));
            }
            Op::Abandon { session, lock, .. } => {
                self.overdue_client(Some(*session));
                self.overdue_wait(*session, lock);
            }
            Op::AbandonAll { session, wants, .. } => {
                self.overdue_client(Some(*session));
                for want in wants.iter() {
                    self.overdue_wait(*session, &want.lock);
                }
            }
            Op::Release { session, lock, .. } | Op::SetValue { session, lock, .. } => {
                self.overdue_client(Some(*session));
                self.overdue_lock(lock);
            }
            Op::Transfer {
                session, lock, to, ..
            } => {
                self.overdue_client(Some(*session));
                self.overdue_client(Some(*to));
                self.overdue_wait(*to, lock);
                self.overdue_lock(lock);
            }
            Op::Revoke { lock, .. } | Op::Break { lock, .. } => self.overdue_lock(lock),
            Op::Acquire { by, lock, .. } => {
                let id = match by {
                    Acquirer::Session(id) => Some(*id),
                    Acquirer::OneLease(_) => opened,
                };
                self.overdue_client(id);
                if let Some(id) = id {
                    self.overdue_wait(id, lock);
                }
                self.overdue_lock(lock);
            }
            Op::Ring(_) => unreachable!("rings have a naive observer of their own"),
            Op::AcquireAll { session, wants, .. } => {
                self.overdue_client(Some(*session));
                for want in wants.iter() {
                    self.overdue_wait(*session, &want.lock);
                }
                for want in wants.iter() {
                    self.overdue_lock(&want.lock);
                }
            }
        }
    }

    fn overdue_client(&mut self, id: Option<SessionId>) {
        let Some(client) = id.and_then(|id| self.client(id)) else {
            return;
        };
        let (id, expires_at) = (client.id, client.expires_at);
        match self.life_wait(client).map(|w| (w.ticket, w.until)) {
            Some((ticket, until)) if until <= self.clock => self.time_out_alone(ticket),
            Some(_) => {}
            None if expires_at <= self.clock => self.expire(id),
            None => {}
        }
    }

    fn overdue_wait(&mut self, id: SessionId, lock: &LockName) {
        if let Some(wait) = self.wait_of(id, lock)
            && wait.until <= self.clock
        {
            self.time_out_alone(wait.ticket);
        }
    }

    /// Holders one by one, what the lock itself has, and then whoever is next in its queue.
    fn overdue_lock(&mut self, lock: &LockName) {
        let held: Vec<_> = self.of(lock).iter().map(|l| (l.client, l.fence)).collect();
        for (client, fence) in held {
            self.overdue_client(Some(client));
            let late = |l: &Held| l.fence == fence && l.hold_until.is_some_and(|t| t <= self.clock);
            if self.leases.iter().any(late) {
                self.held_too_long(fence);
            }
        }
        let late = |(name, at, _): &(LockName, Deadline, Reason)| name == lock && *at <= self.clock;
        if self.revocations.iter().any(late) {
            self.revoked(lock);
        }
        if self.delay(lock).is_some_and(|until| until <= self.clock) {
            self.undelay(lock);
        }
        while let Some(next) = self.queue(lock).first() {
            let (client, ticket, until) = (next.client, next.ticket, next.until);
            if until <= self.clock {
                self.time_out_alone(ticket);
            } else if self.overdue(client) {
                self.overdue_client(Some(client));
            } else {
                return;
            }
        }
    }
}
