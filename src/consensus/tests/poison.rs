//! A disk fails: the node says so and takes part no more, and the others serve.

use lockring_core::{Command, Op, SessionId};
use tokio::time::timeout;

use super::cluster::{Cluster, SOON, granted, open_session};
use crate::consensus::ProposeError;
use crate::storage::disk::FaultDisk;

#[tokio::test]
async fn a_node_whose_disk_fails_stops_and_says_why_and_the_others_serve() {
    let disk = FaultDisk::new();
    let mut cluster = Cluster::three_with_disk(1, disk.clone()).await;
    let session = open_session(&cluster.nodes[&2], 60_000).await;
    disk.fail_sync_after(0);
    // Whoever leads, each of these reaches the disk that fails.
    let failing = cluster.nodes[&1].clone();
    granted(&cluster.nodes[&2], session, "goes on").await;
    let reason = timeout(SOON, failing.on_fatal()).await.unwrap();
    assert!(reason.contains("sync"), "{reason}");
    let close = Op::Close {
        session: SessionId::from_bits(1),
    };
    let command = Command {
        request: None,
        op: close,
    };
    let refused = timeout(SOON, failing.propose(command, SOON)).await.unwrap();
    assert_eq!(refused, Err(ProposeError::Stopped));
    cluster.stop(1).await;
    granted(&cluster.nodes[&3], session, "and on").await;
    cluster.agree().await;
    cluster.stop_all().await;
}
