use super::*;

/// What node 1 is told when it says `hello` after `change`d it.
async fn greeted(change: impl FnOnce(&mut Identity)) -> Result<Welcome, CallError> {
    let network = Memory::new();
    let node = Arc::new(TestNode::default());
    node.members.lock().extend([(1, 100), (3, 300)]);
    let _listener = serve(&network, "two", &node).await;
    let mut identity = identity(1);
    change(&mut identity);
    let dialer = Dialer::new(Arc::new(network), Arc::new(identity), limits());
    within(dialer.greet(&target(2, "two"))).await
}

#[tokio::test]
async fn a_member_is_welcomed() {
    let welcome = Welcome {
        id: 2,
        incarnation: 200,
        initialised: true,
    };
    assert_eq!(greeted(|_| {}).await, Ok(welcome));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let refused = |refusal| Err(CallError::Refused(refusal));
    let found = "other".to_owned();
    assert_eq!(
        greeted(|identity| identity.cluster.clone_from(&found)).await,
        refused(Refusal::WrongCluster {
            expected: "test".into(),
            found: "other".into()
        })
    );
    assert_eq!(
        greeted(|identity| identity.fingerprint = 8).await,
        refused(Refusal::WrongFingerprint {
            expected: 7,
            found: 8
        })
    );
    assert_eq!(
        greeted(|identity| identity.id = 4).await,
        refused(Refusal::NotAMember(4))
    );
    assert_eq!(
        greeted(|identity| identity.incarnation = 101).await,
        refused(Refusal::WrongIncarnation {
            id: 1,
            expected: 100,
            found: 101
        })
    );
}

#[tokio::test]
async fn a_node_that_is_not_the_one_meant_refuses() {
    let network = Memory::new();
    let _listener = serve(&network, "two", &Arc::default()).await;
    let greeted = dialer(&network, 1).greet(&target(3, "two")).await;
    let refusal = Refusal::WrongNode {
        expected: 2,
        found: 3,
    };
    assert_eq!(greeted, Err(CallError::Refused(refusal)));
}

#[tokio::test]
async fn the_dialer_refuses_an_incarnation_that_it_does_not_expect() {
    let network = Memory::new();
    let _listener = serve(&network, "two", &Arc::default()).await;
    let target = Target {
        incarnation: Some(199),
        ..target(2, "two")
    };
    let expected = Refusal::WrongIncarnation {
        id: 2,
        expected: 199,
        found: 200,
    };
    let expected = CallError::Refused(expected);
    let dialer = dialer(&network, 1);
    assert_eq!(dialer.greet(&target).await, Err(expected.clone()));
    assert_eq!(
        dialer.stream(&target, 0).await.map(drop),
        Err(expected.clone())
    );
    let calls = dialer.calls(target, 0);
    assert_eq!(
        calls.call(ECHO, Bytes::new(), PATIENCE).await,
        Err(expected)
    );
}

#[tokio::test]
async fn calls_to_a_peer_that_refuses_say_so_and_succeed_once_it_agrees() {
    let network = Memory::new();
    let node = Arc::new(TestNode::default());
    node.members.lock().push((3, 300));
    let _listener = serve(&network, "two", &node).await;
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    let refused = calls.call(ECHO, Bytes::new(), PATIENCE).await;
    assert_eq!(refused, Err(CallError::Refused(Refusal::NotAMember(1))));
    node.members.lock().push((1, 100));
    link_is(&calls, |link| matches!(link, Link::Up(_))).await;
    assert_eq!(
        calls.call(ECHO, "hi".into(), PATIENCE).await,
        Ok("hi".into())
    );
}

#[tokio::test]
async fn more_connections_than_the_bound_are_refused_by_name() {
    let network = Memory::new();
    let node = Arc::new(TestNode::default());
    let limits = Limits {
        connections_max: 2,
        ..limits()
    };
    let listener = Listener::start(
        &network,
        "two",
        Arc::new(identity(2)),
        node.clone(),
        node.clone(),
        limits,
    );
    let _listener = listener.await.unwrap();
    let (dialer, target) = (dialer(&network, 1), target(2, "two"));
    let first = dialer.stream(&target, 0).await.unwrap();
    let _second = dialer.stream(&target, 0).await.unwrap();
    let third = dialer.stream(&target, 0).await.map(drop);
    assert_eq!(third, Err(CallError::Refused(Refusal::TooManyConnections)));
    drop(first);
    let room = async { while dialer.stream(&target, 0).await.is_err() {} };
    within(room).await;
}
