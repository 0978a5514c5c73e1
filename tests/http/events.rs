//! Streams of events: complete, in order, resumed where they broke.

use std::time::Duration;

use lockring::http::{Limits, Options};
use lockring::network::Memory;

use super::node::{Node, STREAMS_MAX};
use super::raw::{SOON, raw, request};
use super::stream::{Sent, Stream};

async fn watch(node: &Node, path: &str) -> Stream {
    Stream::open(node.at, path, "").await
}

/// Takes a lock and gives it back, so many times.
async fn use_lock(node: &Node, lock: &str, times: usize) {
    for _ in 0..times {
        let (session, fence) = node.hold(lock).await;
        node.release(lock, &session, fence).await.success(200);
    }
}

fn revision(sent: &Sent) -> u64 {
    sent.data["revision"].as_u64().unwrap()
}

/// An event as readers tell two apart.
fn ids(seen: &[Sent]) -> Vec<String> {
    seen.iter().map(|sent| sent.id.clone().unwrap()).collect()
}

#[tokio::test]
async fn everything_that_happens_is_told_in_order_under_its_revision() {
    let node = Node::alone().await;
    let mut stream = watch(&node, "/v1/events").await;
    let begun = stream.head.revision();
    use_lock(&node, "e", 2).await;
    let seen = stream
        .until(|sent| sent.event == "session_ended" && revision(sent) > begun + 3)
        .await;
    let kinds: Vec<_> = seen.iter().map(|sent| sent.event.as_str()).collect();
    let once = ["session_opened", "granted", "released", "session_ended"];
    assert_eq!(kinds, [once, once].concat());
    assert!(seen.is_sorted_by_key(revision));
    assert!(seen.iter().all(|sent| revision(sent) > begun));
    for pair in seen.chunk_by(|one, next| revision(one) == revision(next)) {
        let last = pair.last().unwrap();
        assert_eq!(last.id, Some(revision(last).to_string()));
        for (nth, before) in pair[..pair.len() - 1].iter().enumerate() {
            assert_eq!(before.id, Some(format!("{}.{nth}", revision(before))));
        }
    }
    let granted = &seen[1].data;
    assert_eq!(granted["lock"], "e");
    assert_eq!(granted["event"], "granted");
    assert_eq!(granted["session"].as_str().unwrap().len(), 8);
    node.stop().await;
}

#[tokio::test]
async fn a_prefix_leaves_out_other_locks_and_sessions() {
    let node = Node::alone().await;
    let mut stream = watch(&node, "/v1/events?prefix=a/").await;
    use_lock(&node, "b", 1).await;
    use_lock(&node, "a%2F1", 1).await;
    let seen = stream.until(|sent| sent.event == "released").await;
    let locks: Vec<_> = seen.iter().map(|sent| &sent.data["lock"]).collect();
    assert_eq!(locks, ["a/1", "a/1"]);
    node.stop().await;
}

/// The next so many events.
async fn some(stream: &mut Stream, count: usize) -> Vec<Sent> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = stream.next().await;
        seen.push(next.unwrap_or_else(|| panic!("the stream ended after {seen:?}")));
    }
    seen
}

#[tokio::test]
async fn a_reader_that_comes_back_goes_on_exactly_where_it_broke_off() {
    let node = Node::alone().await;
    let mut whole = watch(&node, "/v1/events?after=0").await;
    use_lock(&node, "r", 3).await;
    let all = ids(&some(&mut whole, 12).await);
    for (nth, id) in all.iter().enumerate().take(11) {
        // What the reader says itself goes before what its address says.
        let header = format!("last-event-id: {id}\r\n");
        let mut again = Stream::open(node.at, "/v1/events?after=0", &header).await;
        let rest = ids(&some(&mut again, 11 - nth).await);
        assert_eq!(rest, all[nth + 1..], "behind {id}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_reader_that_comes_while_things_happen_misses_and_repeats_nothing() {
    const USES: usize = 120;
    let node = Node::alone().await;
    let using = use_lock(&node, "j", USES);
    // Each comes when the one before it has seen a part, so that their joints are spread.
    let reading = async {
        let mut read = Vec::new();
        for part in 1..=8 {
            let mut reader = watch(&node, "/v1/events?after=0&prefix=j").await;
            let seen = some(&mut reader, part * USES / 4).await;
            read.push((reader, seen));
        }
        for (reader, seen) in &mut read {
            let rest = some(reader, 2 * USES - seen.len()).await;
            seen.extend(rest);
        }
        read
    };
    let ((), read) = tokio::join!(using, reading);
    for (_, seen) in read {
        let kinds: Vec<_> = seen.iter().map(|sent| sent.event.as_str()).collect();
        assert_eq!(kinds, ["granted", "released"].repeat(USES));
        let fences: Vec<_> = seen
            .iter()
            .map(|sent| sent.data["fence"].as_u64())
            .collect();
        assert!(
            fences.chunks(2).all(|pair| pair[0] == pair[1]),
            "{fences:?}"
        );
        assert!(
            fences.chunks(2).is_sorted_by(|a, b| a[0] < b[0]),
            "{fences:?}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_for_a_while_is_told_what_it_missed() {
    // More events than the channel to readers holds, and more bytes than a connection takes.
    const LOCKS: usize = 3000;
    let node = Node::alone().await;
    let mut slow = watch(&node, "/v1/events?prefix=s").await;
    let session = node.session("many").await;
    let body = format!(r#"{{"session":"{session}"}}"#);
    let paths: Vec<_> = (0..LOCKS)
        .map(|nth| format!("/v1/locks/s{nth}/acquire"))
        .collect();
    for some in paths.chunks(100) {
        let taking = some.iter().map(|path| node.post(path, &body));
        for taken in futures_util::future::join_all(taking).await {
            taken.success(200);
        }
    }
    let seen = some(&mut slow, LOCKS).await;
    assert!(seen.is_sorted_by(|a, b| revision(a) < revision(b)));
    assert!(seen.iter().all(|sent| sent.event == "granted"));
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_as_a_gap() {
    let node = Node::forgetful(8).await;
    for _ in 0..60 {
        use_lock(&node, "g", 1).await;
        // Each look writes a row of the history, and rows are what it forgets.
        node.get("/v1/locks/g/history?limit=1").await.success(200);
    }
    let mut stream = watch(&node, "/v1/events?after=0").await;
    let first = stream.next().await.unwrap();
    assert_eq!((first.event.as_str(), first.id), ("gap", None));
    assert_eq!(first.data["from"], 1);
    let next = stream.next().await.unwrap();
    assert!(revision(&next) > 1);
    let page = node.get("/v1/locks/g/history").await.success(200);
    assert_eq!(page["gaps"][0]["from"], 1);
    node.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_at_another_node() {
    let network = Memory::new();
    let window = Duration::from_secs(25);
    let of = |id| Node::of(id, &[1, 2, 3], &network, Options::default(), window);
    let (one, two, three) = tokio::join!(of(1), of(2), of(3));
    let mut first = watch(&one, "/v1/events?after=0&prefix=f").await;
    use_lock(&two, "f", 5).await;
    let seen = some(&mut first, 6).await;
    let header = format!("last-event-id: {}\r\n", seen[5].id.as_ref().unwrap());
    let mut second = Stream::open(three.at, "/v1/events?prefix=f", &header).await;
    use_lock(&one, "f", 5).await;
    let rest = some(&mut second, 14).await;
    let fences = seen
        .iter()
        .chain(&rest)
        .map(|sent| sent.data["fence"].as_u64());
    let mut fences: Vec<_> = fences.collect();
    assert!(fences.is_sorted());
    fences.dedup();
    assert_eq!(fences.len(), 10);
    for node in [one, two, three] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_silent_is_kept_alive_and_ends_with_its_node() {
    let options = Options {
        limits: Limits {
            idle: Duration::from_millis(200),
            ..Limits::default()
        },
        ..Options::default()
    };
    let node = Node::with(options, Duration::from_secs(25)).await;
    let mut stream = watch(&node, "/v1/events").await;
    // Longer than a connection without a request may be silent.
    tokio::time::sleep(Duration::from_millis(600)).await;
    use_lock(&node, "k", 1).await;
    some(&mut stream, 4).await;
    node.stop().await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn one_stream_too_many_is_told_by_the_name_of_the_limit() {
    let node = Node::alone().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        streams.push(watch(&node, "/v1/events").await);
    }
    let refused = node.get("/v1/events").await.problem(429, "limit");
    assert_eq!(refused["limit"], "event_streams_per_node");
    assert!(refused["retry_after_ms"].is_u64());
    drop(streams);
    // HEAD has no body, so that its stream ends at once.
    let again = async {
        while node.call("HEAD", "/v1/events", "").await.status == 429 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_place_that_is_none_is_refused_and_one_far_ahead_is_waited_for() {
    let node = Node::alone().await;
    for wrong in [
        "after=x",
        "after=1.",
        "after=-1",
        "after=1.1.1",
        "prefix=a&prefix=b",
    ] {
        let refused = node.get(&format!("/v1/events?{wrong}")).await;
        refused.problem(422, "invalid");
    }
    let header = "last-event-id: nonsense\r\n";
    let request = request("GET", "/v1/events", header, "");
    let refused = raw(node.at, &request).await.problem(422, "invalid");
    assert_eq!(refused["field"], "Last-Event-ID");
    let ahead = node.get("/v1/events?after=1000000").await;
    let problem = ahead.problem(503, "unready");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with("not yet 1000000"), "{detail}");
    let ahead = node.get("/v1/locks/x?min_revision=1000000").await;
    let problem = ahead.problem(503, "unready");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with("not yet 1000000"), "{detail}");
    node.stop().await;
}
