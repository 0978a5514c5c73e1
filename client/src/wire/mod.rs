//! The HTTP contract, as types: what travels between a lockring server and its clients.
//!
//! Server and client compile against this one module, so they cannot disagree about a field, a
//! status or a path. Requests refuse unknown fields, because a misspelt `wait_ms` that is silently
//! ignored is a lock taken on other terms than its caller believes. Replies and problems tolerate
//! them, so that a client outlives the server it was built with.
//!
//! Ids, names and numbers are plain strings and integers here: the doors parse them into the types
//! of `lockring_core`, and answer with `invalid` and the field's name when that fails.
//!
//! Every `expires_in_ms` keeps one promise: *the moment the request was sent* plus it is not later
//! than the end. So a server counts from its request's arrival or later (in cluster time, such as
//! the stamp of the entry that carried the command), never from an older view, and a holder may
//! count from before it sent.
//!
//! ```
//! use lockring_client::wire::{Acquire, Granted, route};
//!
//! let ask = Acquire { owner: Some("billing".into()), wait_ms: Some(5_000), ..Acquire::default() };
//! assert_eq!(serde_json::to_string(&ask).unwrap(), r#"{"owner":"billing","wait_ms":5000}"#);
//! assert_eq!(route::acquire("db/primary"), "/v1/locks/db%2Fprimary/acquire");
//!
//! let reply = r#"{"lock":"db","session":"00000000000000000000000000000007","mode":"exclusive",
//!                 "fence":3,"expires_in_ms":10000,"replayed":false}"#;
//! assert_eq!(serde_json::from_str::<Granted>(reply).unwrap().fence, 3);
//! assert!(serde_json::from_str::<Acquire>(r#"{"wait":5000}"#).is_err());
//! ```

mod acquire;
mod cluster;
mod code;
mod events;
pub mod header;
mod leases;
mod locks;
mod mode;
mod problem;
mod ring_table;
mod rings;
pub mod route;
mod sessions;

pub use acquire::{Acquire, AcquireAll, Granted, GrantedAll, POLL_WINDOW_MS, Queued, Want};
pub use cluster::{AddNode, Cluster, Digest, LeaderIs, Node, NodeRole, TransferLeader};
pub use code::{Certainty, ErrorCode, Retry};
pub use events::{
    EVENT_STREAM, Event, EventKind, EventsQuery, Gap, HistoryPage, HistoryQuery, LeaseEndCause,
    SessionEvent, SessionEventsQuery,
};
pub use leases::{
    Break, Broken, Release, Released, Revoke, Revoking, SetValue, Transfer, Transferred, ValueSet,
};
pub use locks::{
    Check, CheckQuery, Consistency, Holder, Lock, LockPage, LockState, LocksQuery, ReadQuery,
    Revocation, Waiter,
};
pub use mode::Mode;
pub use problem::{CONTENT_TYPE, CycleStep, GoneCause, Problem};
pub use ring_table::{MovingRange, RingTableBody, RingTableError};
pub use rings::{
    Assignment, Assignments, Balance, ConfigureRing, DiffQuery, FreezeRing, JoinRing, Lookup,
    LookupQuery, MemberQuery, MemberState, Placement, PlanChange, PlanRing, Planned, ReleaseSlots,
    Ring, RingChanged, RingDiff, RingEvent, RingHash, RingList, RingMember, RingRow,
    RingWatchQuery, SlotMoves, SlotsReleased,
};
pub use sessions::{
    Closed, ClosedLease, EndQuery, Lease, OpenSession, Opened, Renewed, Session, SessionPage,
    SessionRow, SessionsQuery, Wait,
};
