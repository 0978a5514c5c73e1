use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::*;

async fn pair() -> (Listener, Arc<TestNode>, Calls) {
    let (network, node) = (Memory::new(), Arc::default());
    let listener = serve(&network, "two", &node).await;
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    (listener, node, calls)
}

#[tokio::test]
async fn a_call_is_answered_or_fails_in_the_peers_words() {
    let (_listener, _, calls) = pair().await;
    let answer = calls.call(ECHO, "hi".into(), PATIENCE).await;
    assert_eq!(answer, Ok("hi".into()));
    let answer = calls.call(FAIL, "no leader".into(), PATIENCE).await;
    assert_eq!(answer, Err(CallError::Remote("no leader".into())));
}

#[tokio::test]
async fn a_slow_call_holds_up_no_other() {
    let (_listener, _, calls) = pair().await;
    let hanging = calls.clone();
    let hanging = tokio::spawn(async move { hanging.call(HANG, Bytes::new(), PATIENCE).await });
    let answer = within(calls.call(ECHO, "quick".into(), PATIENCE)).await;
    assert_eq!(answer, Ok("quick".into()));
    assert!(!hanging.is_finished());
    hanging.abort();
}

#[tokio::test(start_paused = true)]
async fn calls_start_in_order_and_each_gets_its_own_answer() {
    let (_listener, node, calls) = pair().await;
    let bodies: Vec<Bytes> = (0..200_u8)
        .map(|i| vec![i.wrapping_mul(7) % 40, i].into())
        .collect();
    let asked = bodies
        .iter()
        .map(|body| calls.call(SLEEP, body.clone(), PATIENCE));
    let answers = within(join_all(asked)).await;
    for (answer, body) in answers.into_iter().zip(&bodies) {
        assert_eq!(answer.as_ref(), Ok(body));
    }
    let seen: Vec<Bytes> = node
        .seen
        .lock()
        .iter()
        .map(|(_, body)| body.clone())
        .collect();
    assert_eq!(seen, bodies);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_the_connection_goes_on() {
    let (_listener, _, calls) = pair().await;
    calls.call(ECHO, Bytes::new(), PATIENCE).await.unwrap();
    let mut link = calls.link();
    link.mark_unchanged();
    let late = within(calls.call(HANG, Bytes::new(), Duration::from_millis(30))).await;
    assert_eq!(late, Err(CallError::TimedOut));
    assert!(late.unwrap_err().may_have_been_served());
    assert_eq!(
        calls.call(ECHO, "on".into(), PATIENCE).await,
        Ok("on".into())
    );
    assert!(!link.has_changed().unwrap());
}

/// A peer that is slow must not be taken for one that has vanished: it says at the deadline that
/// it has no answer, so the connection, and the other calls on it, go on.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_only_slow_keeps_its_connection() {
    let (_listener, _, calls) = pair().await;
    let other = calls.clone();
    let other = tokio::spawn(async move { other.call(HANG, Bytes::new(), PATIENCE * 2).await });
    for _ in 0..20 {
        let late = calls
            .call(HANG, Bytes::new(), Duration::from_millis(200))
            .await;
        assert_eq!(late, Err(CallError::TimedOut));
    }
    // Past the point where silence would have been noticed.
    let last = calls.call(SLEEP, vec![255].into(), PATIENCE).await;
    assert_eq!(last, Ok(vec![255].into()));
    assert!(!other.is_finished());
    other.abort();
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unreachable_at_once() {
    let network = Memory::new();
    let calls = dialer(&network, 1).calls(target(2, "nobody"), 0);
    let forever = Duration::from_secs(3600);
    for _ in 0..100 {
        let error = within(calls.call(ECHO, Bytes::new(), forever))
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
        assert!(!error.may_have_been_served());
    }
}

#[tokio::test]
async fn calls_go_on_after_the_peer_has_restarted() {
    let (network, node) = (Memory::new(), Arc::default());
    let listener = serve(&network, "two", &node).await;
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    let in_flight = calls.clone();
    let in_flight = tokio::spawn(async move { in_flight.call(HANG, Bytes::new(), PATIENCE).await });
    assert_eq!(
        calls.call(ECHO, "before".into(), PATIENCE).await,
        Ok("before".into())
    );

    drop(listener);
    let lost = within(in_flight).await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::Lost { .. }), "{lost:?}");
    assert!(lost.may_have_been_served());
    link_is(&calls, |link| matches!(link, Link::Down(_))).await;

    let _listener = serve(&network, "two", &node).await;
    link_is(&calls, |link| matches!(link, Link::Up(_))).await;
    assert_eq!(
        calls.call(ECHO, "after".into(), PATIENCE).await,
        Ok("after".into())
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_spaced_out_and_a_hint_ends_the_pause() {
    let network = Memory::new();
    let limits = Limits {
        backoff_ms_min: 1_000,
        backoff_ms_max: 3_600_000,
        ..limits()
    };
    let dialer = Dialer::new(Arc::new(network.clone()), Arc::new(identity(1)), limits);
    let calls = dialer.calls(target(2, "two"), 0);
    link_is(&calls, |link| matches!(link, Link::Down(_))).await;
    // After an hour the pauses are long: when one has just begun, a peer that comes back waits.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let mut link = calls.link();
    link.mark_unchanged();
    link.changed().await.unwrap();
    let _listener = serve(&network, "two", &Arc::default()).await;
    assert!(
        tokio::time::timeout(Duration::from_secs(60), link.changed())
            .await
            .is_err()
    );
    calls.hint_reachable();
    let up = tokio::time::timeout(Duration::from_millis(100), link.changed()).await;
    assert!(up.is_ok());
    assert!(matches!(*link.borrow(), Link::Up(_)));
}

#[tokio::test]
async fn a_body_that_is_too_long_harms_only_its_own_call() {
    let (_listener, _, calls) = pair().await;
    let bytes_max = limits().body_bytes_max;
    let long = vec![0; bytes_max + 1].into();
    let bytes = bytes_max + 1;
    assert_eq!(
        calls.call(ECHO, long, PATIENCE).await,
        Err(CallError::TooLong { bytes, bytes_max })
    );
    let answer = calls.call(BLOAT, Bytes::new(), PATIENCE).await;
    assert!(matches!(answer, Err(CallError::Remote(_))), "{answer:?}");
    let longest: Bytes = vec![1; bytes_max].into();
    assert_eq!(
        calls.call(ECHO, longest.clone(), PATIENCE).await,
        Ok(longest)
    );
}

#[tokio::test]
async fn thousands_of_calls_in_flight_are_all_answered() {
    let network = Tcp;
    let node = Arc::default();
    let listener = serve(&network, "127.0.0.1:0", &node).await;
    let calls = dialer(&network, 1).calls(target(2, listener.address()), 0);
    let asked = (0..5_000_u32).map(|i| {
        let calls = calls.clone();
        async move {
            calls
                .call(ECHO, i.to_be_bytes().to_vec().into(), PATIENCE)
                .await
                .unwrap()
        }
    });
    let answers: BTreeSet<Bytes> = within(join_all(asked)).await.into_iter().collect();
    assert_eq!(answers.len(), 5_000);
}

#[tokio::test]
async fn a_shutdown_answers_the_calls_under_way_and_ends_streams() {
    let (network, node) = (Memory::new(), Arc::default());
    let listener = serve(&network, "two", &node).await;
    let dialer = dialer(&network, 1);
    let calls = dialer.calls(target(2, "two"), 0);
    let mut stream = dialer.stream(&target(2, "two"), 0).await.unwrap();
    let slow = calls.call(SLEEP, vec![100].into(), PATIENCE);
    let shutdown = async {
        while node.seen.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        listener.shutdown().await;
    };
    let (answer, ()) = within(futures_util::future::join(slow, shutdown)).await;
    assert_eq!(answer, Ok(vec![100].into()));
    assert_eq!(within(stream.receive()).await.unwrap(), None);
    assert!(dialer.greet(&target(2, "two")).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_call_that_hangs() {
    let (listener, node, calls) = pair().await;
    let hanging = tokio::spawn(async move { calls.call(HANG, Bytes::new(), PATIENCE * 6).await });
    let hangs = async {
        while node.seen.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(hangs).await;
    within(listener.shutdown()).await;
    assert!(within(hanging).await.unwrap().is_err());
}
