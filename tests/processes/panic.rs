//! A node that cannot apply an entry says so and ends; it does not pretend to be well.
//!
//! The panic is planted, so this is part of builds with the feature alone.

use std::time::Duration;

use jepsen_lite::{Cluster, Options};

use crate::calls::Caller;

#[tokio::test]
async fn a_panic_in_apply_ends_the_node_and_is_told() {
    let mut options = Options::new(env!("CARGO_BIN_EXE_lockring"));
    let plant = ("LOCKRING_PLANT".to_owned(), "panic-in-apply".to_owned());
    options.environment.push(plant);
    let mut cluster = Cluster::start(options).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let caller = Caller::of_nodes(&cluster, [leader]);
    let session = caller.open("holder", 600_000).await;
    // There is no answer to wait for: every node that applies it ends, this one first.
    let lease = caller.acquire(&session, "db", 0).await;
    let releasing = tokio::spawn(async move { caller.try_release(&lease).await });
    let ended = cluster.wait_exit(leader, Duration::from_secs(60)).await;
    releasing.abort();
    assert_eq!(ended.unwrap().code(), Some(1));
    let log = cluster.log_tail(leader);
    assert!(log.contains("applying an entry panicked"), "{log}");
}
