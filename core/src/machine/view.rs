//! What readers are shown.

use core::ops::Bound;

use alloc::string::String;
use alloc::vec::Vec;

use super::grants::grant_of;
use super::{Machine, places};
use crate::fence::Fence;
use crate::limits::LISTED_MAX;
use crate::lock::{Lock, Waiter, as_count};
use crate::name::{LockName, Owner, SessionId};
use crate::outcome::{Gone, Grant, LeaseRow, Queued};
use crate::session::Session;
use crate::view::{Counts, LockView, SessionView, WaitRow, WaiterView};

impl Machine {
    /// One lock, if in use.
    #[must_use]
    pub fn lock(&self, lock: &LockName) -> Option<LockView> {
        let row = self.locks.get(lock)?;
        Some(self.lock_view(lock, row))
    }

    /// Locks in use whose names start with `prefix`, in order, after `after`, at most `rows`.
    #[must_use]
    pub fn locks(&self, prefix: &str, after: Option<&LockName>, rows: usize) -> Vec<LockView> {
        let from = match after.map(LockName::as_str) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        self.locks
            .rows
            .from(from)
            .take_while(|(name, _)| name.as_str().starts_with(prefix))
            .take(rows)
            .map(|(name, row)| self.lock_view(name, row))
            .collect()
    }

    /// One live session.
    ///
    /// # Errors
    /// [`Gone`] if it is not alive.
    pub fn session(&self, session: SessionId) -> Result<SessionView, Gone> {
        match self.sessions.get(session) {
            Some(row) => Ok(self.session_view(session, row)),
            None => Err(self.sessions.cause(session)),
        }
    }

    /// Live sessions in the order of ids, after `after`, at most `rows`; of one owner if given.
    #[must_use]
    pub fn sessions(
        &self,
        owner: Option<&str>,
        after: Option<SessionId>,
        rows: usize,
    ) -> Vec<SessionView> {
        let Some(owner) = owner else {
            let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let all = self.sessions.rows.from(from).take(rows);
            return all.map(|(id, row)| self.session_view(*id, row)).collect();
        };
        // What no owner can be called, none is.
        let Ok(owner) = Owner::parse(owner) else {
            return Vec::new();
        };
        let of_owner = self.sessions.of_owner(&owner, after).take(rows);
        of_owner
            .map(|(id, row)| self.session_view(id, row))
            .collect()
    }

    /// Of the sessions that ended and are remembered, the last with an id from `from` to `to`.
    #[must_use]
    pub fn ended_session(&self, from: SessionId, to: SessionId) -> Option<SessionId> {
        self.sessions.ended.last_in(from..=to)
    }

    /// The place of a session in a lock's queue.
    #[must_use]
    pub fn place(&self, session: SessionId, lock: &LockName) -> Option<Queued> {
        let (position, waiter) = self.locks.place(session, lock)?;
        Some(match waiter.many {
            true => self.queued_all(waiter.ticket),
            false => places::queued(position, waiter),
        })
    }

    /// The lease of a session on a lock, among any number of holders.
    #[must_use]
    pub fn lease(&self, session: SessionId, lock: &LockName) -> Option<Grant> {
        let lease = self.locks.lease_of(session, lock)?;
        Some(grant_of(lease, self.sessions.get(session)?))
    }

    /// Whether a lease of this lock with this fence is in force; among any number of holders,
    /// where [`LockView::holders`] lists only the first.
    #[must_use]
    pub fn is_in_force(&self, lock: &LockName, fence: Fence) -> bool {
        let row = self.locks.get(lock);
        row.is_some_and(|row| row.lease(fence).is_some())
    }

    /// How much it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            sessions: self.sessions.rows.len(),
            locks: self.locks.rows.len(),
            leases: self.locks.leases_len(),
            waiters: self.locks.places_len(),
        }
    }

    fn lock_view(&self, name: &LockName, row: &Lock) -> LockView {
        LockView {
            lock: name.clone(),
            holders: self.holders(name),
            holders_total: as_count(row.leases().len()),
            queue: (0..)
                .zip(row.waiters().take(LISTED_MAX))
                .map(|(position, waiter)| self.waiter_view(position, waiter))
                .collect(),
            queue_total: as_count(row.waiting()),
            highest_fence: row.highest_fence(),
            delayed_until: row.delayed_until(),
            revoking: row
                .revocation()
                .map(|revocation| (revocation.deadline, revocation.reason.clone())),
        }
    }

    fn waiter_view(&self, position: u32, waiter: &Waiter) -> WaiterView {
        let session = self.sessions.get(waiter.session);
        let session = session.expect("no place without a session");
        WaiterView {
            session: waiter.session,
            owner: session.owner.clone(),
            mode: waiter.ask.mode,
            ticket: waiter.ticket,
            position,
            since: waiter.since,
            until: waiter.until,
        }
    }

    fn session_view(&self, id: SessionId, row: &Session) -> SessionView {
        let leases = self.locks.leases_of(id).take(LISTED_MAX).map(|lock| {
            let lease = self.locks.lease_of(id, lock).expect("it holds it");
            LeaseRow {
                lock: lock.clone(),
                mode: lease.mode,
                fence: lease.fence,
            }
        });
        let waits = self.locks.places_of(id).take(LISTED_MAX);
        let waits = waits.filter_map(|(lock, ticket)| {
            let (position, waiter) = self.locks.waiter(lock, ticket)?;
            Some(WaitRow {
                lock: lock.clone(),
                mode: waiter.ask.mode,
                position,
            })
        });
        SessionView {
            session: id,
            owner: row.owner.clone(),
            metadata: String::from(&*row.metadata),
            ttl: row.ttl,
            lock_delay_ms: u64::from(row.lock_delay_ms),
            expires_at: row.expires_at,
            leases: leases.collect(),
            leases_total: row.leases,
            waits: waits.collect(),
            waits_total: row.places,
        }
    }
}
