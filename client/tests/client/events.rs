//! Subscriptions: resumed where they broke, told of gaps, refused when that is the answer.

use std::time::Duration;

use lockring_client::wire::{ErrorCode, Gap};
use lockring_client::{Client, Notice};
use tokio::time::timeout;

use crate::fake::{Act, Fake};

const PATIENCE: Duration = Duration::from_secs(10);

/// A grant as the stream tells it.
fn granted(id: &str, fence: u64) -> String {
    format!(
        "id: {id}\nevent: granted\ndata: {{\"revision\":5,\"event\":\"granted\",\"at_ms\":1,\
         \"wall_ms\":1,\"lock\":\"jobs/1\",\"fence\":{fence}}}\n\n"
    )
}

fn fence(notice: &Notice) -> Option<u64> {
    match notice {
        Notice::Event(event) => event.fence,
        Notice::Gap(_) => None,
    }
}

async fn next(events: &mut lockring_client::Events) -> Notice {
    timeout(PATIENCE, events.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_stream_that_breaks_is_resumed_behind_the_last_event_that_was_whole() {
    let cut = format!("{}{}data: half", granted("5.1", 3), granted("5", 4));
    let fake = Fake::script([
        Act::StreamAndClose(String::new(), cut),
        Act::Stream(String::new(), granted("6", 7)),
    ])
    .await;
    let client = Client::new([&*fake.url]).unwrap();
    let mut events = client.events().prefix("jobs/").subscribe();
    for wanted in [3, 4, 7] {
        assert_eq!(fence(&next(&mut events).await), Some(wanted));
    }
    assert_eq!(events.last_id(), Some("6"));
    let asked = fake.seen().asked;
    assert_eq!(asked[0].line, "GET /v1/events?prefix=jobs%2F");
    assert_eq!(asked[1].line, "GET /v1/events?prefix=jobs%2F&after=5");
}

#[tokio::test]
async fn a_stream_that_breaks_before_an_event_is_resumed_at_the_revision_where_it_began() {
    let began = "lockring-revision: 41\r\n".to_owned();
    let fake = Fake::script([
        Act::StreamAndClose(began, ": hello\n\n".to_owned()),
        Act::Stream(String::new(), granted("42", 7)),
    ])
    .await;
    let client = Client::new([&*fake.url]).unwrap();
    let mut events = client.events().subscribe();
    assert_eq!(fence(&next(&mut events).await), Some(7));
    assert_eq!(fake.seen().asked[1].line, "GET /v1/events?after=41");
}

#[tokio::test]
async fn gaps_are_told_and_what_only_newer_clients_know_is_passed_over() {
    let text = format!(
        "id: 8\nevent: gap\ndata: {{\"from\":2,\"to\":8}}\n\n\
         id: 9\nevent: painted\ndata: {{\"event\":\"painted\"}}\n\n{}",
        granted("10", 3)
    );
    let fake = Fake::script([Act::Stream(String::new(), text)]).await;
    let client = Client::new([&*fake.url]).unwrap();
    let mut events = client.events().after("1").subscribe();
    assert_eq!(next(&mut events).await, Notice::Gap(Gap { from: 2, to: 8 }));
    assert_eq!(fence(&next(&mut events).await), Some(3));
    assert_eq!(fake.seen().asked[0].line, "GET /v1/events?after=1");
}

#[tokio::test]
async fn a_refused_subscription_is_told_and_may_be_tried_again() {
    let fake = Fake::script([
        Act::code(ErrorCode::Unready),
        Act::code(ErrorCode::Forbidden),
        Act::Stream(String::new(), granted("5", 3)),
    ])
    .await;
    let client = Client::new([&*fake.url]).unwrap();
    let mut events = client.events().subscribe();
    let refused = timeout(PATIENCE, events.next()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::Forbidden));
    assert_eq!(fence(&next(&mut events).await), Some(3));
}

#[tokio::test]
async fn an_observer_tells_each_leader_once_and_is_woken_by_events() {
    let held = |owner: &str, fence: u64| {
        Act::ok(format!(
            r#"{{"lock":"jobs/1","state":"held","highest_fence":{fence},"queue":[],"holders":[{{
                "session":"0000000{fence}","owner":"{owner}","mode":"exclusive","fence":{fence},
                "held_ms":1,"expires_in_ms":400,"value":"at {owner}"}}]}}"#
        ))
    };
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let fake = Fake::start(move |asked| {
        if asked.line.starts_with("GET /v1/events") {
            return Act::Stream(String::new(), granted("5", 4));
        }
        match looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => held("a", 3),
            _ => held("b", 4),
        }
    })
    .await;
    let mut observer = Client::new([&*fake.url]).unwrap().observe("jobs/1");
    for (owner, fence) in [("a", 3), ("b", 4)] {
        let leader = timeout(PATIENCE, observer.next()).await.unwrap();
        let leader = leader.unwrap().unwrap();
        assert_eq!((&*leader.owner, leader.fence), (owner, fence));
        assert_eq!(leader.value, format!("at {owner}"));
    }
}
