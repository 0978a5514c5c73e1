//! How sessions begin, go on and end.

use alloc::vec::Vec;

use super::{Answer, Call, Ending, Machine, Turn};
use crate::command::NewSession;
use crate::deadlines::Due;
use crate::event::{LeaseEnd, What};
use crate::fence::Fence;
use crate::limits::LISTED_MAX;
use crate::name::{LockName, Reason, SessionId};
use crate::outcome::{Gone, Limit, Outcome, Refusal, Renewal};
use crate::session::{Found, Life, Opening, Session};
use crate::time::Deadline;

impl Machine {
    pub(super) fn open(&mut self, new: &NewSession, call: Call, turn: &mut Turn) -> Answer {
        if let Some(id) = call.request.and_then(|r| self.sessions.opened_by(r)) {
            let same = |s: &&Session| s.opening.is_some_and(|o| o.call == call.digest);
            return match self.sessions.get(id).filter(same) {
                Some(session) => Answer::again(Outcome::Opened {
                    session: id,
                    ttl: session.ttl,
                    expires_at: session.expires_at,
                }),
                None => Answer::refusal(Refusal::KeyReused),
            };
        }
        if let Some(refusal) = self.refuses_session(new) {
            return Answer::refusal(refusal);
        }
        let expires_at = self.clock.plus_ms(new.ttl.ms());
        self.begin(new, expires_at, Life::Open, call, turn);
        self.deadlines.insert(expires_at, Due::Session(new.session));
        Answer::new(Outcome::Opened {
            session: new.session,
            ttl: new.ttl,
            expires_at,
        })
    }

    /// Why no such session can begin. An id that was drawn before names another session, dead or
    /// alive, and is not given away again.
    pub(super) fn refuses_session(&self, new: &NewSession) -> Option<Refusal> {
        if self.sessions.knows(new.session) {
            return Some(Refusal::KeyReused);
        }
        let limit = Limit::Sessions;
        (self.sessions.rows.len() >= self.bounds.sessions).then_some(Refusal::Limit { limit })
    }

    /// Puts a session in the table and tells it; its deadline is the caller's to set.
    pub(super) fn begin(
        &mut self,
        new: &NewSession,
        expires_at: Deadline,
        life: Life,
        call: Call,
        turn: &mut Turn,
    ) {
        let opening = call.request.map(|request| Opening {
            request,
            call: call.digest,
        });
        let session = Session::new(new, expires_at, life, opening);
        self.sessions.insert(new.session, session);
        let what = What::SessionOpened {
            session: new.session,
            owner: new.owner.clone(),
        };
        self.tell(what, turn);
    }

    pub(super) fn renew(&mut self, sessions: &[SessionId]) -> Answer {
        let rows = sessions.iter().map(|id| (*id, self.renew_one(*id)));
        Answer::new(Outcome::Renewed(rows.collect()))
    }

    fn renew_one(&mut self, id: SessionId) -> Renewal {
        let clock = self.clock;
        let Some(session) = self.sessions.get_mut(id) else {
            return Renewal::Gone(self.sessions.cause(id));
        };
        match session.life {
            Life::Waits(_) => {}
            Life::Open | Life::Holds(_) => {
                let before = session.expires_at;
                session.expires_at = clock.plus_ms(session.ttl.ms());
                let after = session.expires_at;
                if before != after {
                    self.deadlines.remove(before, Due::Session(id));
                    self.deadlines.insert(after, Due::Session(id));
                }
                return Renewal::Until(after);
            }
        }
        Renewal::Until(session.expires_at)
    }

    pub(super) fn close(&mut self, id: SessionId, call: Call, turn: &mut Turn) -> Answer {
        if let Some(answer) = self.replay(id, None, call) {
            return answer;
        }
        let released = self.end(id, Gone::Closed, None, turn);
        // A list too long to keep for somebody who may never ask is not kept.
        let short = released.len() <= LISTED_MAX;
        let outcome = Outcome::Closed { released };
        if let Some(record) = call.record(&outcome).filter(|_| short) {
            self.sessions.remember_end(id, record);
        }
        Answer::new(outcome)
    }

    /// What a call came to before, or that its session is gone; nothing if it is to be done now.
    /// `lock` is the one that the call may wait for.
    pub(super) fn replay(
        &mut self,
        id: SessionId,
        lock: Option<&LockName>,
        call: Call,
    ) -> Option<Answer> {
        let Some(session) = self.sessions.get(id) else {
            let ended = self.sessions.ended.get(id);
            let record = ended.and_then(|ended| ended.record.as_ref());
            let same = record.filter(|r| Some(r.request) == call.request && r.call == call.digest);
            return Some(match same {
                Some(record) => Answer::again(record.outcome.clone()),
                None => Answer::refusal(self.gone(id)),
            });
        };
        match session.find(call.request?, call.digest) {
            Found::Nothing => None,
            Found::Reused => Some(Answer::refusal(Refusal::KeyReused)),
            Found::Settled(outcome) => {
                let mut outcome = outcome.clone();
                // The remaining time is always today's.
                match &mut outcome {
                    Outcome::Granted(grant) => grant.expires_at = session.expires_at,
                    Outcome::GrantedAll(all) => all.expires_at = session.expires_at,
                    _ => {}
                }
                Some(Answer::again(outcome))
            }
            Found::Waits(ticket) => Some(self.attach_again(lock, ticket)),
        }
    }

    pub(super) fn gone(&self, session: SessionId) -> Refusal {
        Refusal::SessionGone {
            session,
            cause: self.sessions.cause(session),
        }
    }

    /// Remembers what a call came to, in a session that lives on.
    pub(super) fn remember(&mut self, id: SessionId, call: Call, outcome: &Outcome) {
        let Some(record) = call.record(outcome) else {
            return;
        };
        let session = self.sessions.get_mut(id).expect("it is alive");
        session.replay_mut().settle(record);
    }

    /// A session's TTL has passed.
    pub(super) fn expire(&mut self, id: SessionId, turn: &mut Turn) {
        self.revision += 1;
        self.end(id, Gone::Expired, None, turn);
        self.settle(turn);
    }

    /// Handles a session's overdue end: of its TTL, or of the wait that it lives for.
    pub(super) fn expire_if_due(&mut self, id: Option<SessionId>, turn: &mut Turn) {
        let Some(id) = id else { return };
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        if session.expires_at > self.clock {
            return;
        }
        match session.life.clone() {
            Life::Waits(lock) => self.time_out_if_due(Some(id), &lock, turn),
            Life::Open | Life::Holds(_) => self.expire(id, turn),
        }
    }

    /// Does what this revision has brought about on its way: sessions end that lived for what is
    /// over, before they are granted anything else, and locks that are free for others are handed
    /// on, in the order in which they came to be so.
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        loop {
            if let Some(ending) = turn.ending.pop_front() {
                self.end_owed(ending, turn);
            } else if let Some(lock) = turn.freed.pop_front() {
                self.hand_on(&lock, turn);
            } else {
                return;
            }
        }
    }

    fn end_owed(&mut self, ending: Ending, turn: &mut Turn) {
        let Ending {
            session,
            cause,
            record,
        } = ending;
        if self.sessions.get(session).is_none() {
            return;
        }
        self.end(session, cause, None, turn);
        if let Some(record) = record {
            self.sessions.remember_end(session, record);
        }
    }

    /// Ends a session that is alive: its leases end, its places are given up.
    pub(super) fn end(
        &mut self,
        id: SessionId,
        cause: Gone,
        reason: Option<&Reason>,
        turn: &mut Turn,
    ) -> Vec<(LockName, Fence)> {
        let what = What::SessionEnded {
            session: id,
            cause,
            reason: reason.cloned(),
        };
        self.tell(what, turn);
        let held: Vec<_> = self.locks.leases_of(id).cloned().collect();
        let mut released = Vec::with_capacity(held.len());
        for lock in held {
            let lease = self.locks.lease_of(id, &lock).expect("it holds it");
            let fence = lease.fence;
            let cause = match reason {
                Some(reason) => LeaseEnd::EndedByOperator {
                    reason: reason.clone(),
                },
                None => LeaseEnd::Session(cause),
            };
            self.end_lease(&lock, fence, cause, turn);
            released.push((lock, fence));
        }
        let places = self.locks.places_of(id);
        let queued: Vec<_> = places
            .map(|(lock, ticket)| (lock.clone(), ticket))
            .collect();
        for (lock, ticket) in queued {
            // A wait for many goes with the first of its places.
            if let Some((_, waiter)) = self.locks.waiter(&lock, ticket) {
                let waiter = waiter.clone();
                let refusal = Refusal::SessionGone { session: id, cause };
                self.end_wait(&lock, &waiter, Some(refusal), turn);
            }
        }
        let session = self.sessions.end(id, cause);
        match session.life {
            Life::Waits(_) => {}
            Life::Open | Life::Holds(_) => {
                self.deadlines.remove(session.expires_at, Due::Session(id));
            }
        }
        self.lose_members(id, cause, session.expires_at, turn);
        released
    }
}
