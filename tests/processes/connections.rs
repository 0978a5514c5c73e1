//! Thousands of connections, most of them up to no good.

use std::time::Duration;

use jepsen_lite::wait_for;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::calls::Caller;
use crate::{three_nodes, with_sections};

const THOUSANDS: usize = 3_000;

fn allow_many_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[tokio::test]
async fn thousands_of_idle_and_half_open_connections_stop_nobody() {
    allow_many_files();
    let cluster = three_nodes().await;
    let leader = cluster.leader().await.unwrap();
    let api = cluster.api(leader);
    let mut connections = Vec::new();
    for nth in 0..THOUSANDS {
        let mut connection = TcpStream::connect(api.address()).await.unwrap();
        // Every second one begins a request and never ends it.
        if nth % 2 == 0 {
            connection
                .write_all(b"GET /v1/locks/x HTTP/1.1\r\nhost")
                .await
                .unwrap();
        }
        connections.push(connection);
    }
    let caller = Caller::of_nodes(&cluster, [leader]);
    let session = caller.open("holder", 60_000).await;
    let lease = caller.acquire(&session, "held", 0).await;
    caller.release(&lease).await;
    assert_eq!(connections.len(), THOUSANDS);
}

#[tokio::test]
async fn a_slow_head_does_not_hold_a_connection() {
    let cluster = with_sections("[limits]\nheader_read_ms_max = 300\n").await;
    let api = cluster.api(1);
    let mut slow = TcpStream::connect(api.address()).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut rest));
    // Closed or reset: either way it is over.
    let _ = ended.await.expect("a half-sent head does not hold it");
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_room_comes_back() {
    let cluster = with_sections("[limits]\nconnections_max = 20\n").await;
    let api = cluster.api(1);
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(TcpStream::connect(api.address()).await.unwrap());
    }
    let refused = wait_for("a refusal", Duration::from_secs(10), async || {
        let answer = api.get("/v1/locks/x").await.ok()?;
        (answer.status == 429).then_some(())
    });
    refused.await.unwrap();
    drop(crowd);
    wait_for("room again", Duration::from_secs(10), async || {
        let answer = api.get("/v1/locks/x").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await
    .unwrap();
}
