//! Clusters of real lockring processes, faults for them, users of them, and a judge.
//!
//! A test of a server that is only ever called nicely shows little. This crate starts nodes as
//! their users do, as processes with a configuration file, a data directory and ports of their
//! own, and then treats them badly. It is a black box to the server and the server to it: it knows
//! the configuration file, the command line and the HTTP contract, nothing else, so it can judge
//! any build of it.
//!
//! Reading order: [`Cluster`] (what tests hold), `node` (one process), [`link`] (the network
//! between them), [`nemesis`] (what is done to them), [`worker`] and [`resource`] (who uses them),
//! [`history`] (what was asked and answered), [`checker`] (what must hold), [`run`] (all of it
//! together), [`report`], [`cli`].

mod api;
pub mod checker;
pub mod cli;
mod clock;
mod cluster;
pub mod history;
pub mod link;
pub mod nemesis;
mod node;
mod options;
mod ports;
pub mod report;
pub mod resource;
pub mod run;
mod seed;
pub mod worker;
mod workload;

pub use api::{Answer, Api};
pub use cluster::{Cluster, wait_for};
pub use options::{Options, Wiring};
pub use seed::Dice;
pub use workload::Workload;
