//! The deterministic machine of lockring: who holds which lock, and under which number.
//!
//! A log of entries goes in, answers and events come out, and every replica that applies the same
//! log is in the same state. There is no clock here, no disk, no socket, no thread, no float, no
//! chance: time arrives as stamps in the log, ids arrive as names drawn elsewhere.
//!
//! ```
//! use lockring_core::*;
//!
//! let mut machine = Machine::new();
//! let session = SessionId::from_bits(7);
//! let db = LockName::parse("db")?;
//! let open = Op::Open(NewSession {
//!     session,
//!     ttl: Ttl::parse(10_000)?,
//!     owner: Owner::parse("billing")?,
//!     lock_delay_ms: 0,
//!     metadata: String::new(),
//! });
//! let acquire = Op::Acquire {
//!     by: Acquirer::Session(session),
//!     lock: db.clone(),
//!     mode: Mode::Exclusive,
//!     wait_ms: 0,
//!     max_hold_ms: None,
//!     value: String::new(),
//! };
//! let entry = Entry {
//!     stamp: Stamp { term: 1, at: ClusterTime(1_000), wall_ms: 0 },
//!     commands: vec![
//!         Command { request: None, op: open },
//!         Command { request: None, op: acquire },
//!     ],
//! };
//!
//! let applied = machine.apply(1, &entry);
//! assert_eq!(
//!     applied.replies[1].outcome,
//!     Outcome::Granted(Grant {
//!         session,
//!         mode: Mode::Exclusive,
//!         fence: Fence::claimed(1),
//!         expires_at: ClusterTime(11_000),
//!         hold_until: None,
//!     })
//! );
//!
//! // Nobody renews; ten seconds of cluster time later the lock is free again, and gone.
//! machine.apply(1, &Entry::tick(1, ClusterTime(11_000), 0));
//! assert_eq!(machine.lock(&db), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What always holds
//!
//! - I1 Incompatible leases never coexist: a lock has one exclusive lease, or shared ones, or
//!   leases whose permits together are no more than there are.
//! - I2 Fences strictly rise over the whole cluster, whatever is deleted or restored.
//! - I3 No lease without a live session; when a session ends, its leases and places go in the
//!   same apply.
//! - I4 A free lock that nobody waits for is absent, from every table and index, unless it is
//!   closed for a while after an abnormal loss.
//! - I5 A waiter is never also a holder of the same lock, but for one sharer that upgrades.
//! - I6 The clock never falls.
//! - I7 A stamp counts only in the term that it was written in.
//! - I8 The same request id has the same outcome; only what is left of the time is today's.
//! - I9 Replicas at the same revision have the same snapshot bytes and so the same digest.
//! - I10 At most one member serves a slot of a ring.
//! - I11 A slot's epoch rises with each change of its owner.
//! - I13 Grants of one lock follow the order of arrival among those who are still there; an
//!   upgrader comes first. Whoever is next and could be granted the lock has it already.
//!
//! (I12 is of consensus.)
//!
//! # In which order to read
//!
//! `name`, `time`, `fence`, `mode`, [`limits`]: the words. `command`, `outcome`, `event`, `view`:
//! what goes in, comes back, is told, is shown. `session`, `lock`, `deadlines`: the tables, which
//! do not know each other, on pages from `paged`. `slot`, `ring`: how a key becomes one of 16384
//! slots, and whose those are. `machine`: where they meet. `snapshot`, `digest`,
//! `audit`: the whole as bytes, as a number, and whether it holds together.

#![no_std]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod audit;
mod command;
mod deadlines;
mod digest;
mod event;
mod fence;
pub mod limits;
mod lock;
mod machine;
mod mode;
mod name;
mod outcome;
mod paged;
pub mod planted;
mod ring;
mod session;
mod slot;
mod snapshot;
#[cfg(test)]
mod tests;
mod time;
mod view;

pub use command::{
    Acquirer, Command, Entry, NewSession, Op, Placement, RingOp, Want, Wants, WantsError,
};
pub use event::{Event, LeaseEnd, RingChange, RingEvent, What};
pub use fence::Fence;
pub use machine::{Applied, Machine};
pub use mode::Mode;
pub use name::{
    Addresses, LockName, MemberName, NameError, NodeId, Owner, Reason, RequestId, RingName,
    SessionId, Weight, WeightError, Zone,
};
pub use outcome::{
    Abandoned, CycleStep, Gone, Grant, GrantedAll, Holder, LeaseRow, Limit, Outcome, Queued,
    Refusal, Renewal, Reply, RingOutcome, RingRefusal,
};
pub use ring::{
    Balance, MemberState, MemberView, Moving, PlanChange, PlanError, RingDiff, RingMove, RingPlan,
    RingSpec, RingState, RingTable, RingView, TableError, TableParts,
};
pub use slot::{RingHash, SLOTS, SlotRange, SlotRangeError};
pub use snapshot::{Frozen, SnapshotError};
pub use time::{ClusterTime, Deadline, Stamp, Ttl, TtlError};
pub use view::{Counts, LockView, SessionView, WaitRow, WaiterView};
