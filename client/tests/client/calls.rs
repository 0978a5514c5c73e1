//! One call: which server it goes to, under which key it is repeated, what its failure says.

use std::time::Duration;

use lockring_client::wire::{
    Acquire, Certainty, ErrorCode, LocksQuery, OpenSession, Problem, Release,
};
use lockring_client::{Client, Error};

use crate::fake::{Act, Fake, Seen};

const OPENED: &str = r#"{"session":"00000000000000000000000000000007","ttl_ms":10000,
    "expires_in_ms":10000,"replayed":false}"#;
const CLUSTER: &str = r#"{"cluster":"c","leader":1,"term":3,"nodes":[]}"#;
const GRANTED: &str = r#"{"lock":"db","session":"00000000000000000000000000000007",
    "mode":"exclusive","fence":9,"expires_in_ms":10000,"replayed":true}"#;

fn client(fake: &Fake) -> Client {
    Client::new([&*fake.url]).unwrap()
}

fn keys(seen: &Seen) -> Vec<&str> {
    seen.asked
        .iter()
        .map(|asked| asked.key.as_deref().expect("it carries a key"))
        .collect()
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn unready_and_a_cut_connection_are_repeated_under_the_same_key() {
    let opened = || Act::Reply(201, String::new(), OPENED.to_owned());
    let acts = [
        Act::code(ErrorCode::Unready),
        Act::Cut,
        Act::code(ErrorCode::Indeterminate),
    ];
    let fake = Fake::script(acts.into_iter().chain([opened()])).await;
    let client = client(&fake);
    let answer = client.open_session(&OpenSession::default()).await.unwrap();
    assert_eq!(answer.ttl_ms, 10_000);
    let seen = fake.seen();
    let first = keys(&seen)[0];
    assert_eq!(keys(&seen), [first; 4]);

    client.open_session(&OpenSession::default()).await.unwrap();
    assert_ne!(keys(&fake.seen())[4], first, "another call has another key");
}

#[tokio::test]
async fn a_refusal_that_stands_is_told_at_once_with_its_body() {
    let mut held = Problem::new(ErrorCode::Held, "held by billing-7");
    held.queue = Some(4);
    let fake = Fake::script([Act::problem(&held)]).await;
    let error = client(&fake)
        .acquire_lock("db", &Acquire::default())
        .await
        .unwrap_err();
    assert!(error.is_held());
    assert_eq!(error.problem().unwrap().queue, Some(4));
    assert_eq!(error.certainty(), Certainty::NoEffect);
    assert_eq!(error.to_string(), "held by billing-7 [held]");
    assert_eq!(fake.seen().asked.len(), 1);
}

#[tokio::test]
async fn a_limit_is_tried_again_under_a_new_key_if_the_server_says_when() {
    let mut soon = Problem::new(ErrorCode::Limit, "too many at once");
    soon.retry_after_ms = Some(1);
    let fixed = Problem::new(ErrorCode::Limit, "1000000 sessions, at most 1000000");
    let fake = Fake::script([Act::problem(&soon), Act::problem(&fixed)]).await;
    let error = client(&fake)
        .open_session(&OpenSession::default())
        .await
        .unwrap_err();
    assert_eq!(error.problem().unwrap().detail, fixed.detail);
    let seen = fake.seen();
    assert_eq!(seen.asked.len(), 2);
    assert_ne!(keys(&seen)[0], keys(&seen)[1]);
}

#[tokio::test]
async fn a_place_is_kept_by_repeating_the_call_until_it_is_granted() {
    let place = r#"{"ticket":5,"position":1,"retry_after_ms":0}"#;
    let queued = || Act::Reply(202, String::new(), place.to_owned());
    let fake = Fake::script([queued(), Act::Cut, queued(), Act::ok(GRANTED)]).await;
    let ask = Acquire {
        wait_ms: Some(60_000),
        ..Acquire::default()
    };
    let granted = client(&fake).acquire_lock("a/b", &ask).await.unwrap();
    assert_eq!((granted.fence, granted.replayed), (9, true));
    let seen = fake.seen();
    assert_eq!(keys(&seen), [keys(&seen)[0]; 4]);
    assert!(
        seen.asked
            .iter()
            .all(|asked| asked.body == r#"{"wait_ms":60000}"#)
    );
    assert_eq!(seen.count("POST /v1/locks/a%2Fb/acquire"), 4);
}

#[tokio::test]
async fn the_leader_is_followed_and_left_when_it_is_gone() {
    let leader = Fake::script([Act::ok(CLUSTER)]).await;
    let hint = format!("lockring-leader: {}\r\n", leader.url);
    let follower = Fake::script([Act::Reply(200, hint, CLUSTER.to_owned())]).await;
    let client = Client::new([&*follower.url]).unwrap();
    for _ in 0..3 {
        client.cluster().await.unwrap();
    }
    assert_eq!(
        (follower.seen().asked.len(), leader.seen().asked.len()),
        (1, 2)
    );

    drop(leader);
    client.cluster().await.unwrap();
    client.cluster().await.unwrap();
    assert_eq!(
        follower.seen().asked.len(),
        3,
        "the hint to the dead leader is passed over"
    );
}

#[tokio::test]
async fn an_unreachable_server_is_passed_over() {
    let fake = Fake::script([Act::ok(CLUSTER)]).await;
    let client = Client::new([nobody().await, fake.url.clone()]).unwrap();
    assert_eq!(client.cluster().await.unwrap().term, 3);
}

#[tokio::test]
async fn a_silent_server_is_passed_over() {
    let silent = Fake::script([Act::Hang]).await;
    let fake = Fake::script([Act::ok(CLUSTER)]).await;
    let client = Client::builder()
        .endpoint(&*silent.url)
        .endpoint(&*fake.url)
        .attempt_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    client.cluster().await.unwrap();
    silent
        .until("the silent connection is closed", |seen| {
            seen.hung_up == [0]
        })
        .await;
}

#[tokio::test]
async fn a_connection_is_used_again_and_one_that_was_closed_meanwhile_is_replaced() {
    let close = Act::ReplyAndClose(200, String::new(), CLUSTER.to_owned());
    let fake = Fake::script([Act::ok(CLUSTER), close, Act::ok(CLUSTER)]).await;
    let client = client(&fake);
    for _ in 0..4 {
        client.cluster().await.unwrap();
    }
    let seen = fake.seen();
    let over = seen
        .asked
        .iter()
        .map(|asked| asked.connection)
        .collect::<Vec<_>>();
    assert_eq!(over, [0, 0, 1, 1]);
}

#[tokio::test]
async fn no_answer_says_whether_anything_may_have_come_of_it() {
    let brief = |url: &str| {
        let timeout = Duration::from_secs(1);
        Client::builder()
            .endpoint(url)
            .timeout(timeout)
            .build()
            .unwrap()
    };
    let release = Release {
        session: "7".repeat(32),
        fence: 9,
    };
    let error = brief(&nobody().await)
        .release_lock("db", &release)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::NoAnswer {
                certainty: Certainty::NoEffect,
                ..
            }
        ),
        "{error}"
    );

    let fake = Fake::script([Act::Cut, Act::code(ErrorCode::Unready)]).await;
    let error = brief(&fake.url)
        .release_lock("db", &release)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Unready));
    assert_eq!(
        error.certainty(),
        Certainty::Unknown,
        "the attempt that was cut may have arrived"
    );
}

#[tokio::test]
async fn what_is_not_of_the_contract_is_foreign() {
    let fake = Fake::script([Act::ok("<html>welcome</html>")]).await;
    let error = client(&fake).cluster().await.unwrap_err();
    assert!(
        matches!(error, Error::Foreign { status: 200, .. }),
        "{error}"
    );
    assert_eq!(fake.seen().asked.len(), 1);

    let gateway = Act::Reply(502, String::new(), "<html>bad gateway</html>".to_owned());
    let fake = Fake::script([gateway, Act::ok(CLUSTER)]).await;
    client(&fake).cluster().await.unwrap();
}

#[tokio::test]
async fn what_can_never_be_sent_is_refused_here() {
    let fake = Fake::script([Act::ok(CLUSTER)]).await;
    let error = client(&fake).get_lock(&"x".repeat(513)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the lock's name is 513 bytes, at most 512"
    );
    let error = Client::builder()
        .endpoint(&*fake.url)
        .token("a\r\nb")
        .build()
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Invalid {
                what: "the token",
                ..
            }
        ),
        "{error}"
    );
    assert!(Client::new::<&str>([]).is_err());
    assert!(fake.seen().asked.is_empty());
}

#[tokio::test]
async fn a_query_names_only_what_was_given() {
    let fake = Fake::script([Act::ok(r#"{"locks":[],"next":"b c"}"#)]).await;
    let client = client(&fake);
    let page = client.list_locks(&LocksQuery::default()).await.unwrap();
    let query = LocksQuery {
        prefix: Some("a/".into()),
        after: page.next,
        ..LocksQuery::default()
    };
    client.list_locks(&query).await.unwrap();
    let seen = fake.seen();
    assert_eq!(seen.asked[0].line, "GET /v1/locks");
    assert_eq!(seen.asked[1].line, "GET /v1/locks?prefix=a%2F&after=b%20c");
}
