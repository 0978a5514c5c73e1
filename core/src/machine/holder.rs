//! What a holder does with its lease: gives it back, shows something with it, gives it away.

use super::grants::{Heir, value_of};
use super::{Answer, Call, Machine, Turn};
use crate::event::{LeaseEnd, What};
use crate::fence::Fence;
use crate::limits::VALUE_BYTES_MAX;
use crate::lock::Lock;
use crate::name::{LockName, SessionId};
use crate::outcome::{Gone, Limit, Outcome, Refusal};
use crate::planted::{self, Plant};

impl Machine {
    /// A holder gives up its lease.
    pub(super) fn release(
        &mut self,
        id: SessionId,
        lock: &LockName,
        fence: Fence,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay(id, Some(lock), call) {
            return answer;
        }
        let (holder, fence) = self.believed(id, lock, fence);
        if self.lease_with(holder, lock, fence).is_none() {
            return self.fence_stale(id, lock, call);
        }
        let session = self.sessions.get(holder).expect("it is alive");
        let over = session.holds_for(lock);
        self.end_lease(lock, fence, LeaseEnd::Released, turn);
        self.drop_upgrade(holder, lock, turn);
        self.end_or_remember(over, holder, call, &Outcome::Released, turn);
        Answer::new(Outcome::Released)
    }

    /// A holder changes what it shows with its lease.
    pub(super) fn set_value(
        &mut self,
        id: SessionId,
        lock: &LockName,
        fence: Fence,
        value: &str,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay(id, Some(lock), call) {
            return answer;
        }
        if value.len() > VALUE_BYTES_MAX {
            let limit = Limit::ValueBytes;
            return Answer::refusal(Refusal::Limit { limit });
        }
        if self.lease_with(id, lock, fence).is_none() {
            return self.fence_stale(id, lock, call);
        }
        let value = value_of(value);
        let shown = value.clone();
        self.locks
            .change_lease(lock, fence, |terms| terms.value = shown);
        let what = What::ValueSet {
            lock: lock.clone(),
            session: id,
            owner: self.owner(id),
            fence,
            value,
        };
        self.tell(what, turn);
        self.remember(id, call, &Outcome::ValueSet);
        Answer::new(Outcome::ValueSet)
    }

    /// A holder gives its lease to another session.
    pub(super) fn transfer(
        &mut self,
        id: SessionId,
        lock: &LockName,
        fence: Fence,
        to: SessionId,
        call: Call,
        turn: &mut Turn,
    ) -> Answer {
        if let Some(answer) = self.replay(id, Some(lock), call) {
            return answer;
        }
        if self.lease_with(id, lock, fence).is_none() {
            return self.fence_stale(id, lock, call);
        }
        if let Some(refusal) = self.refuses_transfer(id, lock, to) {
            let outcome = Outcome::Refused(refusal);
            self.remember_unless_open(id, call, &outcome);
            return Answer::new(outcome);
        }
        let lease = self.lease_with(id, lock, fence).expect("it was just there");
        let heir = Heir {
            session: to,
            attachment: 0,
            mode: lease.mode,
            hold_until: lease.hold_until(),
            value: lease.value().cloned(),
        };
        let session = self.sessions.get(id).expect("it is alive");
        let over = session.holds_for(lock);
        let cause = LeaseEnd::Transferred { to };
        let grant = self.swap(lock, fence, heir, cause, turn);
        self.drop_upgrade(id, lock, turn);
        let outcome = Outcome::Transferred { fence: grant.fence };
        self.end_or_remember(over, id, call, &outcome, turn);
        Answer::new(outcome)
    }

    /// Why the other session cannot get the lease.
    fn refuses_transfer(&self, id: SessionId, lock: &LockName, to: SessionId) -> Option<Refusal> {
        if self.sessions.get(to).is_none() {
            return Some(self.gone(to));
        }
        let held = self.locks.lease_of(to, lock).map(|lease| lease.mode);
        let waits = self.locks.place(to, lock).map(|(_, w)| w.ask.mode);
        if let Some(mode) = held.or(waits) {
            let lock = lock.clone();
            return Some(Refusal::UpgradeConflict { lock, mode });
        }
        self.refuses_more_leases(to, 1)
            .or_else(|| self.deadlock_after_transfer(lock, id, to))
    }

    /// The session lived for the lease that it has given up, and ends; or it lives on, and
    /// remembers the call.
    fn end_or_remember(
        &mut self,
        over: bool,
        id: SessionId,
        call: Call,
        outcome: &Outcome,
        turn: &mut Turn,
    ) {
        if over {
            self.owe_end(id, Gone::Closed, call.record(outcome), turn);
        } else {
            self.remember(id, call, outcome);
        }
    }

    fn fence_stale(&mut self, id: SessionId, lock: &LockName, call: Call) -> Answer {
        let highest_fence = self.highest_fence(lock);
        let outcome = Outcome::Refused(Refusal::FenceStale { highest_fence });
        self.remember(id, call, &outcome);
        Answer::new(outcome)
    }

    /// The fence of a lock's newest lease.
    pub(super) fn highest_fence(&self, lock: &LockName) -> Option<Fence> {
        self.locks.get(lock).and_then(Lock::highest_fence)
    }

    /// The session and the fence of a release, as they were given; or as they should have been,
    /// if a bug is planted.
    fn believed(&self, id: SessionId, lock: &LockName, fence: Fence) -> (SessionId, Fence) {
        let row = self.locks.get(lock);
        if planted::is(Plant::NoOwnerCheck)
            && let Some(lease) = row.and_then(|row| row.lease(fence))
        {
            return (lease.session, fence);
        }
        if planted::is(Plant::NoFenceCheck)
            && let Some(lease) = self.locks.lease_of(id, lock)
        {
            return (id, lease.fence);
        }
        (id, fence)
    }
}
