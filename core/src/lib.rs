//! The deterministic machine of lockring.

#![no_std]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod command;
mod event;
mod fence;
pub mod limits;
mod machine;
mod name;
mod outcome;
mod snapshot;
mod time;
mod view;

pub use command::{Acquirer, Command, Entry, NewSession, Op};
pub use event::{Event, LeaseEnd, What};
pub use fence::Fence;
pub use machine::{Applied, Machine};
pub use name::{LockName, NameError, NodeId, Owner, RequestId, SessionId};
pub use outcome::{
    Abandoned, Gone, Grant, Holder, Limit, Outcome, Queued, Refusal, Renewal, Reply,
};
pub use snapshot::{Frozen, SnapshotError};
pub use time::{ClusterTime, Deadline, Stamp, Ttl, TtlError};
pub use view::{Counts, LeaseRow, LockView, SessionView, WaitRow, WaiterView};
