//! How things end in the naive machine, and who gets what is free then.

use std::vec;

use super::*;

impl Naive {
    /// A lease ends. If the loss is abnormal, nobody is granted the lock for a while.
    pub(super) fn lose(&mut self, fence: u64, cause: LeaseEnd) {
        let at = self.leases.iter().position(|l| l.fence == fence).unwrap();
        let lease = self.leases.remove(at);
        let lock = lease.lock.clone();
        if !self.of(&lock).iter().any(|l| l.asked) {
            self.revocations.retain(|(name, _, _)| *name != lock);
        }
        let client = self.client(lease.client).unwrap();
        let until = self
            .clock
            .plus_ms(client.delay_ms.min(limits::LOCK_DELAY_MS_MAX));
        let delays = client.delay_ms > 0
            && !matches!(cause, LeaseEnd::Released | LeaseEnd::Session(Gone::Closed));
        self.tell_end(&lease, cause);
        if delays && self.delay(&lock).is_none_or(|before| before < until) {
            self.delays.retain(|(name, _)| *name != lock);
            self.delays.push((lock.clone(), until));
        }
        self.freed.push(lock);
    }

    pub(super) fn tell_end(&mut self, lease: &Held, cause: LeaseEnd) {
        self.tell(What::Ended {
            lock: lease.lock.clone(),
            session: lease.client,
            owner: self.client(lease.client).unwrap().owner.clone(),
            mode: lease.mode,
            fence: Fence::claimed(lease.fence),
            cause,
        });
    }

    /// A lease is taken from its holder.
    pub(super) fn take(&mut self, fence: u64, cause: LeaseEnd) {
        let lease = self
            .leases
            .iter()
            .find(|l| l.fence == fence)
            .unwrap()
            .clone();
        let gone = match cause {
            LeaseEnd::MaxHold => Gone::Expired,
            _ => Gone::EndedByOperator,
        };
        self.lose(fence, cause);
        self.no_upgrade(lease.client, &lease.lock);
        if self.client(lease.client).unwrap().lives_for.as_ref() == Some(&lease.lock) {
            self.doomed.push((lease.client, gone, None));
        }
    }

    /// The upgrade of whoever has no lease any more.
    pub(super) fn no_upgrade(&mut self, id: SessionId, lock: &LockName) {
        let upgrade = self.wait_of(id, lock).filter(|w| w.upgrades);
        if let Some(ticket) = upgrade.map(|w| w.ticket) {
            let highest_fence = self.highest(lock);
            self.refuse(ticket, Refusal::FenceStale { highest_fence });
        }
    }

    pub(super) fn highest(&self, lock: &LockName) -> Option<Fence> {
        self.of(lock).last().map(|l| Fence::claimed(l.fence))
    }

    /// Gives a lock to whoever is next, as long as it can be given.
    fn hand_on(&mut self, lock: &LockName) {
        while let Some(wait) = self.queue(lock).first().map(|w| (*w).clone()) {
            if wait.until <= self.clock {
                self.time_out(wait.ticket);
                continue;
            }
            if self.overdue(wait.client) {
                let (session, cause) = (wait.client, Gone::Expired);
                self.leave(wait.ticket, Some(Refusal::SessionGone { session, cause }));
                self.doomed.push((session, cause, None));
                continue;
            }
            let mode = wait.wants.iter().find(|(name, _)| name == lock).unwrap().1;
            if !self.turn(&wait, lock, mode) {
                return;
            }
            let outcome = if let Some(all) = &wait.all {
                match self.all_at_last(&wait, all) {
                    None => return,
                    Some(None) => continue,
                    Some(Some(outcome)) => outcome,
                }
            } else {
                self.waits.retain(|w| w.ticket != wait.ticket);
                match wait.upgrades {
                    true => self.change_mode(&wait, lock, LeaseEnd::Upgraded),
                    false => self.grant(&wait, lock, mode),
                }
            };
            for request in in_order(wait.asked_by) {
                self.remember(wait.client, request, outcome.clone());
            }
        }
    }

    /// A wait ends without a grant; whoever called is told, and remembers nothing of it.
    pub(super) fn leave(&mut self, ticket: u64, refusal: Option<Refusal>) -> Wait {
        let at = self.waits.iter().position(|w| w.ticket == ticket).unwrap();
        let wait = self.waits.remove(at);
        let locks: Vec<_> = wait.wants.iter().map(|(name, _)| name.clone()).collect();
        self.freed.extend(locks.clone());
        let session = wait.client;
        self.tell(match wait.all {
            Some(_) => What::WaitAllEnded {
                session,
                ticket,
                locks,
                refusal,
            },
            None => What::WaitEnded {
                lock: locks[0].clone(),
                session,
                ticket,
                refusal,
            },
        });
        wait
    }

    /// A wait is refused, and whoever called remembers it.
    pub(super) fn refuse(&mut self, ticket: u64, refusal: Refusal) -> (Wait, Outcome) {
        let wait = self.leave(ticket, Some(refusal.clone()));
        let outcome = Outcome::Refused(refusal);
        for request in in_order(wait.asked_by.clone()) {
            self.remember(wait.client, request, outcome.clone());
        }
        (wait, outcome)
    }

    pub(super) fn time_out(&mut self, ticket: u64) {
        let wait = self.wait(ticket).unwrap().clone();
        let lock = self.first_missing(&wait);
        let positions = wait
            .wants
            .iter()
            .map(|(name, _)| self.position(&wait, name));
        let refusal = Refusal::WaitTimeout {
            holders: self.holders(&lock),
            lock: lock.clone(),
            position: positions.max().unwrap(),
        };
        let (wait, outcome) = self.refuse(ticket, refusal);
        let client = self.client(wait.client).unwrap();
        if wait.all.is_none() && !wait.upgrades && client.lives_for.as_ref() == Some(&lock) {
            let by = client.opened_by.clone().map(|request| (request, outcome));
            self.doomed.push((wait.client, Gone::Closed, by));
        }
    }

    /// The first lock by name that is not free for a wait.
    pub(super) fn first_missing(&self, wait: &Wait) -> LockName {
        let missing = |(name, mode): &&(LockName, Mode)| !self.turn(wait, name, *mode);
        let missing = wait.wants.iter().find(missing);
        missing.unwrap_or(&wait.wants[0]).0.clone()
    }

    pub(super) fn end(
        &mut self,
        id: SessionId,
        cause: Gone,
        reason: Option<&Reason>,
        by: Option<(Request, Outcome)>,
    ) {
        let long = by.as_ref().is_some_and(|(_, outcome)| match outcome {
            Outcome::Closed { released } => released.len() > limits::LISTED_MAX,
            _ => false,
        });
        self.tell(What::SessionEnded {
            session: id,
            cause,
            reason: reason.cloned(),
        });
        for (_, fence) in self.released(id) {
            let end = match reason.cloned() {
                Some(reason) => LeaseEnd::EndedByOperator { reason },
                None => LeaseEnd::Session(cause),
            };
            self.lose(fence.number(), end);
        }
        let mut tickets: Vec<(LockName, u64)> = vec![];
        for wait in self.waits.iter().filter(|w| w.client == id) {
            tickets.push((wait.wants[0].0.clone(), wait.ticket));
        }
        tickets.sort();
        for (_, ticket) in tickets {
            self.leave(ticket, Some(Refusal::SessionGone { session: id, cause }));
        }
        self.clients.retain(|c| c.id != id);
        self.dead.push(Dead {
            id,
            cause,
            ended_by: by.filter(|_| !long),
        });
        if self.dead.len() > limits::ENDED_SESSIONS_MAX {
            self.dead.remove(0);
        }
    }

    /// What a client holds, by name.
    pub(super) fn released(&self, id: SessionId) -> Vec<(LockName, Fence)> {
        let held = self.leases.iter().filter(|l| l.client == id);
        let mut held: Vec<_> = held
            .map(|l| (l.lock.clone(), Fence::claimed(l.fence)))
            .collect();
        held.sort();
        held
    }

    /// What this revision has brought about.
    pub(super) fn finish(&mut self) {
        loop {
            if !self.doomed.is_empty() {
                let (id, cause, by) = self.doomed.remove(0);
                if self.client(id).is_some() {
                    self.end(id, cause, None, by);
                }
            } else if !self.freed.is_empty() {
                let lock = self.freed.remove(0);
                self.hand_on(&lock);
            } else {
                return;
            }
        }
    }
}

/// Calls that waited in one place are remembered in the order of their ids.
fn in_order(mut requests: Vec<Request>) -> Vec<Request> {
    requests.sort_by_key(|r| r.0);
    requests
}
