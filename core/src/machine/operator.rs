//! What an operator does to the leases and sessions of others, and why.

use alloc::vec::Vec;

use super::{Answer, Call, Machine, Turn};
use crate::deadlines::Due;
use crate::event::{LeaseEnd, What};
use crate::fence::Fence;
use crate::limits::{LISTED_MAX, REVOKE_MS_MAX};
use crate::lock::{Lease, Lock, Revocation, as_count};
use crate::name::{LockName, Reason, SessionId};
use crate::outcome::{Gone, Outcome, Refusal};
use crate::session::Found;
use crate::time::Deadline;

impl Machine {
    /// The holders of a lock are asked to give it up.
    pub(super) fn revoke(
        &mut self,
        lock: &LockName,
        reason: &Reason,
        deadline_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay_operator(call) {
            return answer;
        }
        let deadline = self.clock.plus_ms(deadline_ms.min(REVOKE_MS_MAX));
        let asked = self.fences(lock, |_| true);
        if !asked.is_empty() {
            self.ask_for(lock, &asked, reason, deadline, turn);
        }
        let leases = as_count(asked.len());
        self.operated(call, Outcome::Revoking { deadline, leases })
    }

    fn ask_for(
        &mut self,
        lock: &LockName,
        asked: &[Fence],
        reason: &Reason,
        deadline: Deadline,
        turn: &mut Turn,
    ) {
        let reason = reason.clone();
        let revocation = Revocation { deadline, reason };
        let before = self.locks.change(lock, |whole| {
            for lease in &mut whole.leases {
                lease.change(|terms| terms.asked = true);
            }
            whole.revocation.replace(revocation.clone())
        });
        if let Some(before) = before {
            let due = Due::Revoke(lock.clone());
            self.deadlines.remove(before.deadline, due);
        }
        self.deadlines.insert(deadline, Due::Revoke(lock.clone()));
        for fence in asked {
            let row = self.locks.get(lock).expect("the lock is held");
            let lease = row.lease(*fence).expect("the lease is there");
            let what = What::RevokeRequested {
                lock: lock.clone(),
                session: lease.session,
                fence: *fence,
                reason: revocation.reason.clone(),
                deadline,
            };
            self.tell(what, turn);
        }
    }

    /// The deadline of a revocation has come: what is left of what was asked for is ended.
    pub(super) fn enforce_revocation(&mut self, lock: &LockName, turn: &mut Turn) {
        self.revision += 1;
        let row = self.locks.get(lock);
        let revocation = row.and_then(Lock::revocation);
        let revocation = revocation.expect("only revocations fall due").clone();
        for fence in self.fences(lock, Lease::is_asked) {
            let reason = revocation.reason.clone();
            self.take_lease(lock, fence, LeaseEnd::Revoked { reason }, turn);
        }
        self.settle(turn);
    }

    /// All leases of a lock end now.
    pub(super) fn break_lock(
        &mut self,
        lock: &LockName,
        reason: &Reason,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay_operator(call) {
            return answer;
        }
        let fences = self.fences(lock, |_| true);
        for fence in &fences {
            let reason = reason.clone();
            self.take_lease(lock, *fence, LeaseEnd::Broken { reason }, turn);
        }
        let leases = as_count(fences.len());
        self.operated(call, Outcome::Broken { leases })
    }

    /// A session ends now.
    pub(super) fn end_session(
        &mut self,
        id: SessionId,
        reason: &Reason,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay_operator(call) {
            return answer;
        }
        if self.sessions.get(id).is_none() {
            return self.operated(call, Outcome::Refused(self.gone(id)));
        }
        let mut released = self.end(id, Gone::EndedByOperator, Some(reason), turn);
        let answer = Outcome::Closed {
            released: released.clone(),
        };
        // A list too long to keep is kept in part.
        released.truncate(LISTED_MAX);
        self.operated(call, Outcome::Closed { released });
        Answer::new(answer)
    }

    /// The fences of those leases of a lock that are meant, in the order of the grants.
    fn fences(&self, lock: &LockName, meant: impl Fn(&Lease) -> bool) -> Vec<Fence> {
        let leases = self.locks.get(lock).map_or(&[][..], Lock::leases);
        let meant = leases.iter().filter(|lease| meant(lease));
        meant.map(|lease| lease.fence).collect()
    }

    /// What an operator's call came to before.
    fn replay_operator(&self, call: Call) -> Option<Answer> {
        match self.sessions.operators.find(call.request?, call.digest) {
            Found::Settled(outcome) => Some(Answer::again(outcome.clone())),
            Found::Reused => Some(Answer::refusal(Refusal::KeyReused)),
            Found::Nothing | Found::Waits(_) => None,
        }
    }

    /// Remembers what an operator's call came to.
    fn operated(&mut self, call: Call, outcome: Outcome) -> Answer {
        if let Some(record) = call.record(&outcome) {
            self.sessions.operators.settle(record);
        }
        Answer::new(outcome)
    }
}
