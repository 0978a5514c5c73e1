//! (skeleton: the core builder replaces this file)
use alloc::string::String;
use alloc::vec::Vec;

use crate::{
    ClusterTime, Counts, Deadline, Entry, Event, Frozen, Gone, LockName, LockView, Queued, Reply,
    SessionId, SessionView, SnapshotError,
};

/// What applying one entry came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether the stamp's term was not the entry's, so that nothing happened and the commands
    /// have to be proposed again (under the same request ids).
    pub void: bool,
    /// One reply a command, in order; empty if void.
    pub replies: Vec<Reply>,
    /// What happened, ordered by revision.
    pub events: Vec<Event>,
}

/// The replicated state.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    revision: u64,
}

impl Machine {
    /// An empty machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Applies one entry that the log holds under `term`.
    pub fn apply(&mut self, _term: u64, _entry: &Entry) -> Applied {
        Applied::default()
    }
    /// Cluster time of the newest entry that counted.
    #[must_use]
    pub fn clock(&self) -> ClusterTime {
        ClusterTime(0)
    }
    /// How many changes have been applied.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }
    /// When the next thing falls due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        None
    }
    /// One lock, if in use.
    #[must_use]
    pub fn lock(&self, _lock: &LockName) -> Option<LockView> {
        None
    }
    /// Locks in use whose names start with `prefix`, in order, after `after`, at most `rows`.
    #[must_use]
    pub fn locks(&self, _prefix: &str, _after: Option<&LockName>, _rows: usize) -> Vec<LockView> {
        Vec::new()
    }
    /// One live session.
    ///
    /// # Errors
    /// [`Gone`] if it is not alive.
    pub fn session(&self, _session: SessionId) -> Result<SessionView, Gone> {
        Err(Gone::NeverExisted)
    }
    /// Live sessions in the order of ids, after `after`, at most `rows`; of one owner if given.
    #[must_use]
    pub fn sessions(
        &self,
        _owner: Option<&str>,
        _after: Option<SessionId>,
        _rows: usize,
    ) -> Vec<SessionView> {
        Vec::new()
    }
    /// The place of a session in a lock's queue.
    #[must_use]
    pub fn place(&self, _session: SessionId, _lock: &LockName) -> Option<Queued> {
        None
    }
    /// How much it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
    /// An immutable view for a snapshot: cheap, whatever the size of the state.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen {
            revision: self.revision,
        }
    }
    /// The machine that a snapshot's bytes describe.
    ///
    /// # Errors
    /// [`SnapshotError`] when they are not such bytes, whole.
    pub fn thaw(_bytes: &[u8]) -> Result<Self, SnapshotError> {
        Ok(Self::default())
    }
    /// Checks the invariants across tables; slow, for tests.
    ///
    /// # Errors
    /// The first that does not hold, in words.
    pub fn audit(&self) -> Result<(), String> {
        Ok(())
    }
}
