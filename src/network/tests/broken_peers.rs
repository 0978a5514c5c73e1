//! Peers that do not keep to the protocol, by accident or on purpose.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::network::transport::Acceptor;

/// A peer that greets well and then does nothing; what it holds keeps the connection open.
async fn greet_and_hold(acceptor: &mut Box<dyn Acceptor>) -> FrameStream {
    let duplex = acceptor.accept().await.unwrap().open.await.unwrap();
    let (frame, mut stream) = hello::hear(duplex, &limits()).await.unwrap();
    hello::judge(&frame, &identity(2), &TestNode::default()).unwrap();
    let welcome = Welcome {
        id: 2,
        incarnation: 200,
        initialised: false,
    };
    hello::reply(&mut stream, &Ok(welcome), &limits())
        .await
        .unwrap();
    stream
}

/// Sends raw bytes as a fresh connection and answers all that comes back until it is closed.
async fn raw(network: &Memory, bytes: &[u8]) -> Vec<u8> {
    let mut duplex = network.connect("two").await.unwrap();
    // The listener may close before it has read everything, which is an answer too.
    let _ = duplex.write.write_all(bytes).await;
    let mut back = Vec::new();
    within(duplex.read.read_to_end(&mut back)).await.unwrap();
    back
}

#[tokio::test]
async fn garbage_is_refused_and_others_are_served_on() {
    let (network, node) = (Memory::new(), Arc::default());
    let _listener = serve(&network, "two", &node).await;
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    calls.call(ECHO, Bytes::new(), PATIENCE).await.unwrap();

    let http = raw(&network, b"GET / HTTP/1.1\r\nhost: two\r\n\r\n").await;
    assert!(
        http.is_empty(),
        "a length of {} bytes is above any hello's",
        0x4745_5420
    );
    assert!(
        raw(&network, &[0, 0, 0, 1, 7]).await.is_empty(),
        "a frame without a head"
    );
    let frame = [&[0, 0, 0, 21, 1], &[0; 8][..], b"raftring\0\0\0\x01"].concat();
    assert!(
        !raw(&network, &frame).await.is_empty(),
        "another magic is refused by name"
    );

    let listener_lives = calls.call(ECHO, "still".into(), PATIENCE).await;
    assert_eq!(listener_lives, Ok("still".into()));
}

/// The reply to a hello with this body.
async fn reply_to(body: &[u8]) -> Result<Welcome, Refusal> {
    let network = Memory::new();
    let _listener = serve(&network, "two", &Arc::default()).await;
    let duplex = network.connect("two").await.unwrap();
    let mut stream = FrameStream::new(duplex, &limits(), 1024);
    stream.send(Frame::new(1, body.to_vec())).await.unwrap();
    let reply = within(stream.receive()).await.unwrap().unwrap();
    postcard::from_bytes(&reply.body[12..]).unwrap()
}

#[tokio::test]
async fn hellos_that_cannot_be_read_are_refused_by_name() {
    assert_eq!(
        reply_to(b"raftring\0\0\0\x01").await,
        Err(Refusal::WrongMagic)
    );
    let refusal = Refusal::WrongFormat {
        expected: hello::FORMAT,
        found: 9,
    };
    assert_eq!(reply_to(b"lockring\0\0\0\x09whatever").await, Err(refusal));
    let mut malformed = b"lockring".to_vec();
    malformed.extend_from_slice(&hello::FORMAT.to_be_bytes());
    malformed.push(0xff);
    assert_eq!(reply_to(&malformed).await, Err(Refusal::Malformed));
}

/// After its hello a peer is trusted to be a node, and not to be without faults.
#[tokio::test]
async fn a_frame_longer_than_the_bound_ends_the_connection_unread() {
    let (network, node) = (Memory::new(), Arc::default());
    let _listener = serve(&network, "two", &node).await;
    let (_, stream) = dialer(&network, 1)
        .open(&target(2, "two"), Purpose::Calls(0))
        .await
        .unwrap();
    let (mut sender, mut receiver) = stream.split();
    sender.raw().write_all(&[0xff; 64]).await.unwrap();
    assert!(matches!(
        within(receiver.receive()).await,
        Ok(None) | Err(_)
    ));
    assert!(node.seen.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_hello_is_closed_in_time() {
    let network = Memory::new();
    let _listener = serve(&network, "two", &Arc::default()).await;
    assert!(raw(&network, b"\0\0\0").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_hello_are_bounded() {
    let network = Memory::new();
    let _listener = serve(&network, "two", &Arc::default()).await;
    let mut held = Vec::new();
    for _ in 0..limits().greetings_max {
        held.push(network.connect("two").await.unwrap());
    }
    let one_too_many = dialer(&network, 1).greet(&target(2, "two")).await;
    assert!(
        matches!(one_too_many, Err(CallError::Unreachable { .. })),
        "{one_too_many:?}"
    );
    tokio::time::sleep(limits().greeting() * 2).await;
    assert!(dialer(&network, 1).greet(&target(2, "two")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_replies_to_the_hello_is_unreachable() {
    let network = Memory::new();
    let mut acceptor = network.listen("two").await.unwrap();
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    let _held = acceptor.accept().await.unwrap().open.await.unwrap();
    let error = calls
        .call(ECHO, Bytes::new(), Duration::from_secs(3600))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
}

/// The machine of the peer has vanished: nothing closes the connection, nothing arrives.
#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_given_up_after_a_deadline_and_dialled_again() {
    let network = Memory::new();
    let mut acceptor = network.listen("two").await.unwrap();
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    let _vanished = greet_and_hold(&mut acceptor).await;
    let silent = calls
        .call(ECHO, Bytes::new(), Duration::from_millis(100))
        .await;
    assert_eq!(silent, Err(CallError::TimedOut));
    link_is(&calls, |link| matches!(link, Link::Down(_))).await;
    let _back = greet_and_hold(&mut acceptor).await;
    link_is(&calls, |link| matches!(link, Link::Up(_))).await;
}

/// Callers wait outside the bounds, each until its own deadline; nothing piles up inside.
#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_costs_bounded_memory() {
    let network = Memory::new();
    let mut acceptor = network.listen("two").await.unwrap();
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    let _deaf = greet_and_hold(&mut acceptor).await;
    let body = Bytes::from(vec![0; 64 << 10]);
    let asked = (0..200).map(|_| calls.call(ECHO, body.clone(), Duration::from_millis(500)));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer, Err(CallError::TimedOut));
    }
    // What could not be written still waits as a call whose body is the caller's, not as bytes.
    let sent = 200 - calls.queued();
    let most = 1 + (limits().unwritten_bytes_max + (64 << 10)) / body.len();
    assert!(
        sent <= most,
        "{sent} calls were taken, at most {most} fit the buffers"
    );
    assert!(sent > 0);
}

/// The other way round: a caller that sends requests and does not read the replies.
#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_reading_is_not_read_from_any_more() {
    let (network, node) = (Memory::new(), Arc::<TestNode>::default());
    let _listener = serve(&network, "two", &node).await;
    let (_, stream) = dialer(&network, 1)
        .open(&target(2, "two"), Purpose::Calls(0))
        .await
        .unwrap();
    let (mut sender, _unread) = stream.split();
    let body = Bytes::from(vec![0; 64 << 10]);
    let sent = async {
        for id in 0..1_000 {
            let frame = Frame {
                kind: ECHO,
                id,
                within_ms: 60_000,
                body: body.clone(),
            };
            sender.send(frame).await.unwrap();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(300), sent)
            .await
            .is_err()
    );
    let seen = node.seen.lock().len();
    let most = 2 + (2 * (limits().unwritten_bytes_max + (64 << 10))) / body.len();
    assert!(
        seen <= most,
        "{seen} requests were taken, at most {most} fit the buffers"
    );
}
