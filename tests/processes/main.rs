//! Tests of real lockring processes: `../README.md` says which of them lives where.

#![expect(
    clippy::print_stdout,
    reason = "they print the figures that they measure"
)]

mod bench;
mod calls;
mod client;
mod connections;
mod dev;
mod disk_full;
mod examples;
mod exec;
mod failover;
mod guardian;
mod links;
mod lost_first;
mod midway;
#[cfg(feature = "planted")]
mod panic;
mod paused_holder;
mod readme;
mod replace;
mod restart;
mod snapshot;
mod storm;
mod tls;
mod verbs;

use jepsen_lite::{Cluster, Options};

/// Three nodes of the binary under test.
async fn three_nodes() -> Cluster {
    with_sections("").await
}

/// The same, with more sections in their configuration.
async fn with_sections(sections: &str) -> Cluster {
    let mut options = Options::new(env!("CARGO_BIN_EXE_lockring"));
    options.sections = sections.to_owned();
    Cluster::start(options).await.unwrap()
}
