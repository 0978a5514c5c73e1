//! What clients asked and were told, in the world's time.

use lockring_core::{Fence, LockName, Mode, NodeId, Op, Outcome, Reply, RequestId, SessionId};

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asked.
    pub client: usize,
    /// Which node.
    pub node: NodeId,
    /// When.
    pub asked_ms: u64,
    /// When the answer came; never, if the node died.
    pub told_ms: Option<u64>,
    /// For what.
    pub ask: Ask,
    /// What came of it.
    pub told: Told,
}

/// What was asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A command, under a request id.
    Command(RequestId, Op),
    /// Who holds a lock, linearizably.
    Read(LockName),
}

/// What a call came to, as its caller knows it.
#[derive(Clone, Debug)]
pub enum Told {
    /// An answer.
    Reply(Reply),
    /// What a reader saw, and at which revision.
    Seen(u64, Vec<(SessionId, u64)>),
    /// Surely nothing happened.
    Nothing,
    /// Nobody knows.
    Unknown,
}

/// A lease that a client was told it has.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Of which lock.
    pub lock: LockName,
    /// Its number.
    pub fence: Fence,
    /// How it is shared.
    pub mode: Mode,
}

impl Call {
    /// The answer, if there was one.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.told {
            Told::Reply(reply) => Some(reply),
            Told::Seen(..) | Told::Nothing | Told::Unknown => None,
        }
    }

    /// The outcome of a command that was answered, and the command.
    #[must_use]
    pub fn outcome(&self) -> Option<(&Op, &Outcome)> {
        match (&self.ask, self.reply()) {
            (Ask::Command(_, op), Some(reply)) => Some((op, &reply.outcome)),
            _ => None,
        }
    }

    /// The revision that the caller was told, if any.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        match &self.told {
            Told::Reply(reply) => Some(reply.revision),
            Told::Seen(revision, _) => Some(*revision),
            Told::Nothing | Told::Unknown => None,
        }
    }
}
