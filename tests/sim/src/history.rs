//! What clients asked and were told, in the world's time.

use std::fmt;
use std::sync::Arc;

use lockring_core::{
    Fence, LockName, Mode, NodeId, Op, Outcome, Reply, RequestId, RingName, RingView, SessionId,
};

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
    /// The same of the node's service: a call that waits is parked there, and one whose caller
    /// hangs up is undone.
    Use(RequestId, Op),
    /// Who holds a lock, linearizably.
    Read(LockName),
    /// A ring as this node has it, or linearizably.
    Table(RingName, Fresh),
}

/// How new what is read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// All that was told before is in it.
    Linearizable,
    /// It may be old.
    Stale,
}

/// What a call came to, as its caller knows it.
#[derive(Clone, Debug)]
pub enum Told {
    /// An answer.
    Reply(Reply),
    /// What a reader saw, and at which revision.
    Seen(u64, Vec<(SessionId, u64)>),
    /// A ring, and at which revision.
    Table(u64, Table),
    /// Its place is kept; it comes back for its answer.
    Parked,
    /// Surely nothing happened.
    Nothing,
    /// Nobody knows.
    Unknown,
}

/// A ring at one epoch, told in a trace by its digest.
#[derive(Clone)]
pub struct Table(pub Arc<RingView>);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.0.epoch, self.0.table.digest())
    }
}

/// A lease that a client was told it has.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Whose.
    pub session: SessionId,
    /// Of which lock.
    pub lock: LockName,
    /// Its number.
    pub fence: Fence,
    /// How it is shared.
    pub mode: Mode,
}

impl Ask {
    /// The command, however it was asked for.
    #[must_use]
    pub fn command(&self) -> Option<(RequestId, &Op)> {
        match self {
            Self::Command(request, op) | Self::Use(request, op) => Some((*request, op)),
            Self::Read(_) | Self::Table(..) => None,
        }
    }
}

impl Call {
    /// The answer, if there was one.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.told {
            Told::Reply(reply) => Some(reply),
            Told::Seen(..) | Told::Table(..) | Told::Parked | Told::Nothing | Told::Unknown => None,
        }
    }

    /// The outcome of a command that was answered, and the command.
    #[must_use]
    pub fn outcome(&self) -> Option<(&Op, &Outcome)> {
        let (_, op) = self.ask.command()?;
        Some((op, &self.reply()?.outcome))
    }

    /// The revision that the caller was told, if any.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        match &self.told {
            Told::Reply(reply) => Some(reply.revision),
            Told::Seen(revision, _) | Told::Table(revision, _) => Some(*revision),
            Told::Parked | Told::Nothing | Told::Unknown => None,
        }
    }
}
