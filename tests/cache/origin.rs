//! Values that no node has: the origin is asked once, whoever asks and however many.

use std::collections::BTreeMap;
use std::sync::Arc;

use jepsen_lite::{Cluster, Options};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::node::{CacheNode, SOON, settled};

/// Requests for one key, all of them under way before the origin answers the first.
const REQUESTS: usize = 1000;

/// An HTTP server that counts what it is asked for, and answers when it is told to.
struct Origin {
    url: String,
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
    answers: watch::Sender<bool>,
    _server: JoinSet<()>,
}

impl Origin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/values", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let answers = watch::Sender::new(false);
        let (count, gate) = (asked.clone(), answers.clone());
        let answer = async move |axum::extract::Path(key): axum::extract::Path<String>| {
            *count.lock().entry(key.clone()).or_insert(0) += 1;
            let mut open = gate.subscribe();
            open.wait_for(|open| *open)
                .await
                .expect("the gate is in scope");
            format!("the value of {key}")
        };
        let routes = axum::Router::new().route("/values/{key}", axum::routing::get(answer));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            asked,
            answers,
            _server: server,
        }
    }
}

/// The value that is the answer to a GET.
async fn value(stream: TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines();
    let length = lines.next_line().await.unwrap().unwrap();
    assert!(length.starts_with('$'), "{length}");
    lines.next_line().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_thousand_gets_of_a_cold_key_over_all_nodes_ask_the_origin_once() {
    let cluster = Cluster::start(Options::new(env!("CARGO_BIN_EXE_lockring")))
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let more = ["--origin", origin.url.as_str()];
    let start = |member: &str| CacheNode::start(&cluster, dir.path(), member, &more);
    let nodes = ["a", "b", "c"].map(start);
    settled(&cluster, &["a", "b", "c"]).await;

    // Three keys, so that more than one node is the owner of one.
    for key in ["cold-1", "cold-2", "cold-3"] {
        origin.answers.send_replace(false);
        // All requests are sent but for their ends: the origin is waited for only so long.
        let mut connections = Vec::new();
        for nth in 0..REQUESTS {
            let address = &nodes[nth % nodes.len()].proxy;
            let mut connection = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {key}\r");
            connection.write_all(request.as_bytes()).await.unwrap();
            connections.push(connection);
        }
        let mut requests = JoinSet::new();
        for mut connection in connections {
            connection.write_all(b"\n").await.unwrap();
            requests.spawn(value(connection));
        }
        origin.answers.send_replace(true);
        let values = tokio::time::timeout(SOON, requests.join_all())
            .await
            .unwrap();
        assert!(
            values
                .iter()
                .all(|value| *value == format!("the value of {key}"))
        );
        assert_eq!(values.len(), REQUESTS);
    }
    let asked = origin.asked.lock().clone();
    println!("{REQUESTS} requests for each: {asked:?}");
    assert_eq!(asked.len(), 3);
    assert!(asked.values().all(|calls| *calls == 1), "{asked:?}");
}
