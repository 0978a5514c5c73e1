//! How one lock is asked for in the naive machine.

use std::string::String;
use std::vec;

use super::calls::refused;
use super::*;

impl Naive {
    pub(super) fn acquire(
        &mut self,
        id: SessionId,
        ask: &Ask<'_>,
        request: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, &request) {
            return answer;
        }
        let outcome = self.acquire_anew(id, ask, request.clone());
        self.note(id, request, &outcome);
        (false, outcome)
    }

    fn acquire_anew(&mut self, id: SessionId, ask: &Ask<'_>, by: Option<Request>) -> Outcome {
        let lock = ask.lock;
        if let Some(refusal) = ask.makes_no_sense() {
            return Outcome::Refused(refusal);
        }
        let conflict = |mode| {
            let lock = lock.clone();
            Outcome::Refused(Refusal::UpgradeConflict { lock, mode })
        };
        let held = self.lease(id, lock).map(|l| l.mode);
        let waits = self.wait_of(id, lock).cloned();
        match (held, ask.mode) {
            (Some(mode), asked) if mode == asked => return Outcome::Granted(self.told(id, lock)),
            (Some(Mode::Shared), Mode::Exclusive) => return self.upgrade(id, ask, waits, by),
            (Some(Mode::Exclusive), Mode::Shared) => {
                let wait = self.new_wait(id, ask, false, None);
                return self.change_mode(&wait, lock, LeaseEnd::Downgraded);
            }
            (Some(mode), _) => return conflict(mode),
            (None, _) => {}
        }
        if let Some(wait) = waits {
            let mode = wait.wants.iter().find(|(name, _)| name == lock).unwrap().1;
            if wait.all.is_some() || mode != ask.mode {
                return conflict(mode);
            }
            return match ask.wait_ms {
                0 => Outcome::Refused(self.not_free(lock)),
                _ => self.join(wait.ticket, ask.wait_ms, by),
            };
        }
        let refusal = self
            .too_many(id, 1)
            .or_else(|| self.no_lease(lock, ask.mode, ask.wait_ms));
        if let Some(refusal) = refusal {
            return Outcome::Refused(refusal);
        }
        let wait = self.new_wait(id, ask, false, by);
        if self.open_for(lock, ask.mode, self.bounds.holders_per_lock) {
            return self.grant(
                &Wait {
                    attachment: 0,
                    ..wait
                },
                lock,
                ask.mode,
            );
        }
        self.enqueue(wait)
    }

    fn upgrade(
        &mut self,
        id: SessionId,
        ask: &Ask<'_>,
        own: Option<Wait>,
        by: Option<Request>,
    ) -> Outcome {
        let lock = ask.lock;
        if let Some(own) = own {
            return match ask.wait_ms {
                0 => Outcome::Refused(self.not_free(lock)),
                _ => self.join(own.ticket, ask.wait_ms, by),
            };
        }
        if let Some(first) = self.queue(lock).first().filter(|w| w.upgrades) {
            let step = |session| CycleStep {
                session,
                owner: self.client(session).unwrap().owner.clone(),
                holds: lock.clone(),
                wants: lock.clone(),
            };
            let cycle = vec![step(id), step(first.client)];
            return Outcome::Refused(Refusal::Deadlock { cycle });
        }
        let wait = self.new_wait(id, ask, true, by);
        if self.of(lock).len() == 1 && !self.delayed(lock) {
            let mut raised = self.leases.clone();
            let own = raised
                .iter_mut()
                .find(|l| l.client == id && l.lock == *lock);
            own.unwrap().mode = Mode::Exclusive;
            if let Some(cycle) = self.circle(id, &self.waits, &raised) {
                return Outcome::Refused(Refusal::Deadlock { cycle });
            }
            return self.change_mode(
                &Wait {
                    attachment: 0,
                    ..wait
                },
                lock,
                LeaseEnd::Upgraded,
            );
        }
        if ask.wait_ms == 0 {
            return Outcome::Refused(self.not_free(lock));
        }
        match self.too_many(id, 1) {
            Some(refusal) => Outcome::Refused(refusal),
            None => self.enqueue(wait),
        }
    }

    pub(super) fn acquire_alone(
        &mut self,
        new: &NewSession,
        ask: &Ask<'_>,
        request: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(by) = &request
            && let Some(id) = self.opened_by(by.0)
        {
            let Some(client) = self.client(id) else {
                let dead = self.dead.iter().find(|d| d.id == id).unwrap();
                let (asked, outcome) = dead.ended_by.clone().unwrap();
                return match asked == *by {
                    true => (true, outcome),
                    false => refused(Refusal::KeyReused),
                };
            };
            if client.opened_by != request {
                return refused(Refusal::KeyReused);
            }
            return match self.life_wait(client).map(|w| w.ticket) {
                Some(ticket) => (true, self.attach(ticket)),
                None => (true, Outcome::Granted(self.told(id, ask.lock))),
            };
        }
        let refusal = ask
            .makes_no_sense()
            .or_else(|| self.no_room_for(new))
            .or_else(|| self.no_lease(ask.lock, ask.mode, ask.wait_ms));
        if let Some(refusal) = refusal {
            return refused(refusal);
        }
        self.begin(new, Some(ask.lock.clone()), request);
        let wait = self.new_wait(new.session, ask, false, None);
        if self.open_for(ask.lock, ask.mode, self.bounds.holders_per_lock) {
            let wait = Wait {
                attachment: 0,
                ..wait
            };
            return (false, self.grant(&wait, ask.lock, ask.mode));
        }
        (false, self.enqueue(wait))
    }

    fn new_wait(
        &self,
        client: SessionId,
        ask: &Ask<'_>,
        upgrades: bool,
        by: Option<Request>,
    ) -> Wait {
        Wait {
            client,
            ticket: self.revision,
            attachment: self.revision,
            until: self.clock.plus_ms(ask.wait_ms.min(limits::WAIT_MS_MAX)),
            wants: vec![(ask.lock.clone(), ask.mode)],
            all: None,
            upgrades,
            hold_ms: ask.hold_ms,
            value: ask.value.clone(),
            asked_by: by.into_iter().collect(),
        }
    }

    /// Takes a place, unless the circle is closed by it.
    pub(super) fn enqueue(&mut self, wait: Wait) -> Outcome {
        let (client, ticket) = (wait.client, wait.ticket);
        self.waits.push(wait);
        if let Some(cycle) = self.circle(client, &self.waits, &self.leases) {
            self.waits.pop();
            return Outcome::Refused(Refusal::Deadlock { cycle });
        }
        self.attach(ticket)
    }

    pub(super) fn join(&mut self, ticket: u64, wait_ms: u64, by: Option<Request>) -> Outcome {
        let until = self.clock.plus_ms(wait_ms.min(limits::WAIT_MS_MAX));
        let wait = self.waits.iter_mut().find(|w| w.ticket == ticket).unwrap();
        if by.is_some() && wait.asked_by.len() >= limits::REPLAYS_PER_SESSION_MAX {
            return Outcome::Refused(Refusal::Limit {
                limit: Limit::WaitersPerLock,
            });
        }
        wait.asked_by.extend(by);
        wait.until = wait.until.max(until);
        self.attach(ticket)
    }

    /// The caller of this revision is now the one that speaks for the place.
    pub(super) fn attach(&mut self, ticket: u64) -> Outcome {
        let revision = self.revision;
        let wait = self.waits.iter_mut().find(|w| w.ticket == ticket).unwrap();
        wait.attachment = revision;
        let wait = wait.clone();
        let positions = wait
            .wants
            .iter()
            .map(|(name, _)| self.position(&wait, name));
        Outcome::Queued(Queued {
            session: wait.client,
            ticket,
            attachment: revision,
            position: positions.max().unwrap(),
            until: wait.until,
        })
    }

    pub(super) fn too_many(&self, id: SessionId, more: usize) -> Option<Refusal> {
        let limit = Limit::LeasesPerSession;
        let many = self.uses(id) + more > self.bounds.leases_per_session;
        many.then_some(Refusal::Limit { limit })
    }

    /// Why a lock is neither granted nor waited for.
    pub(super) fn no_lease(&self, lock: &LockName, mode: Mode, wait_ms: u64) -> Option<Refusal> {
        let in_use = self.in_use();
        if !in_use.contains(lock) {
            let limit = Limit::Locks;
            return (in_use.len() >= self.bounds.locks).then_some(Refusal::Limit { limit });
        }
        let waited = self.queue(lock).into_iter().flat_map(|w| &w.wants);
        let waited = waited
            .filter(|(name, _)| name == lock)
            .map(|(_, mode)| *mode);
        let mut modes = self.of(lock).into_iter().map(|l| l.mode).chain(waited);
        if let Mode::Permits { of: asked, .. } = mode
            && let Some(of) = modes.find_map(|mode| match mode {
                Mode::Permits { of, .. } => Some(of),
                _ => None,
            })
            && of != asked
        {
            let lock = lock.clone();
            return Some(Refusal::LimitMismatch { lock, of });
        }
        let limit = if self.open_for(lock, mode, self.bounds.holders_per_lock) {
            return None;
        } else if self.open_for(lock, mode, usize::MAX) {
            Limit::HoldersPerLock
        } else if wait_ms == 0 {
            return Some(self.not_free(lock));
        } else if self.queue(lock).len() >= self.bounds.waiters_per_lock {
            Limit::WaitersPerLock
        } else {
            return None;
        };
        Some(Refusal::Limit { limit })
    }

    pub(super) fn not_free(&self, name: &LockName) -> Refusal {
        let lock = name.clone();
        match self.delay(name) {
            Some(until) => Refusal::Delayed { lock, until },
            None => Refusal::Held {
                holders: self.holders(name),
                queue: u32::try_from(self.queue(name).len()).unwrap(),
                lock,
            },
        }
    }

    pub(super) fn abandon(&mut self, id: SessionId, lock: &LockName, attachment: u64) -> Outcome {
        let wait = self.wait_of(id, lock).cloned();
        let wait = wait.filter(|w| w.all.is_none() && w.attachment == attachment);
        if let Some(wait) = wait {
            let lives = self.client(id).and_then(|c| self.life_wait(c));
            let ends = lives.is_some_and(|w| w.ticket == wait.ticket);
            self.leave(wait.ticket, None);
            if ends {
                self.doomed.push((id, Gone::Closed, None));
            }
            return Outcome::Abandoned(Abandoned::Place);
        }
        let lease = self.lease(id, lock);
        let lease = lease.filter(|l| attachment > 0 && l.attachment == attachment);
        Outcome::Abandoned(lease.map_or(Abandoned::Nothing, |l| {
            Abandoned::Lease(Fence::claimed(l.fence))
        }))
    }
}

/// What a call for one lock asks.
pub(super) struct Ask<'a> {
    pub(super) lock: &'a LockName,
    pub(super) mode: Mode,
    pub(super) wait_ms: u64,
    pub(super) hold_ms: Option<u64>,
    pub(super) value: &'a String,
}

impl Ask<'_> {
    fn makes_no_sense(&self) -> Option<Refusal> {
        let limit = if !sensible(self.mode) {
            Limit::Permits
        } else if self.value.len() > limits::VALUE_BYTES_MAX {
            Limit::ValueBytes
        } else {
            return None;
        };
        Some(Refusal::Limit { limit })
    }
}

pub(super) fn sensible(mode: Mode) -> bool {
    match mode {
        Mode::Permits { count, of } => (1..=of).contains(&count) && of <= limits::PERMITS_MAX,
        _ => true,
    }
}
