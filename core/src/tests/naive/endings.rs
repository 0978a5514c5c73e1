//! How things end in the naive machine.

use std::vec;

use super::*;

impl Naive {
    /// The holder's lease ends, and the lock goes to the first who is still there.
    pub(super) fn lose(&mut self, name: &LockName, cause: LeaseEnd) {
        let lock = self.held(name).unwrap().clone();
        self.tell(What::Ended {
            lock: name.clone(),
            session: lock.holder,
            owner: self.client(lock.holder).unwrap().owner.clone(),
            mode: Mode::Exclusive,
            fence: Fence::claimed(lock.fence),
            cause,
        });
        for place in lock.queue {
            let client = self.client(place.client).unwrap().clone();
            if place.until <= self.clock {
                self.time_out(place.ticket, false);
            } else if self.ends_at(&client) <= self.clock {
                let cause = Gone::Expired;
                self.leave(name, place.ticket);
                self.tell(What::WaitEnded {
                    lock: name.clone(),
                    session: client.id,
                    ticket: place.ticket,
                    refusal: Some(Refusal::SessionGone {
                        session: client.id,
                        cause,
                    }),
                });
                self.doomed.push((client.id, cause, None));
            } else {
                let place = self.leave(name, place.ticket);
                let outcome = self.grant(place.client, name, place.attachment);
                for request in in_order(place.asked_by) {
                    self.remember(place.client, request, outcome.clone());
                }
                return;
            }
        }
        self.locks.retain(|l| l.name != *name);
    }

    pub(super) fn leave(&mut self, name: &LockName, ticket: u64) -> Place {
        let queue = &mut self.held_mut(name).unwrap().queue;
        let at = queue.iter().position(|p| p.ticket == ticket).unwrap();
        queue.remove(at)
    }

    pub(super) fn time_out(&mut self, ticket: u64, held: bool) {
        let of = |l: &&Held| l.queue.iter().any(|p| p.ticket == ticket);
        let name = self.locks.iter().find(of).unwrap().name.clone();
        let queue = &self.held(&name).unwrap().queue;
        let position = queue.iter().position(|p| p.ticket == ticket).unwrap();
        let refusal = Refusal::WaitTimeout {
            lock: name.clone(),
            holders: if held { self.holders(&name) } else { vec![] },
            position: u32::try_from(position).unwrap(),
        };
        let place = self.leave(&name, ticket);
        self.tell(What::WaitEnded {
            lock: name.clone(),
            session: place.client,
            ticket,
            refusal: Some(refusal.clone()),
        });
        let outcome = Outcome::Refused(refusal);
        for request in in_order(place.asked_by) {
            self.remember(place.client, request, outcome.clone());
        }
        let client = self.client(place.client).unwrap();
        if client.lives_for.as_ref() == Some(&name) {
            let by = client.opened_by.clone().map(|request| (request, outcome));
            self.doomed.push((place.client, Gone::Closed, by));
        }
    }

    pub(super) fn end(&mut self, id: SessionId, cause: Gone, by: Option<(Request, Outcome)>) {
        let long = by.as_ref().is_some_and(|(_, outcome)| match outcome {
            Outcome::Closed { released } => released.len() > limits::LISTED_MAX,
            _ => false,
        });
        self.dead.push(Dead {
            id,
            cause,
            ended_by: by.filter(|_| !long),
        });
        if self.dead.len() > limits::ENDED_SESSIONS_MAX {
            self.dead.remove(0);
        }
        self.tell(What::SessionEnded {
            session: id,
            cause,
            reason: None,
        });
        let mut names: Vec<_> = self.locks.iter().map(|l| l.name.clone()).collect();
        names.sort();
        for name in &names {
            if self.held(name).is_some_and(|l| l.holder == id) {
                self.lose(name, LeaseEnd::Session(cause));
            }
        }
        for name in &names {
            let Some(ticket) = self.place(id, name).map(|p| p.ticket) else {
                continue;
            };
            self.leave(name, ticket);
            self.tell(What::WaitEnded {
                lock: name.clone(),
                session: id,
                ticket,
                refusal: Some(Refusal::SessionGone { session: id, cause }),
            });
        }
        self.clients.retain(|c| c.id != id);
    }

    pub(super) fn bury(&mut self) {
        while !self.doomed.is_empty() {
            let (id, cause, by) = self.doomed.remove(0);
            if self.client(id).is_some() {
                self.end(id, cause, by);
            }
        }
    }
}

/// Calls that waited in one place are remembered in the order of their ids.
fn in_order(mut requests: Vec<Request>) -> Vec<Request> {
    requests.sort_by_key(|r| r.0);
    requests
}
