//! Locks as readers see them: get, list, check.

use lockring_core::{ClusterTime, Fence, LockName, LockView};

use super::{Answer, Freshness, Service, ServiceError};

/// A lock as it was at a moment of cluster time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSeen {
    /// The lock; `None` if it is free.
    pub view: Option<LockView>,
    /// When.
    pub now: ClusterTime,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocksPage {
    /// In the order of names.
    pub locks: Vec<LockView>,
    /// When.
    pub now: ClusterTime,
    /// Whether there are more behind them.
    pub more: bool,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether a lease with that fence is in force.
    pub current: bool,
    /// The fence of the newest lease; `None` if the lock is free.
    pub highest_fence: Option<Fence>,
}

impl Service {
    /// One lock.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn lock(
        &self,
        lock: &LockName,
        fresh: Freshness,
    ) -> Result<Answer<LockSeen>, ServiceError> {
        self.read(fresh, |machine, now| LockSeen {
            view: machine.lock(lock),
            now,
        })
        .await
    }

    /// Locks in use whose names start with `prefix`, after `after`, at most `rows`.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn locks(
        &self,
        prefix: &str,
        after: Option<&LockName>,
        rows: usize,
        fresh: Freshness,
    ) -> Result<Answer<LocksPage>, ServiceError> {
        self.read(fresh, |machine, now| {
            let mut locks = machine.locks(prefix, after, rows + 1);
            let more = locks.len() > rows;
            locks.truncate(rows);
            LocksPage { locks, now, more }
        })
        .await
    }

    /// Whether a fence is that of a lease in force.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn check(
        &self,
        lock: &LockName,
        fence: Fence,
        fresh: Freshness,
    ) -> Result<Answer<Checked>, ServiceError> {
        // Not by the view's holders: of many sharers it lists only some.
        self.read(fresh, |machine, _| Checked {
            current: machine.is_in_force(lock, fence),
            highest_fence: machine.lock(lock).and_then(|view| view.highest_fence),
        })
        .await
    }
}
