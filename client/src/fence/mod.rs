//! Fences checked where it counts: at what the lock protects.
//!
//! **The problem.** A holder looks at its lease, finds it in force, is stopped for a minute (a
//! collector, a hypervisor, a closed lid), wakes up and writes. Meanwhile the lease has ended,
//! another has taken the lock, written and gone. No lock service can prevent the late write: it is
//! not asked. The write is lost on whoever came second, and nobody is told.
//!
//! **The answer.** Each grant has a fence, a number that only rises over the whole cluster. The
//! holder sends it along with every write; the receiver remembers the highest that it has seen,
//! and refuses lower ones. What matters is that *comparing, remembering and writing are one step*:
//! a check that is followed by a write is the same race again, a few microseconds shorter.
//!
//! | what is protected | guard | the one step |
//! |---|---|---|
//! | state of this process | [`Gate`] | a [`Pass`]: a higher fence enters when lower ones are out |
//! | a service behind HTTP | `http::FenceLayer` (feature `tower`) | the same, around the handler |
//! | rows in PostgreSQL | [`postgres`] | one statement, or one transaction |
//! | keys in Redis | [`redis`] | one script |
//!
//! The features add only thin functions: the statement and the script are plain text that is
//! always here, for callers with another driver or in another language.
//!
//! **What it does not do.** Equal fences pass, since one holder writes many times; so the tasks
//! that share a session are not kept from each other. Fences of one cluster say nothing about
//! another's: a resource takes the fences of one. And they put *exclusive* holders in order: of
//! the holders of a shared or a permit lease, each has a fence of its own, and a guard would let
//! only the newest of them write. Guard what each of them writes by a lock of its own, or let
//! shared holders only read.

mod gate;
#[cfg(feature = "tower")]
pub mod http;
pub mod postgres;
pub mod redis;

use lockring_core::Fence;

pub use gate::{Gate, Pass};

/// A write that was refused: a later lease has been here. The caller does not hold the lock any
/// more, whatever its clock says; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fence {fence} is stale: the resource takes {least} and higher")]
pub struct Stale {
    /// The fence that came with the write.
    pub fence: Fence,
    /// The least that is taken.
    pub least: Fence,
}
