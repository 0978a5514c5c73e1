//! Whole lockring clusters in one thread, in virtual time, from one seed.
//!
//! **What.** Real consensus, log, snapshots and pacemaker, as the server runs them, on a network,
//! disks and clocks that a seed decides. A run lasts a second and stands for half a minute of a
//! cluster's worst day; a failure has a seed, and the seed has the failure again.
//!
//! **How a run goes:** faults → a random majority alone, which must serve → all healed, which must
//! agree → the scan of everything that was told (`run`).
//!
//! **What it does not simulate:** HTTP, TLS, the client crate, the kept history, threads. Those are
//! under real faults in `jepsen-lite`.
//!
//! Reading order: `dice`, `net`, `disk`, `node`, `world`, `history`, `call`, `clients`, `holder`,
//! `member`, `watcher`, `kinds`, `faults`, `truth`, `check`, `run`.

pub mod dice;
pub mod net;
pub mod disk;
pub mod node;
pub mod panics;
pub mod world;
pub mod history;
pub mod call;
pub mod clients;
pub mod holder;
pub mod member;
pub mod watcher;
pub mod kinds;
pub mod faults;
mod seesaw;
pub mod truth;
pub mod check;
pub mod run;
