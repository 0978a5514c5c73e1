//! What becomes of leases in the naive machine: grants, other modes, other holders, operators.

use std::vec::Vec;

use super::calls::refused;
use super::*;

impl Naive {
    pub(super) fn holders(&self, lock: &LockName) -> Vec<Holder> {
        let leases = self.of(lock).into_iter().take(limits::LISTED_MAX);
        let holders = leases.map(|lease| {
            let client = self.client(lease.client).unwrap();
            Holder {
                session: lease.client,
                owner: client.owner.clone(),
                mode: lease.mode,
                fence: Fence::claimed(lease.fence),
                since: lease.since,
                expires_at: self.ends_at(client),
                hold_until: lease.hold_until,
                value: lease.value.clone(),
            }
        });
        holders.collect()
    }

    /// A lease as its holder is told of it.
    pub(super) fn told(&self, id: SessionId, lock: &LockName) -> Grant {
        let lease = self.lease(id, lock).unwrap();
        Grant {
            session: id,
            mode: lease.mode,
            fence: Fence::claimed(lease.fence),
            expires_at: self.ends_at(self.client(id).unwrap()),
            hold_until: lease.hold_until,
        }
    }

    /// A lease begins.
    fn begin_lease(&mut self, lease: Held) -> Outcome {
        let (id, lock) = (lease.client, lease.lock.clone());
        self.leases.push(lease);
        let owner = self.client(id).unwrap().owner.clone();
        let grant = self.told(id, &lock);
        self.tell(What::Granted {
            lock,
            grant: grant.clone(),
            owner,
        });
        Outcome::Granted(grant)
    }

    pub(super) fn grant(&mut self, wait: &Wait, lock: &LockName, mode: Mode) -> Outcome {
        self.fence += 1;
        let (id, since) = (wait.client, self.clock);
        let client = self.client_mut(id).unwrap();
        if client.lives_for.as_ref() == Some(lock) {
            client.expires_at = since.plus_ms(client.ttl.ms());
        }
        self.begin_lease(Held {
            lock: lock.clone(),
            client: id,
            fence: self.fence,
            since,
            attachment: wait.attachment,
            mode,
            hold_until: wait.hold_ms.map(|ms| since.plus_ms(ms)),
            value: shown(&wait.value),
            asked: false,
        })
    }

    /// A lease gives way to another of the same lock, in one step.
    fn give_way(&mut self, fence: u64, new: Held, cause: LeaseEnd) -> Outcome {
        let at = self.leases.iter().position(|l| l.fence == fence).unwrap();
        let old = self.leases.remove(at);
        self.tell_end(&old, cause);
        self.fence += 1;
        self.freed.push(old.lock.clone());
        self.begin_lease(Held {
            fence: self.fence,
            since: self.clock,
            asked: old.asked,
            ..new
        })
    }

    /// Up or down.
    pub(super) fn change_mode(&mut self, wait: &Wait, lock: &LockName, cause: LeaseEnd) -> Outcome {
        let old = self.lease(wait.client, lock).unwrap().clone();
        let down = cause == LeaseEnd::Downgraded;
        let new = Held {
            attachment: if down { 0 } else { wait.attachment },
            mode: if down { Mode::Shared } else { Mode::Exclusive },
            hold_until: wait.hold_ms.map(|ms| self.clock.plus_ms(ms)),
            value: shown(&wait.value).or(old.value.clone()),
            ..old.clone()
        };
        self.give_way(old.fence, new, cause)
    }

    /// The lease that a holder means, or that it does not have it.
    fn meant(&self, id: SessionId, lock: &LockName, fence: u64) -> Result<Held, Outcome> {
        let lease = self.lease(id, lock).filter(|l| l.fence == fence);
        lease.cloned().ok_or(Outcome::Refused(Refusal::FenceStale {
            highest_fence: self.highest(lock),
        }))
    }

    /// The client ends if it lived for the lease that it has given up.
    fn end_or_note(&mut self, id: SessionId, lock: &LockName, by: Option<Request>, what: &Outcome) {
        if self.client(id).unwrap().lives_for.as_ref() == Some(lock) {
            let by = by.map(|by| (by, what.clone()));
            self.doomed.push((id, Gone::Closed, by));
        } else {
            self.note(id, by, what);
        }
    }

    pub(super) fn release(
        &mut self,
        id: SessionId,
        lock: &LockName,
        fence: u64,
        by: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, &by) {
            return answer;
        }
        if let Err(stale) = self.meant(id, lock, fence) {
            self.note(id, by, &stale);
            return (false, stale);
        }
        self.lose(fence, LeaseEnd::Released);
        self.no_upgrade(id, lock);
        self.end_or_note(id, lock, by, &Outcome::Released);
        (false, Outcome::Released)
    }

    pub(super) fn set_value(
        &mut self,
        id: SessionId,
        lock: &LockName,
        fence: u64,
        value: &str,
        by: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, &by) {
            return answer;
        }
        if value.len() > limits::VALUE_BYTES_MAX {
            let limit = Limit::ValueBytes;
            return refused(Refusal::Limit { limit });
        }
        let outcome = match self.meant(id, lock, fence) {
            Err(stale) => stale,
            Ok(_) => {
                let held = self.leases.iter_mut().find(|l| l.fence == fence);
                held.unwrap().value = shown(value);
                self.tell(What::ValueSet {
                    lock: lock.clone(),
                    session: id,
                    owner: self.client(id).unwrap().owner.clone(),
                    fence: Fence::claimed(fence),
                    value: shown(value),
                });
                Outcome::ValueSet
            }
        };
        self.note(id, by, &outcome);
        (false, outcome)
    }

    pub(super) fn transfer(
        &mut self,
        id: SessionId,
        lock: &LockName,
        fence: u64,
        to: SessionId,
        by: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, &by) {
            return answer;
        }
        let lease = match self.meant(id, lock, fence) {
            Ok(lease) => lease,
            Err(stale) => {
                self.note(id, by, &stale);
                return (false, stale);
            }
        };
        if let Some(refusal) = self.no_transfer(&lease, to) {
            let outcome = Outcome::Refused(refusal);
            self.note(id, by, &outcome);
            return (false, outcome);
        }
        let new = Held {
            client: to,
            attachment: 0,
            ..lease
        };
        self.give_way(fence, new, LeaseEnd::Transferred { to });
        let outcome = Outcome::Transferred {
            fence: Fence::claimed(self.fence),
        };
        self.no_upgrade(id, lock);
        self.end_or_note(id, lock, by, &outcome);
        (false, outcome)
    }

    fn no_transfer(&self, lease: &Held, to: SessionId) -> Option<Refusal> {
        let lock = lease.lock.clone();
        if self.client(to).is_none() {
            let cause = self.cause(to);
            return Some(Refusal::SessionGone { session: to, cause });
        }
        let wants = self.wait_of(to, &lock).map(|w| &w.wants);
        let wanted = wants.and_then(|w| w.iter().find(|(name, _)| *name == lock));
        let has = self.lease(to, &lock).map(|l| l.mode);
        if let Some(mode) = has.or(wanted.map(|(_, mode)| *mode)) {
            return Some(Refusal::UpgradeConflict { lock, mode });
        }
        // As it would be afterwards: the lease is the other's, and so no upgrade of it is left.
        let (mut waits, mut leases) = (self.waits.clone(), self.leases.clone());
        waits.retain(|w| !(w.client == lease.client && w.upgrades && w.wants[0].0 == lock));
        let mut given = leases.iter_mut().filter(|l| l.fence == lease.fence);
        given.next().unwrap().client = to;
        self.too_many(to, 1).or_else(|| {
            let cycle = self.circle(to, &waits, &leases)?;
            Some(Refusal::Deadlock { cycle })
        })
    }

    /// An operator's call: the same again is told what it came to before.
    pub(super) fn operator(
        &mut self,
        by: Option<Request>,
        act: impl FnOnce(&mut Self) -> Outcome,
    ) -> (bool, Outcome) {
        let same = |(asked, _): &&(Request, Outcome)| by.as_ref().is_some_and(|b| b.0 == asked.0);
        if let Some((asked, outcome)) = self.operators.iter().rfind(same) {
            return match Some(asked) == by.as_ref() {
                true => (true, outcome.clone()),
                false => refused(Refusal::KeyReused),
            };
        }
        let outcome = act(self);
        if let Some(by) = by {
            let mut remembered = outcome.clone();
            if let Outcome::Closed { released } = &mut remembered {
                released.truncate(limits::LISTED_MAX);
            }
            self.operators.push((by, remembered));
        }
        if self.operators.len() > limits::OPERATOR_REPLAYS_MAX {
            self.operators.remove(0);
        }
        (false, outcome)
    }

    pub(super) fn revoke(&mut self, lock: &LockName, reason: &Reason, until: Deadline) -> Outcome {
        let mut asked = std::vec![];
        for lease in self.leases.iter_mut().filter(|l| l.lock == *lock) {
            lease.asked = true;
            asked.push((lease.client, lease.fence));
        }
        let leases = u32::try_from(asked.len()).unwrap();
        if leases > 0 {
            self.revocations.retain(|(name, _, _)| name != lock);
            self.revocations.push((lock.clone(), until, reason.clone()));
        }
        for (session, fence) in asked {
            self.tell(What::RevokeRequested {
                lock: lock.clone(),
                session,
                fence: Fence::claimed(fence),
                reason: reason.clone(),
                deadline: until,
            });
        }
        Outcome::Revoking {
            deadline: until,
            leases,
        }
    }

    pub(super) fn break_lock(&mut self, lock: &LockName, reason: &Reason) -> Outcome {
        let fences: Vec<_> = self.of(lock).iter().map(|l| l.fence).collect();
        for fence in &fences {
            let reason = reason.clone();
            self.take(*fence, LeaseEnd::Broken { reason });
        }
        Outcome::Broken {
            leases: u32::try_from(fences.len()).unwrap(),
        }
    }

    pub(super) fn end_session(&mut self, id: SessionId, reason: &Reason) -> Outcome {
        if self.client(id).is_none() {
            let cause = self.cause(id);
            return Outcome::Refused(Refusal::SessionGone { session: id, cause });
        }
        let released = self.released(id);
        self.end(id, Gone::EndedByOperator, Some(reason), None);
        Outcome::Closed { released }
    }
}

fn shown(value: &str) -> Option<Arc<str>> {
    if value.is_empty() {
        return None;
    }
    Some(value.into())
}
