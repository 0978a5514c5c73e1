//! All that may enter the log.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::fence::Fence;
use crate::name::{LockName, Owner, RequestId, SessionId};
use crate::time::{ClusterTime, Stamp, Ttl};

/// One log entry: commands that arrived together, under one stamp. It may hold none: then it
/// only tells the machine what time it is, and what is due falls due (a *tick*).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When the leader stamped it, and in which term.
    pub stamp: Stamp,
    /// What to do, in this order.
    pub commands: Vec<Command>,
}

/// One operation, with the request id under which it may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Repeating an operation under the same id has one effect and one outcome. `None` for
    /// operations that are harmless to repeat (renewals, abandonments).
    pub request: Option<RequestId>,
    /// The operation.
    pub op: Op,
}

/// The operations of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Opens a session. Repeated under its request id while the session lives, it answers with
    /// the session that the first call opened, whatever id the repetition proposes.
    Open(NewSession),
    /// Renews many sessions at once: each lives `ttl` from this entry's stamp.
    Renew {
        /// Which; those that are gone are answered with their cause.
        sessions: Vec<SessionId>,
    },
    /// Ends a session: its leases are released and its places given up in this apply.
    Close {
        /// Which.
        session: SessionId,
    },
    /// Asks for an exclusive lease.
    Acquire {
        /// Who asks.
        by: Acquirer,
        /// For what.
        lock: LockName,
        /// How long to queue, in milliseconds from the stamp; 0 tries once.
        wait_ms: u64,
    },
    /// Gives up a place in a queue, for a caller that vanished.
    ///
    /// It names the attachment that it speaks for: a caller that came back under the same
    /// request id has a newer one, and its place is left alone.
    Abandon {
        /// Whose place.
        session: SessionId,
        /// In whose queue.
        lock: LockName,
        /// The attachment that [`crate::Queued`] told.
        attachment: u64,
    },
    /// Gives up a lease; it counts only with the lease's own fence.
    Release {
        /// Whose lease.
        session: SessionId,
        /// Of which lock.
        lock: LockName,
        /// The fence that was granted.
        fence: Fence,
    },
}

/// A session to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// The id that the serving node drew.
    pub session: SessionId,
    /// How long it lives without renewal.
    pub ttl: Ttl,
    /// Who it says it is.
    pub owner: Owner,
    /// Whatever it wants to be listed with, at most 1 KiB.
    pub metadata: String,
}

/// Who acquires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acquirer {
    /// A session that is already open.
    Session(SessionId),
    /// A session opened for this lease alone: it ends with the lease, and with the place in the
    /// queue if it never becomes one. Its TTL counts from the grant, for until then its client
    /// knows no session that it could renew.
    OneLease(NewSession),
}

impl Op {
    /// What tells this call from another under the same request id. The session that a call
    /// proposes to open does not count: each repetition may propose its own.
    pub(crate) fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        match self {
            Self::Open(new) => {
                digest.write_number(1);
                new.write_to(&mut digest);
            }
            Self::Renew { sessions } => {
                digest.write_number(2);
                for session in sessions {
                    digest.write_session(*session);
                }
            }
            Self::Close { session } => {
                digest.write_number(3);
                digest.write_session(*session);
            }
            Self::Acquire { by, lock, wait_ms } => {
                match by {
                    Acquirer::Session(session) => {
                        digest.write_number(4);
                        digest.write_session(*session);
                    }
                    Acquirer::OneLease(new) => {
                        digest.write_number(5);
                        new.write_to(&mut digest);
                    }
                }
                digest.write_text(lock.as_str());
                digest.write_number(*wait_ms);
            }
            Self::Abandon {
                session,
                lock,
                attachment,
            } => {
                digest.write_number(6);
                digest.write_session(*session);
                digest.write_text(lock.as_str());
                digest.write_number(*attachment);
            }
            Self::Release {
                session,
                lock,
                fence,
            } => {
                digest.write_number(7);
                digest.write_session(*session);
                digest.write_text(lock.as_str());
                digest.write_number(fence.number());
            }
        }
        digest.finish()
    }
}

impl NewSession {
    fn write_to(&self, digest: &mut Digest) {
        digest.write_number(self.ttl.ms());
        digest.write_text(self.owner.as_str());
        digest.write_text(&self.metadata);
    }
}

impl Entry {
    /// An entry without commands, which only moves the clock.
    #[must_use]
    pub const fn tick(term: u64, at: ClusterTime, wall_ms: u64) -> Self {
        Self {
            stamp: Stamp { term, at, wall_ms },
            commands: Vec::new(),
        }
    }
}
