//! The naive machine's answers to commands.

use std::vec;

use super::asks::Ask;
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
                by,
                lock,
                mode,
                wait_ms,
                max_hold_ms,
                value,
            } => {
                let ask = Ask {
                    lock,
                    mode: *mode,
                    wait_ms: *wait_ms,
                    hold_ms: max_hold_ms.map(|ms| ms.clamp(1, limits::HOLD_MS_MAX)),
                    value,
                };
                match by {
                    Acquirer::Session(id) => self.acquire(*id, &ask, request),
                    Acquirer::OneLease(new) => self.acquire_alone(new, &ask, request),
                }
            }
            Op::AcquireAll {
                session,
                wants,
                wait_ms,
                max_hold_ms,
            } => self.acquire_all(*session, wants, *wait_ms, *max_hold_ms, request),
            Op::Abandon {
                session,
                lock,
                attachment,
            } => (false, self.abandon(*session, lock, *attachment)),
            Op::AbandonAll {
                session,
                wants,
                attachment,
            } => (false, self.abandon_all(*session, wants, *attachment)),
            Op::Release {
                session,
                lock,
                fence,
            } => self.release(*session, lock, fence.number(), request),
            Op::SetValue {
                session,
                lock,
                fence,
                value,
            } => self.set_value(*session, lock, fence.number(), value, request),
            Op::Transfer {
                session,
                lock,
                fence,
                to,
            } => self.transfer(*session, lock, fence.number(), *to, request),
            Op::Revoke { .. } | Op::Break { .. } | Op::EndSession { .. } => {
                self.operator(request, |naive| naive.operate(op))
            }
            Op::Ring(_) => unreachable!("rings have a naive observer of their own"),
        }
    }

    fn operate(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Revoke {
                lock,
                reason,
                deadline_ms,
            } => {
                let deadline_ms = (*deadline_ms).min(limits::REVOKE_MS_MAX);
                self.revoke(lock, reason, self.clock.plus_ms(deadline_ms))
            }
            Op::Break { lock, reason } => self.break_lock(lock, reason),
            Op::EndSession { session, reason } => self.end_session(*session, reason),
            other => unreachable!("no operator asks {other:?}"),
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
            delay_ms: new.lock_delay_ms,
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
            .and_then(|c| self.life_wait(c))
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
        if let Some(answer) = self.before(id, &request) {
            return answer;
        }
        let released = self.released(id);
        let outcome = Outcome::Closed { released };
        self.end(
            id,
            Gone::Closed,
            None,
            request.map(|r| (r, outcome.clone())),
        );
        (false, outcome)
    }

    /// What was answered to this request before, or that its session is gone.
    pub(super) fn before(
        &mut self,
        id: SessionId,
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
        let of_client = self.waits.iter().filter(|w| w.client == id);
        let mut asked = of_client.flat_map(|w| w.asked_by.iter().map(|by| (by, w.ticket)));
        let waiting = asked.find(|(by, _)| by.0 == request.0);
        let done = client
            .outcomes
            .iter()
            .rfind(|((of, _), _)| *of == request.0);
        if opening.is_some_and(|by| by != request) {
            return Some(refused(Refusal::KeyReused));
        }
        if let Some((asked, ticket)) = waiting {
            return Some(if asked == request {
                (true, self.attach(ticket))
            } else {
                refused(Refusal::KeyReused)
            });
        }
        let (asked, outcome) = done?;
        if asked != request {
            return Some(refused(Refusal::KeyReused));
        }
        let mut outcome = outcome.clone();
        match &mut outcome {
            Outcome::Granted(grant) => grant.expires_at = self.ends_at(client),
            Outcome::GrantedAll(all) => all.expires_at = self.ends_at(client),
            _ => {}
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

    /// Remembers what a call came to, if that is the end of it.
    pub(super) fn note(&mut self, id: SessionId, request: Option<Request>, outcome: &Outcome) {
        match (outcome, request) {
            (Outcome::Queued(_) | Outcome::Refused(Refusal::Limit { .. }), _) => {}
            (_, Some(request)) => self.remember(id, request, outcome.clone()),
            (_, None) => {}
        }
    }
}

pub(super) fn refused(refusal: Refusal) -> (bool, Outcome) {
    (false, Outcome::Refused(refusal))
}
