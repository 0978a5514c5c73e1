//! Clients that send too little, too slowly or too much: they end, and the node goes on.

use std::time::Duration;

use lockring::http::{Limits, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::node::Node;
use super::raw::{Answer, SOON, read};

fn impatient() -> Options {
    Options {
        limits: Limits {
            head: Duration::from_millis(200),
            idle: Duration::from_millis(400),
            body: Duration::from_millis(300),
            ..Limits::default()
        },
        ..Options::default()
    }
}

async fn impatient_node() -> Node {
    Node::with(impatient(), Duration::from_secs(25)).await
}

/// Waits until the node closes; what it wrote before is the answer.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // It may reset a connection on which there is more to read: that is closed too.
    let _ = timeout(SOON, stream.read_to_end(&mut bytes))
        .await
        .expect("the node closes in time");
    bytes
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed() {
    let node = impatient_node().await;
    for half in ["", "GET /v1/locks HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = TcpStream::connect(node.at).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        closed(&mut stream).await;
    }
    node.hold("still-serves").await;
    node.stop().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_closed_though_it_never_pauses_for_long() {
    let node = impatient_node().await;
    let (mut reading, mut writing) = TcpStream::connect(node.at).await.unwrap().into_split();
    let trickle = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while writing.write_all(b"x").await.is_ok() {
            pause.tick().await;
        }
    };
    let mut bytes = Vec::new();
    let end = async {
        tokio::select! {
            () = trickle => {}
            _ = reading.read_to_end(&mut bytes) => {}
        }
    };
    timeout(SOON, end).await.expect("the node closes in time");
    node.stop().await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_malformed() {
    let node = impatient_node().await;
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    let head = "POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 10\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    answer.problem(400, "malformed");
    node.stop().await;
}

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_it_is_idle() {
    let node = impatient_node().await;
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    for _ in 0..3 {
        let get = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(get).await.unwrap();
        let mut answer = vec![0; 1024];
        let read = timeout(SOON, stream.read(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let answer = Answer::parse(std::str::from_utf8(&answer[..read]).unwrap());
        assert_eq!(answer.status, 200);
    }
    assert!(closed(&mut stream).await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_parked_call_is_not_idle() {
    let node = impatient_node().await;
    let (session, fence) = node.hold("p").await;
    let wait = r#"{"wait_ms":1500}"#;
    let late = node.post("/v1/locks/p/acquire", wait).await;
    late.problem(408, "wait_timeout");
    node.release("p", &session, fence).await.success(200);
    node.stop().await;
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_refused() {
    let node = Node::alone().await;
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    let long = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let _ = stream.write_all(long.as_bytes()).await;
    let bytes = closed(&mut stream).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.is_empty() || text.starts_with("HTTP/1.1 431"),
        "{text}"
    );
    node.hold("still-serves").await;
    node.stop().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let node = Node::alone().await;
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    stream
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        .await
        .unwrap();
    let bytes = closed(&mut stream).await;
    assert!(bytes.starts_with(b"HTTP/1.1 400"), "{bytes:?}");
    node.hold("still-serves").await;
    node.stop().await;
}

#[tokio::test]
async fn two_hundred_idle_connections_do_not_keep_others_out() {
    let node = Node::alone().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(node.at).await.unwrap());
    }
    node.hold("still-serves").await;
    drop(idle);
    node.stop().await;
}

#[tokio::test]
async fn a_connection_that_does_not_end_is_cut_when_the_node_stops() {
    let mut options = Options::default();
    options.limits.drain = Duration::from_millis(100);
    let node = Node::with(options, Duration::from_secs(25)).await;
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    let head = "POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                expect: 100-continue\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The node says that it wants the body, so the call is under way.
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100");
    timeout(SOON, node.stop()).await.expect("it stops in time");
    assert!(!closed(&mut stream).await.starts_with(b"HTTP/1.1 2"));
}

#[tokio::test]
async fn a_node_that_stops_lets_an_open_connection_end() {
    let node = Node::alone().await;
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    node.hold("x").await;
    node.stop().await;
    assert!(closed(&mut stream).await.is_empty());
}
