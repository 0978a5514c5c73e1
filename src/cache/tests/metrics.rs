//! What an operator scrapes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Nodes;
use crate::cache::membership::Stage;
use crate::cache::metrics::{Told, serve};

async fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn figures_are_told_as_prometheus_reads_them() {
    let nodes = Nodes::start(2, None).await;
    let (_tell, stage) = watch::channel(Stage::Serving);
    let node = nodes.nodes[0].clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(Told { node, stage }, listener));
    let mut client = nodes.client(0).await;
    for words in ["get b", "set b 1", "get b", "get b"] {
        client.ask(words).await;
    }

    let (status, text) = get(at, "/metrics").await;
    assert_eq!(status, 200);
    let mut kinds = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let mut buckets = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (family, kind) = kind.split_once(' ').unwrap();
            assert_eq!(kinds.insert(family, kind), None, "told twice: {family}");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            let name = sample.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(kinds.contains_key(family), "no kind before {line}");
            if name.ends_with("_bucket") {
                buckets.push(value);
            }
            assert_eq!(samples.insert(sample, value), None, "told twice: {sample}");
        }
    }
    let of = |name: &str| samples[format!("lockring_cache_{name}").as_str()];
    assert_eq!(of("commands_total"), 4.0);
    assert_eq!(of("hits_total{slots=\"0-8191\"}"), 2.0);
    assert_eq!(of("misses_total{slots=\"0-8191\"}"), 1.0);
    assert_eq!(of("keys"), 1.0);
    assert!(buckets.is_sorted(), "{buckets:?}");
    assert_eq!(*buckets.last().unwrap(), of("batch_seconds_count"));
    assert!(of("batch_seconds_sum") > 0.0);

    assert_eq!(get(at, "/readyz").await, (200, "serving\n".to_owned()));
    nodes.switches[0]
        .serving_is_over
        .store(true, Ordering::SeqCst);
    assert_eq!(get(at, "/readyz").await.0, 503);
    assert_eq!(get(at, "/nothing").await.0, 404);
    serving.abort();
}
