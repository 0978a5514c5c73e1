//! How a holder changes its mode: up to exclusive, down to shared.
//!
//! An upgrader keeps its shared lease while it waits for the others to end theirs, and comes
//! before the queue: whoever came later as a sharer would wait for it anyway, and whoever waits
//! for the lock alone waits for it as a holder. Two upgraders would wait for each other for ever,
//! so the second is refused. Even an upgrade that could be had at once is refused if those who
//! wait to share would then wait for somebody who waits for them elsewhere. An upgrade
//! whose own lease ends first has nothing left to raise, and is told so.

use alloc::vec;

use super::grants::Heir;
use super::{Call, Machine, Turn};
use crate::event::LeaseEnd;
use crate::lock::{Ask, Lease, Lock, Waiter};
use crate::name::{LockName, SessionId};
use crate::outcome::{CycleStep, Grant, Outcome, Refusal};

impl Machine {
    /// The holder of a shared lease asks for an exclusive one.
    pub(super) fn upgrade(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: Ask,
        wait_ms: u64,
        call: Call,
        turn: &mut Turn,
    ) -> Outcome {
        let row = self.locks.get(lock).expect("it holds it");
        if let Some(upgrader) = row.upgrade() {
            let (other, ticket) = (upgrader.session, upgrader.ticket);
            return match (other == id, wait_ms) {
                (false, _) => Outcome::Refused(self.two_upgraders(id, other, lock)),
                (true, 0) => Outcome::Refused(self.held(lock)),
                (true, _) => self.join(id, lock, ticket, wait_ms, call),
            };
        }
        if row.is_held_only_by(id) && !row.is_delayed() {
            if let Some(refusal) = self.deadlock_after_upgrade(lock, id) {
                return Outcome::Refused(refusal);
            }
            let cause = LeaseEnd::Upgraded;
            return Outcome::Granted(self.change_mode(id, lock, &ask, 0, cause, turn));
        }
        if wait_ms == 0 {
            return Outcome::Refused(self.held(lock));
        }
        if let Some(refusal) = self.refuses_more_leases(id, 1) {
            return Outcome::Refused(refusal);
        }
        let until = self.until(wait_ms);
        let queued = self.enqueue_upgrade(id, lock, ask, until);
        self.unless_deadlock(id, queued, call)
    }

    /// An upgrader's turn has come: it is the only holder left.
    pub(super) fn grant_upgrade(
        &mut self,
        lock: &LockName,
        waiter: &Waiter,
        turn: &mut Turn,
    ) -> Grant {
        let (id, attachment) = (waiter.session, waiter.attachment);
        let cause = LeaseEnd::Upgraded;
        self.change_mode(id, lock, &waiter.ask, attachment, cause, turn)
    }

    /// The holder of an exclusive lease asks for a shared one.
    pub(super) fn downgrade(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: &Ask,
        turn: &mut Turn,
    ) -> Outcome {
        let cause = LeaseEnd::Downgraded;
        Outcome::Granted(self.change_mode(id, lock, ask, 0, cause, turn))
    }

    /// The lease in another mode; it shows what it showed, unless it is to show something else.
    fn change_mode(
        &mut self,
        id: SessionId,
        lock: &LockName,
        ask: &Ask,
        attachment: u64,
        cause: LeaseEnd,
        turn: &mut Turn,
    ) -> Grant {
        let lease = self.locks.lease_of(id, lock).expect("it holds it");
        let heir = Heir {
            session: id,
            attachment,
            mode: ask.mode,
            hold_until: ask.max_hold_ms.map(|ms| self.clock.plus_ms(ms)),
            value: ask.value.clone().or_else(|| lease.value().cloned()),
        };
        let fence = lease.fence;
        self.swap(lock, fence, heir, cause, turn)
    }

    /// Ends the upgrade of a session whose lease has just ended, if it waits for one.
    pub(super) fn drop_upgrade(&mut self, id: SessionId, lock: &LockName, turn: &mut Turn) {
        let upgrade = self.locks.get(lock).and_then(Lock::upgrade);
        let Some(waiter) = upgrade.filter(|waiter| waiter.session == id).cloned() else {
            return;
        };
        let highest_fence = self.highest_fence(lock);
        let refusal = Refusal::FenceStale { highest_fence };
        let outcome = Outcome::Refused(refusal.clone());
        self.end_wait(lock, &waiter, Some(refusal), turn);
        let session = self.sessions.get_mut(id).expect("it is alive");
        session.settle_wait(waiter.ticket, &outcome);
    }

    /// Both hold the lock and want it for themselves.
    fn two_upgraders(&self, id: SessionId, other: SessionId, lock: &LockName) -> Refusal {
        let step = |session| CycleStep {
            session,
            owner: self.owner(session),
            holds: lock.clone(),
            wants: lock.clone(),
        };
        Refusal::Deadlock {
            cycle: vec![step(id), step(other)],
        }
    }

    /// The lease of a session that has this fence.
    pub(super) fn lease_with(
        &self,
        id: SessionId,
        lock: &LockName,
        fence: crate::fence::Fence,
    ) -> Option<&Lease> {
        let row = self.locks.get(lock)?;
        row.lease(fence).filter(|lease| lease.session == id)
    }
}
