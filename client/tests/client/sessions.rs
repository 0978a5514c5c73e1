//! Sessions and guards: kept alive, lost by the local clock, released once and only once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockring_client::wire::{ErrorCode, GoneCause, Problem};
use lockring_client::{Client, Error, LostCause, Session, State};
use tokio::time::{Instant, timeout};

use crate::fake::{Act, Asked, Fake};

const PATIENCE: Duration = Duration::from_secs(10);
const RENEW: &str = "POST /v1/sessions/00000000000000000000000000000007/renew";
const CLOSE: &str = "DELETE /v1/sessions/00000000000000000000000000000007";
const ACQUIRE: &str = "POST /v1/locks/db/acquire";
const RELEASE: &str = "POST /v1/locks/db/release";
const EVENTS: &str = "GET /v1/sessions/00000000000000000000000000000007/events";
const LOOK: &str = "GET /v1/locks/db";

fn granted(fence: u64) -> Act {
    Act::ok(format!(
        r#"{{"lock":"db","session":"00000000000000000000000000000007","mode":"exclusive",
            "fence":{fence},"expires_in_ms":500,"replayed":false}}"#
    ))
}

/// What a server with a session of `ttl_ms` answers when all is well.
fn well(asked: &Asked, ttl_ms: u64) -> Act {
    match &*asked.line {
        "POST /v1/sessions" => Act::Reply(
            201,
            String::new(),
            format!(
                r#"{{"session":"00000000000000000000000000000007","ttl_ms":{ttl_ms},
                    "expires_in_ms":{ttl_ms}}}"#
            ),
        ),
        RENEW => Act::ok(format!(r#"{{"expires_in_ms":{ttl_ms}}}"#)),
        CLOSE => Act::ok(r#"{"released":[{"lock":"db","fence":3}]}"#),
        ACQUIRE => granted(3),
        RELEASE => Act::ok(r#"{"released":true}"#),
        LOOK => {
            Act::ok(r#"{"lock":"db","state":"free","holders":[],"queue":[],"highest_fence":null}"#)
        }
        EVENTS => Act::Hang,
        other => panic!("nobody asks for {other}"),
    }
}

async fn open(fake: &Fake) -> Session {
    let client = Client::new([&*fake.url]).unwrap();
    client
        .session()
        .ttl(Duration::from_millis(500))
        .owner("test")
        .open()
        .await
        .unwrap()
}

async fn lost(session: &Session) -> LostCause {
    timeout(PATIENCE, session.lost())
        .await
        .expect("the session must be lost")
}

#[tokio::test]
async fn a_session_outlives_its_ttl_while_it_is_wanted_and_is_closed_after() {
    let fake = Fake::start(|asked| well(asked, 500)).await;
    let session = open(&fake).await;
    let begun = Instant::now();
    let other = session.clone();
    fake.until("five renewals", |seen| seen.count(RENEW) >= 5)
        .await;
    assert!(
        begun.elapsed() > session.ttl(),
        "a renewal is due after a third of the ttl"
    );
    assert_eq!(session.state(), State::Healthy);
    drop(session);
    let renewals = fake.seen().count(RENEW);
    fake.until("a clone keeps it alive", |seen| {
        seen.count(RENEW) > renewals
    })
    .await;
    assert_eq!(fake.seen().count(CLOSE), 0);
    drop(other);
    fake.until("it is closed", |seen| seen.count(CLOSE) == 1)
        .await;
}

#[tokio::test]
async fn closing_tells_what_was_released_and_ends_the_guards() {
    let fake = Fake::start(|asked| well(asked, 500)).await;
    let session = open(&fake).await;
    let guard = session.acquire("db").await.unwrap();
    let closed = session.close().await.unwrap();
    assert_eq!(
        (&*closed.released[0].lock, closed.released[0].fence),
        ("db", 3)
    );
    assert_eq!(
        timeout(PATIENCE, guard.lost()).await.unwrap(),
        LostCause::Closed
    );
    assert!(!guard.is_valid());
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, Error::Lost(LostCause::Closed)), "{error}");
}

#[tokio::test]
async fn without_answers_a_lease_is_lost_before_its_ttl_has_passed() {
    let fake = Fake::start(|asked| match &*asked.line {
        RENEW | CLOSE => Act::Hang,
        _ => well(asked, 500),
    })
    .await;
    let before = Instant::now();
    let session = open(&fake).await;
    let guard = session.acquire("db").await.unwrap();
    assert!(guard.is_valid() && guard.remaining() <= Duration::from_millis(495));
    let mut states = session.watch();
    timeout(
        PATIENCE,
        states.wait_for(|state| matches!(state, State::AtRisk(_))),
    )
    .await
    .expect("it is at risk first")
    .unwrap();
    assert_eq!(
        timeout(PATIENCE, guard.lost()).await.unwrap(),
        LostCause::Unreachable
    );
    assert!(
        before.elapsed() >= Duration::from_millis(495),
        "not before its time"
    );
    assert!(!guard.is_valid());
    fake.until("it is closed, should it still live", |seen| {
        seen.count(CLOSE) >= 1
    })
    .await;
    let error = session.acquire("db").await.unwrap_err();
    assert!(
        matches!(error, Error::Lost(LostCause::Unreachable)),
        "{error}"
    );
}

#[tokio::test]
async fn a_session_at_risk_recovers() {
    let silent = Arc::new(AtomicBool::new(true));
    let fake = Fake::start({
        let silent = silent.clone();
        move |asked| match &*asked.line {
            RENEW if silent.load(Ordering::Relaxed) => Act::code(ErrorCode::Unready),
            _ => well(asked, 2_000),
        }
    })
    .await;
    let session = open(&fake).await;
    let mut states = session.watch();
    let at_risk = states.wait_for(|state| matches!(state, State::AtRisk(_)));
    timeout(PATIENCE, at_risk).await.unwrap().unwrap();
    silent.store(false, Ordering::Relaxed);
    let healthy = states.wait_for(|state| matches!(state, State::Healthy));
    timeout(PATIENCE, healthy).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_renewal_that_finds_the_session_gone_tells_the_cause() {
    let fake = Fake::start(|asked| match &*asked.line {
        RENEW => {
            let mut gone = Problem::new(ErrorCode::SessionGone, "an operator ended it");
            gone.cause = Some(GoneCause::EndedByOperator);
            Act::problem(&gone)
        }
        _ => well(asked, 500),
    })
    .await;
    let session = open(&fake).await;
    let guard = session.acquire("db").await.unwrap();
    assert_eq!(
        lost(&session).await,
        LostCause::Gone {
            cause: GoneCause::EndedByOperator,
            reason: None,
        }
    );
    assert!(!guard.is_valid());
    assert_eq!(session.remaining(), Duration::ZERO);
    let error = session.close().await.unwrap_err();
    assert!(
        matches!(error, Error::Lost(LostCause::Gone { .. })),
        "{error}"
    );
    assert_eq!(
        fake.seen().count(CLOSE),
        0,
        "there is nothing left to close"
    );
}

#[tokio::test]
async fn a_dropped_acquire_hangs_up_and_a_lease_granted_meanwhile_is_released() {
    let fake = Fake::start(|asked| match &*asked.line {
        ACQUIRE => Act::Hang,
        LOOK => Act::ok(
            r#"{"lock":"db","state":"held","highest_fence":8,"queue":[],"holders":[{
                "session":"00000000","owner":"test","mode":"exclusive","fence":8,"held_ms":1,
                "expires_in_ms":400}]}"#,
        ),
        _ => well(asked, 500),
    })
    .await;
    let session = open(&fake).await;
    let wait = Duration::from_secs(60);
    {
        let acquire = session.acquire_for("db", wait);
        tokio::pin!(acquire);
        tokio::select! {
            got = &mut acquire => panic!("nobody grants it: {got:?}"),
            _ = fake.until("it waits", |seen| seen.count(ACQUIRE) == 1) => {}
        }
        assert!(fake.seen().hung_up.is_empty());
    }
    fake.until("its connection is closed", |seen| seen.hung_up.len() == 1)
        .await;
    let seen = fake
        .until("the lease is released", |seen| seen.count(RELEASE) == 1)
        .await;
    let release = seen
        .asked
        .iter()
        .find(|asked| asked.line == RELEASE)
        .unwrap();
    assert!(release.body.contains(r#""fence":8"#), "{}", release.body);
}

#[tokio::test]
async fn a_place_that_is_still_there_is_looked_at_again() {
    let looks = Mutex::new(vec![
        r#"{"lock":"db","state":"held","highest_fence":8,"holders":[],"queue":[{
            "session":"00000000","owner":"test","mode":"exclusive","ticket":1,"waited_ms":1,
            "ends_in_ms":9}]}"#,
        r#"{"lock":"db","state":"free","highest_fence":null,"holders":[],"queue":[]}"#,
        r#"{"lock":"db","state":"held","highest_fence":9,"queue":[],"holders":[{
            "session":"00000000","owner":"test","mode":"exclusive","fence":9,"held_ms":1,
            "expires_in_ms":400}]}"#,
    ]);
    let fake = Fake::start(move |asked| match &*asked.line {
        ACQUIRE => Act::Hang,
        LOOK => Act::ok(looks.lock().unwrap().remove(0)),
        _ => well(asked, 500),
    })
    .await;
    let session = open(&fake).await;
    let acquire = session.acquire("db");
    tokio::select! {
        got = acquire => panic!("nobody grants it: {got:?}"),
        _ = fake.until("it waits", |seen| seen.count(ACQUIRE) == 1) => {}
    }
    let seen = fake
        .until("the lease is released", |seen| seen.count(RELEASE) == 1)
        .await;
    assert_eq!(seen.count(LOOK), 3);
}

#[tokio::test]
async fn a_dropped_guard_is_released_before_the_lock_is_asked_for_again() {
    let fake = Fake::start(|asked| well(asked, 2_000)).await;
    let session = open(&fake).await;
    for _ in 0..20 {
        drop(session.acquire("db").await.unwrap());
    }
    session
        .acquire("db")
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    let seen = fake.seen();
    let order = seen.asked.iter().map(|asked| &*asked.line);
    let order = order
        .filter(|line| [ACQUIRE, RELEASE].contains(line))
        .collect::<Vec<_>>();
    assert_eq!(order, [[ACQUIRE, RELEASE]; 21].concat());
}

#[tokio::test]
async fn two_guards_of_one_lease_release_it_once() {
    let fake = Fake::start(|asked| well(asked, 2_000)).await;
    let session = open(&fake).await;
    let one = session.acquire("db").await.unwrap();
    let two = session.try_acquire("db").await.unwrap();
    assert_eq!(one.fence(), two.fence());
    one.release().await.unwrap();
    assert_eq!(fake.seen().count(RELEASE), 0);
    assert!(two.is_valid());
    two.release().await.unwrap();
    assert_eq!(fake.seen().count(RELEASE), 1);
}

#[tokio::test]
async fn a_release_that_is_dropped_goes_on_in_the_background() {
    let first = AtomicBool::new(true);
    let fake = Fake::start(move |asked| match &*asked.line {
        RELEASE if first.swap(false, Ordering::Relaxed) => Act::Hang,
        _ => well(asked, 2_000),
    })
    .await;
    let session = open(&fake).await;
    let guard = session.acquire("db").await.unwrap();
    tokio::select! {
        released = guard.release() => panic!("nobody answers it: {released:?}"),
        _ = fake.until("it is sent", |seen| seen.count(RELEASE) == 1) => {}
    }
    fake.until("it is sent again", |seen| seen.count(RELEASE) == 2)
        .await;
    session
        .acquire("db")
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_try_says_who_holds_the_lock_and_leaves_nothing_behind() {
    let fake = Fake::start(|asked| match &*asked.line {
        ACQUIRE => Act::code(ErrorCode::Held),
        _ => well(asked, 500),
    })
    .await;
    let session = open(&fake).await;
    assert!(session.try_acquire("db").await.unwrap_err().is_held());
    let renewals = fake.seen().count(RENEW);
    fake.until("time passes", |seen| seen.count(RENEW) >= renewals + 2)
        .await;
    let seen = fake.seen();
    assert_eq!((seen.count(LOOK), seen.count(RELEASE)), (0, 0));
}

#[tokio::test]
async fn a_guard_may_cross_tasks_and_keeps_its_session_alive() {
    let fake = Fake::start(|asked| well(asked, 500)).await;
    let session = open(&fake).await;
    let acquire = tokio::spawn(async move { session.acquire("db").await });
    let guard = acquire.await.unwrap().unwrap();
    fake.until("it is renewed", |seen| seen.count(RENEW) >= 4)
        .await;
    assert!(guard.is_valid());
    tokio::spawn(guard.release()).await.unwrap().unwrap();
    fake.until("it is closed", |seen| seen.count(CLOSE) == 1)
        .await;
}
