//! Values that come from elsewhere: through the proxy, and from the origin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Nodes;

#[tokio::test]
async fn a_plain_client_of_any_proxy_sees_one_cache() {
    let nodes = Nodes::start(3, None).await;
    let (mut a, mut b) = (nodes.proxy(0).await, nodes.proxy(2).await);
    assert_eq!(a.ask("mset a 1 b 2 c 3 d 4 e 5").await, "+OK\r\n");
    let all = "*6\r\n$1\r\n5\r\n$1\r\n4\r\n$-1\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n";
    assert_eq!(b.ask("mget e d nothing c b a").await, all);
    assert_eq!(b.ask("incr a").await, ":2\r\n");
    assert_eq!(a.ask("get a").await, "$1\r\n2\r\n");
    assert_eq!(a.ask("exists a b c x").await, ":3\r\n");
    assert_eq!(b.ask("dbsize").await, ":5\r\n");
    assert_eq!(a.ask("del a b x").await, ":2\r\n");
    assert_eq!(
        a.ask("incrby c nonsense").await,
        "-ERR value is not an integer or out of range\r\n"
    );
    assert_eq!(a.ask("hello 3").await.chars().next(), Some('%'));
    assert_eq!(a.ask("get a").await, "_\r\n");
    assert_eq!(b.ask("flushall").await, "+OK\r\n");
    assert_eq!(b.ask("dbsize").await, ":0\r\n");
}

#[tokio::test]
async fn a_walk_through_a_proxy_tells_every_key() {
    let nodes = Nodes::start(3, None).await;
    let mut proxy = nodes.proxy(1).await;
    for n in 0..200 {
        assert_eq!(proxy.ask(&format!("set key:{n} v")).await, "+OK\r\n");
    }
    let (mut cursor, mut told) = ("0".to_owned(), BTreeMap::new());
    loop {
        let reply = proxy
            .ask(&format!("scan {cursor} count 7 match key:*"))
            .await;
        let mut lines = reply.split("\r\n");
        cursor = lines.nth(2).unwrap().to_owned();
        for key in lines.filter(|line| line.starts_with("key:")) {
            *told.entry(key.to_owned()).or_insert(0) += 1;
        }
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(told.len(), 200);
    assert!(told.values().all(|times| *times == 1));
}

/// An origin that counts its calls, takes its time, and knows every key that begins with `k`.
async fn origin(calls: Arc<AtomicUsize>, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/values", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut served = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let calls = calls.clone();
            served.spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    calls.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let text = String::from_utf8_lossy(&head).into_owned();
                    assert!(text.contains("lockring-slot-epoch: 1\r\n"), "{text}");
                    let key = text.strip_prefix("GET /values/");
                    let reply = match key.and_then(|path| path.chars().next()) {
                        Some('k') => {
                            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n\
                             content-length: 5\r\n\r\nvalue"
                        }
                        Some('n') => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                        _ => "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
                    };
                    stream.write_all(reply.as_bytes()).await.unwrap();
                    head.clear();
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_thousand_askers_of_a_cold_key_over_all_nodes_cost_the_origin_one_call() {
    let (calls, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let url = origin(calls.clone(), &mut tasks).await;
    let nodes = Nodes::start(3, Some(&url)).await;
    let mut clients = Vec::new();
    for nth in 0..1_000 {
        clients.push(nodes.proxy(nth % 3).await);
    }
    let asked = clients.iter_mut().map(|client| client.ask("get k"));
    let values = futures_util::future::join_all(asked).await;
    assert!(values.iter().all(|value| value == "$5\r\nvalue\r\n"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let left: i64 = clients[0]
        .ask("ttl k")
        .await
        .trim_start_matches(':')
        .trim()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&left), "{left}");
}

#[tokio::test]
async fn what_the_origin_does_not_have_or_cannot_tell_is_said_so() {
    let (calls, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let url = origin(calls.clone(), &mut tasks).await;
    let nodes = Nodes::start(1, Some(&url)).await;
    let mut client = nodes.client(0).await;
    assert_eq!(client.ask("get n").await, "$-1\r\n");
    assert_eq!(
        client.ask("get {x}").await,
        "-ERR the origin did not answer: status 500 Internal Server Error\r\n"
    );
    assert_eq!(client.ask("mget {k}1 {k}2").await.matches("$-1").count(), 0);
    // Only reads of values ask it.
    let before = calls.load(Ordering::SeqCst);
    assert_eq!(client.ask("exists k9").await, ":0\r\n");
    assert_eq!(client.ask("append k9 x").await, ":1\r\n");
    assert_eq!(calls.load(Ordering::SeqCst), before);
}
