//! The cache tier: nodes that obey the ring, and that clients of Redis use as they are.
//!
//! A cache node serves the slots that the ring gives it, to clients that speak the protocol of
//! Redis Cluster: `redis-cli -c`, redis-py, redis-rs, ioredis and whatever else asks `CLUSTER
//! SLOTS` and follows `MOVED`. Clients that know of one server only come in by another port, behind
//! which every node is a proxy for all.
//!
//! What it promises is about *who* answers. Redis's own cluster decides that by gossip: for a while
//! after a failure two nodes may answer for one slot, and a node that was paused answers with what
//! it had. Here the slot table is data in the replicated machine, and three rules make it hold:
//!
//! 1. A node answers for a slot only while its session lasts by its own count, which ends before
//!    the cluster's does. It looks right before the answers leave (`connection.rs`).
//! 2. A slot that moves is released by its old owner after the last answer and before the new
//!    owner's first (`view.rs`).
//! 3. A value counts only under the slot epoch in which it was kept (`store/`), and a slot's epoch
//!    goes along with whatever members ask of each other (`peer/`).
//!
//! What it does not do: it keeps nothing on a disk, it has no replicas, and it may forget. A write
//! that was acknowledged is lost with its node, and a value that is too old to be handed over in
//! time is gone. What it never does is bring back an old value after a newer one was acknowledged.
//!
//! Read `connection.rs` first, then `command/run.rs`: that is the way of a request.

pub(crate) mod slot;
pub(crate) mod resp;
pub(crate) mod store;
pub(crate) mod view;
pub(crate) mod topology;
pub(crate) mod client;
pub(crate) mod figures;
pub(crate) mod audit;
pub(crate) mod flight;
pub(crate) mod handover;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod node;
pub(crate) mod fetch;
pub(crate) mod patience;
pub(crate) mod command;
pub(crate) mod proxy;
pub(crate) mod connection;
pub(crate) mod listen;
pub(crate) mod membership;
pub(crate) mod metrics;
mod serve;

pub use serve::{Bound, Config, Listening};

#[cfg(test)]
mod tests;
