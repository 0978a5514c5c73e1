//! The naive machine's answers to commands.

use std::vec;

use super::*;

impl Naive {
    pub(super) fn command(&mut self, op: &Op, request: Option<Request>) -> (bool, Outcome) {
        match op {
            Op::Open(new) => self.open(new, request),
            Op::Renew { sessions } => {
                let rows = sessions.iter().map(|id| (*id, self.renew(*id)));
                (false, Outcome::Renewed(rows.collect()))
            }
            Op::Close { session } => self.close(*session, request),
            Op::Acquire {
                by, lock, wait_ms, ..
            } => match by {
                Acquirer::Session(id) => self.acquire(*id, lock, *wait_ms, request),
                Acquirer::OneLease(new) => self.acquire_alone(new, lock, *wait_ms, request),
            },
            Op::Abandon {
                session,
                lock,
                attachment,
            } => (false, self.abandon(*session, lock, *attachment)),
            Op::Release {
                session,
                lock,
                fence,
            } => self.release(*session, lock, fence.number(), request),
            other => unreachable!("the logs have no {other:?}"),
        }
    }

    pub(super) fn open(&mut self, new: &NewSession, request: Option<Request>) -> (bool, Outcome) {
        if let Some(id) = request.as_ref().and_then(|r| self.opened_by(r.0)) {
            return match self.client(id) {
                Some(client) if client.opened_by == request => (
                    true,
                    Outcome::Opened {
                        session: id,
                        ttl: client.ttl,
                        expires_at: client.expires_at,
                    },
                ),
                _ => refused(Refusal::KeyReused),
            };
        }
        if let Some(refusal) = self.no_room_for(new) {
            return refused(refusal);
        }
        self.begin(new, None, request);
        let outcome = Outcome::Opened {
            session: new.session,
            ttl: new.ttl,
            expires_at: self.clock.plus_ms(new.ttl.ms()),
        };
        (false, outcome)
    }

    pub(super) fn no_room_for(&self, new: &NewSession) -> Option<Refusal> {
        let used = self.client(new.session).is_some();
        if used || self.dead.iter().any(|d| d.id == new.session) {
            return Some(Refusal::KeyReused);
        }
        (self.clients.len() >= self.bounds.sessions).then_some(Refusal::Limit {
            limit: Limit::Sessions,
        })
    }

    pub(super) fn begin(
        &mut self,
        new: &NewSession,
        lives_for: Option<LockName>,
        by: Option<Request>,
    ) {
        self.clients.push(Client {
            id: new.session,
            owner: new.owner.clone(),
            ttl: new.ttl,
            expires_at: self.clock.plus_ms(new.ttl.ms()),
            lives_for,
            opened_by: by,
            outcomes: vec![],
        });
        self.tell(What::SessionOpened {
            session: new.session,
            owner: new.owner.clone(),
        });
    }

    pub(super) fn renew(&mut self, id: SessionId) -> Renewal {
        let clock = self.clock;
        if let Some(until) = self
            .client(id)
            .and_then(|c| self.life_place(c))
            .map(|p| p.until)
        {
            return Renewal::Until(until);
        }
        match self.client_mut(id) {
            Some(client) => {
                client.expires_at = clock.plus_ms(client.ttl.ms());
                Renewal::Until(client.expires_at)
            }
            None => Renewal::Gone(self.cause(id)),
        }
    }

    pub(super) fn close(&mut self, id: SessionId, request: Option<Request>) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, None, &request) {
            return answer;
        }
        let mut released: Vec<_> = self.locks.iter().filter(|l| l.holder == id).collect();
        released.sort_by_key(|l| l.name.clone());
        let released: Vec<_> = released
            .into_iter()
            .map(|l| (l.name.clone(), Fence::claimed(l.fence)))
            .collect();
        let outcome = Outcome::Closed { released };
        self.end(id, Gone::Closed, request.map(|r| (r, outcome.clone())));
        (false, outcome)
    }

    /// What was answered to this request before, or that its session is gone.
    pub(super) fn before(
        &mut self,
        id: SessionId,
        lock: Option<&LockName>,
        request: &Option<Request>,
    ) -> Option<(bool, Outcome)> {
        let Some(client) = self.client(id) else {
            let dead = self.dead.iter().find(|d| d.id == id);
            return Some(match dead.and_then(|d| d.ended_by.clone()) {
                Some((by, outcome)) if Some(&by) == request.as_ref() => (true, outcome),
                _ => refused(Refusal::SessionGone {
                    session: id,
                    cause: self.cause(id),
                }),
            });
        };
        let request = request.as_ref()?;
        let opening = client.opened_by.as_ref().filter(|by| by.0 == request.0);
        let waiting = self.locks.iter().flat_map(|l| &l.queue);
        let of_client = waiting.filter(|p| p.client == id);
        let mut asked = of_client.flat_map(|p| &p.asked_by);
        let waiting = asked.find(|asked| asked.0 == request.0);
        let done = client
            .outcomes
            .iter()
            .rfind(|((of, _), _)| *of == request.0);
        if opening.is_some_and(|by| by != request) {
            return Some(refused(Refusal::KeyReused));
        }
        if let Some(asked) = waiting {
            return Some(if asked == request {
                (true, self.attach(id, lock.unwrap()))
            } else {
                refused(Refusal::KeyReused)
            });
        }
        let (asked, outcome) = done?;
        if asked != request {
            return Some(refused(Refusal::KeyReused));
        }
        let mut outcome = outcome.clone();
        if let Outcome::Granted(grant) = &mut outcome {
            grant.expires_at = self.ends_at(client);
        }
        Some((true, outcome))
    }

    pub(super) fn remember(&mut self, id: SessionId, request: Request, outcome: Outcome) {
        let outcomes = &mut self.client_mut(id).unwrap().outcomes;
        outcomes.push((request, outcome));
        if outcomes.len() > limits::REPLAYS_PER_SESSION_MAX {
            outcomes.remove(0);
        }
    }

    pub(super) fn acquire(
        &mut self,
        id: SessionId,
        name: &LockName,
        wait_ms: u64,
        request: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, Some(name), &request) {
            return answer;
        }
        let until = self.clock.plus_ms(wait_ms.min(limits::WAIT_MS_MAX));
        let holds = self.held(name).is_some_and(|l| l.holder == id);
        let waits = self.place(id, name).is_some();
        let outcome = if holds {
            self.grant_again(id, name)
        } else if waits && wait_ms == 0 {
            Outcome::Refused(self.is_held(name))
        } else if waits {
            return (false, self.join(id, name, until, request));
        } else if self.uses(id) >= self.bounds.leases_per_session {
            return refused(Refusal::Limit {
                limit: Limit::LeasesPerSession,
            });
        } else if let Some(refusal) = self.no_lease(name, wait_ms) {
            if matches!(refusal, Refusal::Limit { .. }) {
                return refused(refusal);
            }
            Outcome::Refused(refusal)
        } else if self.held(name).is_none() {
            self.grant(id, name, 0)
        } else {
            return (false, self.enqueue(id, name, until, request));
        };
        if let Some(request) = request {
            self.remember(id, request, outcome.clone());
        }
        (false, outcome)
    }

    pub(super) fn acquire_alone(
        &mut self,
        new: &NewSession,
        name: &LockName,
        wait_ms: u64,
        request: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(by) = &request
            && let Some(id) = self.opened_by(by.0)
        {
            if let Some(client) = self.client(id) {
                if client.opened_by != request {
                    return refused(Refusal::KeyReused);
                }
                return match self.place(id, name) {
                    Some(_) => (true, self.attach(id, name)),
                    None => (true, self.grant_again(id, name)),
                };
            }
            let dead = self.dead.iter().find(|d| d.id == id).unwrap();
            let (asked, outcome) = dead.ended_by.clone().unwrap();
            return match asked == *by {
                true => (true, outcome),
                false => refused(Refusal::KeyReused),
            };
        }
        if let Some(refusal) = self.no_room_for(new) {
            return refused(refusal);
        }
        if let Some(refusal) = self.no_lease(name, wait_ms) {
            return refused(refusal);
        }
        self.begin(new, Some(name.clone()), request);
        if self.held(name).is_none() {
            return (false, self.grant(new.session, name, 0));
        }
        let until = self.clock.plus_ms(wait_ms.min(limits::WAIT_MS_MAX));
        (false, self.enqueue(new.session, name, until, None))
    }

    pub(super) fn no_lease(&self, name: &LockName, wait_ms: u64) -> Option<Refusal> {
        let limit = match self.held(name) {
            None if self.locks.len() >= self.bounds.locks => Limit::Locks,
            None => return None,
            Some(_) if wait_ms == 0 => return Some(self.is_held(name)),
            Some(lock) if lock.queue.len() >= self.bounds.waiters_per_lock => Limit::WaitersPerLock,
            Some(_) => return None,
        };
        Some(Refusal::Limit { limit })
    }

    pub(super) fn is_held(&self, name: &LockName) -> Refusal {
        Refusal::Held {
            lock: name.clone(),
            holders: self.holders(name),
            queue: u32::try_from(self.held(name).unwrap().queue.len()).unwrap(),
        }
    }

    pub(super) fn grant_again(&self, id: SessionId, name: &LockName) -> Outcome {
        let lock = self.held(name).unwrap();
        assert_eq!(lock.holder, id);
        Outcome::Granted(Grant {
            session: id,
            mode: Mode::Exclusive,
            fence: Fence::claimed(lock.fence),
            expires_at: self.ends_at(self.client(id).unwrap()),
            hold_until: None,
        })
    }

    pub(super) fn grant(&mut self, id: SessionId, name: &LockName, attachment: u64) -> Outcome {
        self.fence += 1;
        let (fence, since) = (self.fence, self.clock);
        match self.held_mut(name) {
            Some(lock) => {
                lock.holder = id;
                lock.fence = fence;
                lock.since = since;
                lock.attachment = attachment;
            }
            None => self.locks.push(Held {
                name: name.clone(),
                holder: id,
                fence,
                since,
                attachment,
                queue: vec![],
            }),
        }
        let client = self.client_mut(id).unwrap();
        if client.lives_for.as_ref() == Some(name) {
            client.expires_at = since.plus_ms(client.ttl.ms());
        }
        let owner = client.owner.clone();
        let outcome = self.grant_again(id, name);
        let Outcome::Granted(grant) = outcome.clone() else {
            unreachable!()
        };
        self.tell(What::Granted {
            lock: name.clone(),
            grant,
            owner,
        });
        outcome
    }

    pub(super) fn enqueue(
        &mut self,
        id: SessionId,
        name: &LockName,
        until: Deadline,
        request: Option<Request>,
    ) -> Outcome {
        let ticket = self.revision;
        self.held_mut(name).unwrap().queue.push(Place {
            client: id,
            ticket,
            attachment: ticket,
            until,
            asked_by: request.into_iter().collect(),
        });
        self.attach(id, name)
    }

    pub(super) fn join(
        &mut self,
        id: SessionId,
        name: &LockName,
        until: Deadline,
        request: Option<Request>,
    ) -> Outcome {
        let queue = &mut self.held_mut(name).unwrap().queue;
        let place = queue.iter_mut().find(|p| p.client == id).unwrap();
        if request.is_some() && place.asked_by.len() >= limits::REPLAYS_PER_SESSION_MAX {
            return Outcome::Refused(Refusal::Limit {
                limit: Limit::WaitersPerLock,
            });
        }
        place.asked_by.extend(request);
        place.until = place.until.max(until);
        self.attach(id, name)
    }

    /// The caller of this revision is now the one that speaks for the place.
    pub(super) fn attach(&mut self, id: SessionId, name: &LockName) -> Outcome {
        let revision = self.revision;
        let queue = &mut self.held_mut(name).unwrap().queue;
        let position = queue.iter().position(|p| p.client == id).unwrap();
        queue[position].attachment = revision;
        Outcome::Queued(Queued {
            session: id,
            ticket: queue[position].ticket,
            attachment: revision,
            position: u32::try_from(position).unwrap(),
            until: queue[position].until,
        })
    }

    pub(super) fn abandon(&mut self, id: SessionId, name: &LockName, attachment: u64) -> Outcome {
        let place = self.place(id, name).cloned();
        if let Some(place) = place.filter(|p| p.attachment == attachment) {
            self.leave(name, place.ticket);
            self.tell(What::WaitEnded {
                lock: name.clone(),
                session: id,
                ticket: place.ticket,
                refusal: None,
            });
            if self.client(id).unwrap().lives_for.as_ref() == Some(name) {
                self.doomed.push((id, Gone::Closed, None));
            }
            return Outcome::Abandoned(Abandoned::Place);
        }
        let lease = self.held(name);
        let lease =
            lease.filter(|l| attachment > 0 && (l.holder, l.attachment) == (id, attachment));
        Outcome::Abandoned(lease.map_or(Abandoned::Nothing, |l| {
            Abandoned::Lease(Fence::claimed(l.fence))
        }))
    }

    pub(super) fn release(
        &mut self,
        id: SessionId,
        name: &LockName,
        fence: u64,
        request: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, Some(name), &request) {
            return answer;
        }
        let lock = self.held(name);
        if lock.is_none_or(|l| l.holder != id || l.fence != fence) {
            let outcome = Outcome::Refused(Refusal::FenceStale {
                highest_fence: lock.map(|l| Fence::claimed(l.fence)),
            });
            if let Some(request) = request {
                self.remember(id, request, outcome.clone());
            }
            return (false, outcome);
        }
        self.lose(name, LeaseEnd::Released);
        let by = request.map(|request| (request, Outcome::Released));
        if self.client(id).unwrap().lives_for.as_ref() == Some(name) {
            self.doomed.push((id, Gone::Closed, by));
        } else if let Some((request, outcome)) = by {
            self.remember(id, request, outcome);
        }
        (false, Outcome::Released)
    }
}

fn refused(refusal: Refusal) -> (bool, Outcome) {
    (false, Outcome::Refused(refusal))
}
