//! Clusters of real lockring processes, and faults for them.
//!
//! A test of a server that is only ever called nicely shows little. This crate starts nodes as
//! their users do, as processes with a configuration file, a data directory and ports of their
//! own, and then treats them badly: SIGKILL, SIGSTOP, a wiped directory, a full disk. It is a black
//! box to the server and the server to it: it knows the configuration file, the command line and
//! the HTTP contract, nothing else, so it can judge any build of it.
//!
//! Reading order: [`Cluster`] (what tests hold), `node` (one process), [`link`] (the network
//! between them), [`Api`] (one HTTP call), `ports`, [`Dice`] (chance that can be repeated).

mod api;
mod cluster;
pub mod link;
mod node;
mod options;
mod ports;
mod seed;

pub use api::{Answer, Api};
pub use cluster::{Cluster, wait_for};
pub use options::{Options, Wiring};
pub use seed::Dice;
