use super::*;

#[tokio::test]
async fn a_call_is_answered_or_fails_in_the_peers_words() {
    let (network, node) = (Memory::new(), Arc::default());
    let _listener = serve(&network, "two", &node).await;
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    let answer = calls.call(ECHO, "hi".into(), PATIENCE).await;
    assert_eq!(answer, Ok("hi".into()));
    let answer = calls.call(FAIL, "no leader".into(), PATIENCE).await;
    assert_eq!(answer, Err(CallError::Remote("no leader".into())));
}

#[tokio::test]
async fn a_slow_call_holds_up_no_other() {
    let (network, node) = (Memory::new(), Arc::default());
    let _listener = serve(&network, "two", &node).await;
    let calls = dialer(&network, 1).calls(target(2, "two"), 0);
    let hanging = calls.clone();
    let hanging = tokio::spawn(async move { hanging.call(HANG, Bytes::new(), PATIENCE).await });
    let answer = within(calls.call(ECHO, "quick".into(), PATIENCE)).await;
    assert_eq!(answer, Ok("quick".into()));
    assert!(!hanging.is_finished());
    hanging.abort();
}
