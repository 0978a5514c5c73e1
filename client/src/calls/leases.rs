//! What is asked of locks and leases, acquiring apart.

use super::{Query, consistency, lock_name, written};
use crate::client::Client;
use crate::connection::Method;
use crate::error::Error;
use crate::wire::{
    Break, Broken, Check, HistoryPage, HistoryQuery, Lock, LockPage, LocksQuery, Release, Released,
    Revoke, Revoking, SetValue, Transfer, Transferred, ValueSet, route,
};

impl Client {
    /// Releases a lock.
    ///
    /// # Errors
    /// [`Error`]; `fence_stale` if the session does not hold the lock under that fence.
    pub async fn release_lock(&self, name: &str, release: &Release) -> Result<(), Error> {
        let path = route::release(name);
        let Released { .. } = self.change(Method::Post, path, written(release)).await?;
        Ok(())
    }

    /// Gets one lock: who holds it, who waits. A free lock is `free`, not an error.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get_lock(&self, name: &str) -> Result<Lock, Error> {
        lock_name(name)?;
        self.read(route::lock(name)).await
    }

    /// Lists locks in use, a page at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list_locks(&self, query: &LocksQuery) -> Result<LockPage, Error> {
        let Query(fields) = Query::default()
            .with("prefix", query.prefix.as_ref())
            .with("after", query.after.as_ref())
            .with("limit", query.limit)
            .with("consistency", consistency(query.consistency))
            .with("min_revision", query.min_revision);
        self.read(format!("{}{fields}", route::LOCKS)).await
    }

    /// Asks whether a lease with that fence is in force.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn check_fence(&self, name: &str, fence: u64) -> Result<Check, Error> {
        lock_name(name)?;
        self.read(route::check(name, fence)).await
    }

    /// Changes what a lease is seen with.
    ///
    /// # Errors
    /// [`Error`]; `fence_stale` if the session does not hold the lock under that fence.
    pub async fn set_value(&self, name: &str, value: &SetValue) -> Result<(), Error> {
        lock_name(name)?;
        let path = route::value(name);
        let ValueSet { .. } = self.change(Method::Put, path, written(value)).await?;
        Ok(())
    }

    /// Gives a lease to another session, without a moment in which the lock is free.
    ///
    /// # Errors
    /// [`Error`]; `fence_stale` if the session does not hold the lock under that fence,
    /// `session_gone` if the other does not live, `upgrade_conflict` if it has to do with the lock.
    pub async fn transfer_lock(
        &self,
        name: &str,
        transfer: &Transfer,
    ) -> Result<Transferred, Error> {
        lock_name(name)?;
        let path = route::transfer(name);
        self.change(Method::Post, path, written(transfer)).await
    }

    /// Asks the holders of a lock to give it up by a deadline, at which it is taken from them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke_lock(&self, name: &str, revoke: &Revoke) -> Result<Revoking, Error> {
        lock_name(name)?;
        let path = route::revoke(name);
        self.change(Method::Post, path, written(revoke)).await
    }

    /// Ends the leases of a lock now, as an operator.
    ///
    /// Their holders hear of it a moment later: until then only the fence protects what they write.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn break_lock(&self, name: &str, reason: &str) -> Result<Broken, Error> {
        lock_name(name)?;
        let body = written(&Break {
            reason: reason.to_owned(),
        });
        self.change(Method::Post, route::break_now(name), body)
            .await
    }

    /// What happened to a lock, a page at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn lock_history(
        &self,
        name: &str,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, Error> {
        lock_name(name)?;
        let Query(fields) = Query::default()
            .with("after", query.after)
            .with("limit", query.limit)
            .with("consistency", consistency(query.consistency))
            .with("min_revision", query.min_revision);
        self.read(format!("{}{fields}", route::history(name))).await
    }
}
