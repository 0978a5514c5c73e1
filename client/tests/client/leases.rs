//! Leases that end alone, change their mode, or come many at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockring_client::wire::GoneCause;
use lockring_client::{Client, Error, LostCause, Mode, Session, State, Want};
use tokio::time::{Instant, timeout};

use crate::fake::{Act, Asked, Fake};

const PATIENCE: Duration = Duration::from_secs(10);
const SESSION: &str = "GET /v1/sessions/00000000000000000000000000000007";
const EVENTS: &str = "GET /v1/sessions/00000000000000000000000000000007/events";
const ACQUIRE: &str = "POST /v1/locks/db/acquire";
const RELEASE: &str = "POST /v1/locks/db/release";
const CLOSE: &str = "DELETE /v1/sessions/00000000000000000000000000000007";

fn granted(mode: &str, fence: u64, more: &str) -> Act {
    Act::ok(format!(
        r#"{{"lock":"db","session":"00000000000000000000000000000007","mode":"{mode}",
            "fence":{fence},"expires_in_ms":60000,"replayed":false{more}}}"#
    ))
}

fn session(leases: &str) -> Act {
    Act::ok(format!(
        r#"{{"session":"00000000000000000000000000000007","owner":"","ttl_ms":60000,
            "expires_in_ms":60000,"leases":[{leases}],"waits":[]}}"#
    ))
}

/// What a server answers that knows of one lease, and of no news.
fn well(asked: &Asked) -> Act {
    match &*asked.line {
        "POST /v1/sessions" => Act::Reply(
            201,
            String::new(),
            r#"{"session":"00000000000000000000000000000007","ttl_ms":60000,
                "expires_in_ms":60000}"#
                .to_owned(),
        ),
        SESSION => session(r#"{"lock":"db","mode":"exclusive","fence":3}"#),
        EVENTS => Act::Stream(String::new(), String::new()),
        ACQUIRE => granted("exclusive", 3, ""),
        RELEASE => Act::ok(r#"{"released":true}"#),
        CLOSE => Act::ok(r#"{"released":[]}"#),
        line if line.ends_with("/release") => Act::ok(r#"{"released":true}"#),
        other => panic!("nobody asks for {other}"),
    }
}

async fn open(fake: &Fake) -> Session {
    let client = Client::new([&*fake.url]).unwrap();
    client.session().open().await.unwrap()
}

#[tokio::test]
async fn a_broken_lease_is_lost_alone_with_the_operators_reason() {
    let fake = Fake::start(|asked| match &*asked.line {
        EVENTS => Act::Stream(
            String::new(),
            "event: lost\ndata: {\"event\":\"lost\",\"lock\":\"db\",\"mode\":\"exclusive\",\
             \"fence\":3,\"cause\":\"broken\",\"reason\":\"stuck\"}\n\n"
                .to_owned(),
        ),
        _ => well(asked),
    })
    .await;
    let session = open(&fake).await;
    let guard = session.acquire("db").await.unwrap();
    let broken = LostCause::Broken {
        reason: "stuck".to_owned(),
    };
    assert_eq!(timeout(PATIENCE, guard.lost()).await.unwrap(), broken);
    assert!(!guard.is_valid() && !session.remaining().is_zero());
    assert_eq!(session.state(), State::Healthy);
    assert_eq!(guard.state(), State::Lost(broken.clone()));
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, Error::Lost(cause) if cause == broken));
    assert_eq!(fake.seen().count(RELEASE), 0, "there is nothing to release");
}

#[tokio::test]
async fn a_lease_that_ended_while_nobody_listened_is_found_to_be_gone() {
    let fake = Fake::start(|asked| match &*asked.line {
        SESSION => session(""),
        _ => well(asked),
    })
    .await;
    let guard = open(&fake).await.acquire("db").await.unwrap();
    let cause = timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!(cause, LostCause::Released);
}

/// The story: a lease was transferred at the moment at which its session began to listen. The
/// session was then found not to have it any more, and its guard said `Released`.
#[tokio::test]
async fn a_lease_that_ended_before_anybody_listened_is_told_with_its_cause() {
    let fake = Fake::start(|asked| match &*asked.line {
        "POST /v1/sessions" => match well(asked) {
            Act::Reply(status, _, body) => {
                Act::Reply(status, "lockring-revision: 41\r\n".to_owned(), body)
            }
            _ => unreachable!("a session is opened"),
        },
        line if line == format!("{EVENTS}?after=41") => Act::Stream(
            String::new(),
            "id: 43\nevent: lost\ndata: {\"event\":\"lost\",\"lock\":\"db\",\
             \"mode\":\"exclusive\",\"fence\":3,\"cause\":\"transferred\"}\n\n"
                .to_owned(),
        ),
        _ => well(asked),
    })
    .await;
    let guard = open(&fake).await.acquire("db").await.unwrap();
    let cause = timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!(cause, LostCause::Transferred);
    assert_eq!(fake.seen().count(SESSION), 0, "nobody has to guess");
}

#[tokio::test]
async fn a_session_that_an_operator_ends_is_lost_with_the_reason() {
    let fake = Fake::start(|asked| match &*asked.line {
        EVENTS => Act::StreamAndClose(
            String::new(),
            "event: lost\ndata: {\"event\":\"lost\",\"lock\":\"db\",\"mode\":\"exclusive\",\
             \"fence\":3,\"cause\":\"ended_by_operator\",\"reason\":\"stuck\"}\n\n\
             event: ended\ndata: {\"event\":\"ended\",\"cause\":\"ended_by_operator\",\
             \"reason\":\"stuck\"}\n\n"
                .to_owned(),
        ),
        _ => well(asked),
    })
    .await;
    let session = open(&fake).await;
    let guard = session.acquire("db").await.unwrap();
    let ended = LostCause::Gone {
        cause: GoneCause::EndedByOperator,
        reason: Some("stuck".to_owned()),
    };
    assert!(ended.to_string().ends_with(": stuck"), "{ended}");
    assert_eq!(timeout(PATIENCE, guard.lost()).await.unwrap(), ended);
    assert_eq!(timeout(PATIENCE, session.lost()).await.unwrap(), ended);
}

#[tokio::test]
async fn a_holder_that_is_asked_for_its_lock_is_told_why_and_until_when() {
    let fake = Fake::start(|asked| match &*asked.line {
        EVENTS => Act::Stream(
            String::new(),
            "event: revoke_requested\ndata: {\"event\":\"revoke_requested\",\"lock\":\"db\",\
             \"fence\":3,\"reason\":\"maintenance\",\"deadline_in_ms\":5000}\n\n"
                .to_owned(),
        ),
        _ => well(asked),
    })
    .await;
    let guard = open(&fake).await.acquire("db").await.unwrap();
    let asked = timeout(PATIENCE, guard.revoke_requested()).await.unwrap();
    assert_eq!(asked.reason, "maintenance");
    let left = asked
        .deadline
        .saturating_duration_since(std::time::Instant::now());
    assert!(left <= Duration::from_secs(5) && guard.is_valid());
}

#[tokio::test]
async fn the_longest_hold_is_counted_here_one_in_a_hundred_short() {
    let fake = Fake::start(|asked| match &*asked.line {
        ACQUIRE => granted("exclusive", 3, r#","hold_ends_in_ms":300"#),
        _ => well(asked),
    })
    .await;
    let begun = Instant::now();
    let session = open(&fake).await;
    let hold = Duration::from_millis(300);
    let guard = session.lock("db").max_hold(hold).acquire().await.unwrap();
    assert!(guard.remaining() <= Duration::from_millis(297));
    let cause = timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!(cause, LostCause::MaxHold);
    assert!(begun.elapsed() >= Duration::from_millis(297));
    assert!(!guard.is_valid() && session.state() == State::Healthy);
    let asked = fake.seen().asked;
    let acquire = asked.iter().find(|asked| asked.line == ACQUIRE).unwrap();
    assert!(
        acquire.body.contains(r#""max_hold_ms":300"#),
        "{}",
        acquire.body
    );
}

#[tokio::test]
async fn an_upgrade_ends_the_shared_lease_and_its_other_guards() {
    let upgraded = AtomicBool::new(false);
    let fake = Fake::start(move |asked| match &*asked.line {
        ACQUIRE if asked.body.contains("shared") => granted("shared", 3, ""),
        ACQUIRE => {
            upgraded.store(true, Ordering::Relaxed);
            granted("exclusive", 4, "")
        }
        SESSION if upgraded.load(Ordering::Relaxed) => {
            session(r#"{"lock":"db","mode":"exclusive","fence":4}"#)
        }
        _ => well(asked),
    })
    .await;
    let session = open(&fake).await;
    let mut guard = session.lock("db").shared().acquire().await.unwrap();
    let other = session.lock("db").shared().acquire().await.unwrap();
    assert_eq!((guard.mode(), guard.fence()), (Mode::Shared, other.fence()));
    guard.upgrade(Duration::from_secs(1)).await.unwrap();
    assert_eq!((guard.mode(), guard.fence().number()), (Mode::Exclusive, 4));
    assert_eq!(other.lost().await, LostCause::Replaced);
    drop(other);
    assert!(guard.is_valid());
    guard.release().await.unwrap();
    let asked = fake.seen().asked;
    let releases = asked.iter().filter(|asked| asked.line == RELEASE);
    let bodies = releases.map(|asked| &*asked.body).collect::<Vec<_>>();
    assert!(
        bodies.len() == 1 && bodies[0].contains(r#""fence":4"#),
        "{bodies:?}"
    );
}

#[tokio::test]
async fn many_locks_come_in_one_call_and_go_one_by_one() {
    let fake = Fake::start(|asked| match &*asked.line {
        "POST /v1/acquire" => Act::ok(
            r#"{"session":"00000000000000000000000000000007","expires_in_ms":60000,
                "replayed":false,"leases":[{"lock":"a","mode":"exclusive","fence":5},
                {"lock":"b","mode":{"permits":1,"of":3},"fence":6}]}"#,
        ),
        SESSION => session(
            r#"{"lock":"a","mode":"exclusive","fence":5},
               {"lock":"b","mode":{"permits":1,"of":3},"fence":6}"#,
        ),
        _ => well(asked),
    })
    .await;
    let session = open(&fake).await;
    let wants = [Want::permits("b", 1, 3), Want::exclusive("a")];
    let guards = session.acquire_all(wants).await.unwrap();
    assert!(guards.is_valid());
    let fences = guards.iter().map(|guard| guard.fence().number());
    assert_eq!(fences.collect::<Vec<_>>(), [5, 6]);
    assert_eq!(
        guards.get("b").unwrap().mode(),
        Mode::Permits { permits: 1, of: 3 }
    );
    guards.release().await.unwrap();
    let seen = fake.seen();
    let asked = seen
        .asked
        .iter()
        .find(|asked| asked.line == "POST /v1/acquire");
    let wanted = r#"[{"lock":"b","mode":{"permits":1,"of":3}},{"lock":"a"}]"#;
    assert!(
        asked.unwrap().body.contains(wanted),
        "{}",
        asked.unwrap().body
    );
    for lock in ["a", "b"] {
        assert_eq!(seen.count(&format!("POST /v1/locks/{lock}/release")), 1);
    }
}

#[tokio::test]
async fn a_client_is_settled_when_its_sessions_are_closed() {
    let fake = Fake::start(well).await;
    let client = Client::new([&*fake.url]).unwrap();
    timeout(PATIENCE, client.settled()).await.unwrap();
    let session = client.session().open().await.unwrap();
    drop(session.acquire("db").await.unwrap());
    drop(session);
    timeout(PATIENCE, client.settled()).await.unwrap();
    assert_eq!(fake.seen().count(CLOSE), 1);
}
