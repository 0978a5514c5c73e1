//! Rings over HTTP: every call, what it answers, and what it refuses.

use lockring_client::wire::ErrorCode;
use lockring_client::{Client, RingSnapshot};
use lockring_core::{MemberName, limits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::node::Node;
use super::raw::{SOON, raw, request};

/// A ring with these members, each of a session of its own; answers the sessions.
async fn ring(node: &Node, settings: &str, members: &[&str]) -> Vec<String> {
    node.call("PUT", "/v1/rings/cache", settings)
        .await
        .success(200);
    let mut sessions = Vec::new();
    for member in members {
        let session = node.session(member).await;
        let body = json!({ "session": session, "addresses": { "resp": "127.0.0.1:1" } });
        let path = format!("/v1/rings/cache/members/{member}");
        node.call("PUT", &path, &body.to_string())
            .await
            .success(200);
        sessions.push(session);
    }
    sessions
}

/// Releases all that moves away from a member, until nothing does.
async fn release_all(node: &Node, member: &str, session: &str) {
    loop {
        let table = node.get("/v1/rings/cache/table").await.success(200);
        let moving = table["moving"].as_array().unwrap().iter();
        let ranges: Vec<Value> = moving
            .filter(|row| row["from"] == *member)
            .map(|row| json!([row["first"], row["last"]]))
            .collect();
        if ranges.is_empty() {
            return;
        }
        let body = json!({
            "member": member, "session": session, "ranges": ranges, "epoch": table["epoch"],
        });
        let released = node
            .post("/v1/rings/cache/release", &body.to_string())
            .await;
        assert!(released.success(200)["released"].as_u64().unwrap() > 0);
    }
}

fn member<'a>(ring: &'a Value, name: &str) -> &'a Value {
    let mut members = ring["members"].as_array().unwrap().iter();
    members.find(|row| row["member"] == *name).unwrap()
}

#[tokio::test]
async fn a_ring_is_made_joined_looked_up_and_left() {
    let node = Node::alone().await;
    let made = node
        .call(
            "PUT",
            "/v1/rings/cache",
            r#"{"hash":"crc16","placement":"exact"}"#,
        )
        .await;
    let seen = made.success(200);
    assert_eq!(made.header("etag"), Some("\"1\""));
    assert_eq!(seen["hash"], "crc16");
    assert_eq!(seen["placement"], "exact");
    assert_eq!(seen["replicas"], 1);
    assert_eq!(seen["reassign_delay_ms"], 10_000);
    assert_eq!(seen["members"], json!([]));

    let sessions = ring(&node, "{}", &["a", "b"]).await;
    release_all(&node, "a", &sessions[0]).await;
    let answer = node.get("/v1/rings/cache").await;
    let seen = answer.success(200);
    assert_eq!(member(&seen, "a")["slots"], 8192);
    assert_eq!(member(&seen, "b")["slots"], 8192);
    assert_eq!(member(&seen, "b")["state"], "active");
    assert_eq!(member(&seen, "b")["session"], sessions[1][..8]);
    assert_eq!(member(&seen, "b")["addresses"]["resp"], "127.0.0.1:1");
    assert_eq!(member(&seen, "b")["share"], 0.5);
    assert_eq!(seen["balance"]["max_over_mean"], 1.0);
    assert_eq!(seen["moving"], 0);
    let epoch = seen["epoch"].as_u64().unwrap();

    // A reader that has the newest is told no more than that.
    let tag = answer.header("etag").unwrap().to_owned();
    let header = format!("if-none-match: {tag}\r\n");
    let same = raw(node.at, &request("GET", "/v1/rings/cache", &header, "")).await;
    assert_eq!(same.status, 304);
    let list = node.get("/v1/rings").await.success(200);
    assert_eq!(list["rings"], json!([{ "ring": "cache", "epoch": epoch }]));

    // CRC16("123456789") is 0x31c3.
    let path = "/v1/rings/cache/lookup?key=123456789&n=2";
    let looked = node.get(path).await.success(200);
    let row = &looked["assignments"][0];
    assert_eq!(row["slot"], 12_739);
    assert_eq!(row["members"].as_array().unwrap().len(), 2);
    let body = r#"{"keys":["123456789","{123456789}.x"],"n":2}"#;
    let both = node.post("/v1/rings/cache/lookup", body).await.success(200);
    assert_eq!(both["assignments"][0], *row);
    assert_eq!(both["assignments"][1]["slot"], 12_739);

    let left = node.call("DELETE", "/v1/rings/cache/members/b", "").await;
    left.success(200);
    let table = node.get("/v1/rings/cache/table").await.success(200);
    assert_eq!(table["moving"][0]["from"], "b");
    assert_eq!(table["ranges"], json!([[0, 16_383, ["a"]]]));
    release_all(&node, "b", &sessions[1]).await;
    let seen = node.get("/v1/rings/cache").await.success(200);
    assert_eq!(seen["members"].as_array().unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn what_a_plan_foretells_is_what_a_drain_moves() {
    let node = Node::alone().await;
    let settings = r#"{"hash":"crc16","placement":"exact"}"#;
    let members = ["a", "b", "c", "d", "e"];
    let sessions = ring(&node, settings, &members).await;
    for (member, session) in members.iter().zip(&sessions).cycle().take(30) {
        release_all(&node, member, session).await;
    }
    let before = node.get("/v1/rings/cache").await.success(200);
    assert_eq!(before["moving"], 0);

    let changes = r#"{"changes":[{"drain":"c"}]}"#;
    let planned = node
        .post("/v1/rings/cache/plan", changes)
        .await
        .success(200);
    let slots = member(&before, "c")["slots"].as_u64().unwrap();
    assert_eq!(planned["moved_slots"], slots);
    assert_eq!(
        planned["fraction"],
        (slots as f64 / 16_384.0 * 1e6).round() / 1e6
    );

    node.post("/v1/rings/cache/members/c/drain", "")
        .await
        .success(200);
    release_all(&node, "c", &sessions[2]).await;
    let after = node.get("/v1/rings/cache").await.success(200);
    assert_eq!(after["digest"], planned["digest"]);
    assert_eq!(after["balance"], planned["balance_after"]);
    let path = format!("/v1/rings/cache/diff?from={}", before["epoch"]);
    let diff = node.get(&path).await.success(200);
    assert_eq!(diff["moved_slots"], slots);
    assert_eq!(diff["moves"], planned["moves"]);
    assert_eq!(diff["to"], after["epoch"]);
    node.stop().await;
}

#[tokio::test]
async fn a_member_goes_with_its_session_and_comes_back_with_another() {
    let node = Node::alone().await;
    let sessions = ring(&node, r#"{"placement":"exact"}"#, &["a", "b"]).await;
    release_all(&node, "a", &sessions[0]).await;
    let path = format!("/v1/sessions/{}", sessions[1]);
    node.call("DELETE", &path, "").await.success(200);
    let seen = node.get("/v1/rings/cache").await.success(200);
    assert_eq!(member(&seen, "b")["state"], "down");
    assert_eq!(member(&seen, "a")["slots"], 16_384);

    let was = member(&seen, "b")["incarnation"].clone();
    let session = node.session("b again").await;
    let body = json!({ "session": session }).to_string();
    let back = node.call("PUT", "/v1/rings/cache/members/b", &body).await;
    back.success(200);
    release_all(&node, "a", &sessions[0]).await;
    let seen = node.get("/v1/rings/cache").await.success(200);
    assert_eq!(member(&seen, "b")["slots"], 8192);
    assert_eq!(member(&seen, "b")["session"], session[..8]);

    // A call about its life before that comes late takes nothing off; one about this life does.
    for (method, what) in [("DELETE", ""), ("POST", "/drain")] {
        let late = format!("/v1/rings/cache/members/b{what}?incarnation={was}");
        let late = node.call(method, &late, "").await;
        late.problem(412, "fence_stale");
    }
    let now = &member(&seen, "b")["incarnation"];
    let path = format!("/v1/rings/cache/members/b?incarnation={now}");
    node.call("DELETE", &path, "").await.success(200);
    node.stop().await;
}

#[tokio::test]
async fn a_frozen_ring_gives_nothing_to_who_joins() {
    let node = Node::alone().await;
    ring(&node, "{}", &["a"]).await;
    let freeze = r#"{"reason":"maintenance"}"#;
    node.post("/v1/rings/cache/freeze", freeze)
        .await
        .success(200);
    let session = node.session("b").await;
    let body = json!({ "session": session, "weight": 3, "zone": "z" }).to_string();
    let joined = node.call("PUT", "/v1/rings/cache/members/b", &body).await;
    joined.success(200);
    let seen = node.get("/v1/rings/cache").await.success(200);
    assert_eq!(seen["frozen"], true);
    assert_eq!(seen["reason"], "maintenance");
    assert_eq!(member(&seen, "b")["state"], "joining");
    assert_eq!(member(&seen, "b")["weight"], 3);
    assert_eq!(member(&seen, "b")["zone"], "z");
    assert_eq!(seen["moving"], 0);
    node.post("/v1/rings/cache/unfreeze", freeze)
        .await
        .success(200);
    let seen = node.get("/v1/rings/cache").await.success(200);
    assert_eq!(seen["frozen"], false);
    assert_eq!(seen["moving"], 1024);
    node.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let node = Node::alone().await;
    let sessions = ring(&node, "{}", &["a", "b"]).await;
    let join = |session: &str| json!({ "session": session }).to_string();
    let put = |path: &'static str, body: String| {
        let node = &node;
        async move { node.call("PUT", path, &body).await }
    };
    let taken = put("/v1/rings/cache/members/a", join(&sessions[1])).await;
    taken.problem(409, "held");
    let no_ring = put("/v1/rings/other/members/a", join(&sessions[0])).await;
    no_ring.problem(404, "not_found");
    let never = put("/v1/rings/cache/members/c", join(&"0".repeat(32))).await;
    never.problem(410, "session_gone");
    let heavy = json!({ "session": sessions[0], "weight": 1025 }).to_string();
    let heavy = put("/v1/rings/cache/members/a", heavy).await;
    assert_eq!(heavy.problem(422, "invalid")["field"], "weight");
    let hash = put("/v1/rings/cache", r#"{"hash":"crc16"}"#.to_owned()).await;
    assert_eq!(hash.problem(422, "invalid")["field"], "hash");
    let many = put("/v1/rings/cache", r#"{"replicas":17}"#.to_owned()).await;
    assert_eq!(many.problem(422, "invalid")["field"], "replicas");

    let release = |session: &str, range: &str| {
        let body =
            format!(r#"{{"member":"a","session":"{session}","ranges":[{range}],"epoch":9}}"#);
        let node = &node;
        async move { node.post("/v1/rings/cache/release", &body).await }
    };
    let stranger = release(&sessions[1], "[0,9]").await;
    stranger.problem(412, "fence_stale");
    let falling = release(&sessions[0], "[9,0]").await;
    assert_eq!(falling.problem(422, "invalid")["field"], "ranges");

    for (path, field) in [
        ("/v1/rings/cache/diff?from=999", "from"),
        ("/v1/rings/cache/diff", "from"),
        ("/v1/rings/cache/lookup", "key"),
        ("/v1/rings/cache/lookup?key=a&n=17", "n"),
    ] {
        let problem = node.get(path).await.problem(422, "invalid");
        assert_eq!(problem["field"], field, "{path}");
    }
    for changes in [
        r#"{"changes":[{"join":"a"}]}"#,
        r#"{"changes":[{"drain":"x"}]}"#,
        r#"{"changes":[{"drain":"a","leave":"a"}]}"#,
        r#"{"changes":[{"member":"a"}]}"#,
        r#"{"changes":[{}]}"#,
    ] {
        let problem = node.post("/v1/rings/cache/plan", changes).await;
        assert_eq!(
            problem.problem(422, "invalid")["field"],
            "changes",
            "{changes}"
        );
    }
    let unknown = node.post("/v1/rings/cache/members/x/drain", "").await;
    unknown.problem(404, "not_found");
    node.get("/v1/rings/other").await.problem(404, "not_found");
    let reason = node
        .post("/v1/rings/cache/freeze", r#"{"reason":""}"#)
        .await;
    assert_eq!(reason.problem(422, "invalid")["field"], "reason");
    node.stop().await;
}

#[tokio::test]
async fn a_view_follows_the_ring_and_is_vouched_for() {
    let node = Node::alone().await;
    let sessions = ring(&node, r#"{"hash":"crc16","placement":"exact"}"#, &["a"]).await;
    let client = Client::new([format!("http://{}", node.at)]).unwrap();
    let view = client.ring("cache").follow().await.unwrap();
    let first = view.now();
    assert_eq!(first.locate(b"123456789").slot, 12_739);
    let owner = |snapshot: &RingSnapshot, key: &[u8]| {
        let owner = snapshot.locate(key).owner;
        owner.map(|member| member.as_str().to_owned())
    };
    assert_eq!(owner(&first, b"x").as_deref(), Some("a"));
    assert_eq!(first.address("a", "resp"), Some("127.0.0.1:1"));
    assert!(view.is_vouched());

    // A change comes as a difference, and makes the same table as the whole one.
    let before = view.vouched_until();
    ring(&node, "{}", &["b"]).await;
    let joined = tokio::time::timeout(SOON, view.newer_than(first.epoch())).await;
    let joined = joined.expect("the change is told");
    release_all(&node, "a", &sessions[0]).await;
    let newest = view.refresh().await.unwrap();
    assert!(newest.epoch() > joined.epoch());
    let whole = client.ring_table("cache").await.unwrap();
    assert_eq!(whole.table().unwrap(), newest.table);
    assert_eq!(newest.ring, client.get_ring("cache").await.unwrap());
    assert_eq!(
        format!("{:016x}", newest.table.digest()),
        newest.ring.digest
    );
    assert!(view.vouched_until() > before);
    let b = MemberName::parse("b").unwrap();
    assert_eq!(newest.table.slots_of(&b), 8192);

    let unknown = client.ring("other").follow().await.unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::NotFound));
    drop(view);
    node.stop().await;
}

#[tokio::test]
async fn a_reader_that_comes_back_is_told_what_is_new() {
    let node = Node::alone().await;
    ring(&node, "{}", &["a"]).await;
    let newest = node.get("/v1/rings/cache").await.success(200)["epoch"]
        .as_u64()
        .unwrap();
    let old = format!("/v1/rings/cache/watch?after={}", newest - 1);
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    stream
        .write_all(&request("GET", &old, "", ""))
        .await
        .unwrap();
    let text = until(&mut stream, "event: table").await;
    assert!(text.contains(&format!("id: {newest}\n")), "{text}");

    // Whoever has the newest waits for the next.
    let header = format!("last-event-id: {newest}\r\n");
    let path = "/v1/rings/cache/watch?after=0";
    let mut stream = TcpStream::connect(node.at).await.unwrap();
    stream
        .write_all(&request("GET", path, &header, ""))
        .await
        .unwrap();
    until(&mut stream, "retry: 1000").await;
    ring(&node, "{}", &["b"]).await;
    let text = until(&mut stream, "event: table").await;
    assert!(text.contains(&format!("id: {}\n", newest + 1)), "{text}");

    let wrong = node.get("/v1/rings/cache/watch?after=x").await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "after");
    node.stop().await;
}

/// Reads until this has come.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        loop {
            let so_far = String::from_utf8_lossy(&text).into_owned();
            if so_far.contains(wanted) {
                return so_far;
            }
            let read = stream.read_buf(&mut text).await.unwrap();
            assert!(read > 0, "the stream ended: {so_far}");
        }
    };
    tokio::time::timeout(SOON, read)
        .await
        .expect("it comes in time")
}

/// What the command line says of this node's rings.
async fn lockring(node: &Node, arguments: &[&str]) -> String {
    let said = Command::new(env!("CARGO_BIN_EXE_lockring"))
        .arg("ring")
        .args(arguments)
        .args(["--endpoints", &format!("http://{}", node.at)])
        .output();
    let said = said.await.unwrap();
    let failed = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{arguments:?}: {failed}");
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test]
async fn the_command_line_shows_and_changes_a_ring() {
    let node = Node::alone().await;
    let made = lockring(
        &node,
        &[
            "configure",
            "cache",
            "--hash",
            "crc16",
            "--placement",
            "exact",
        ],
    );
    assert!(made.await.contains("crc16, exact"));
    let session = node.session("a").await;
    let join = [
        "join",
        "cache",
        "a",
        "--session",
        &session,
        "--address",
        "resp=h:1",
    ];
    assert!(lockring(&node, &join).await.starts_with("on the ring"));
    let shown = lockring(&node, &["show", "cache"]).await;
    assert!(
        shown.contains(&format!("  4096 {}", "A".repeat(64))),
        "{shown}"
    );
    assert!(shown.contains("resp=h:1"), "{shown}");
    let found = lockring(&node, &["lookup", "cache", "123456789", "--json"]).await;
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["assignments"][0]["slot"], 12_739);
    let planned = lockring(&node, &["plan", "cache", "--join", "b", "--weight", "3"]).await;
    assert!(
        planned.starts_with("12288 slots, 75.0 % of all"),
        "{planned}"
    );
    let diff = lockring(&node, &["diff", "cache", "--from", "1"]).await;
    assert!(diff.contains("nobody"), "{diff}");
    lockring(&node, &["freeze", "cache", "--reason", "a test"]).await;
    assert!(
        lockring(&node, &["show", "cache"])
            .await
            .contains("frozen: a test")
    );
    lockring(&node, &["unfreeze", "cache", "--reason", "a test"]).await;
    lockring(&node, &["drain", "cache", "a"]).await;
    let list = lockring(&node, &["list", "--json"]).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["rings"][0]["ring"], "cache");
    node.stop().await;
}

#[tokio::test]
async fn a_ring_or_a_weight_too_many_is_told_by_the_name_of_the_limit() {
    let node = Node::alone().await;
    ring(&node, "{}", &[]).await;
    let heaviest = u64::from(limits::WEIGHT_MAX);
    let fit = limits::WEIGHT_PER_RING_MAX / heaviest;
    for nth in 0..=fit {
        let session = node.session("a cache").await;
        let body = json!({
            "session": session, "weight": heaviest, "addresses": { "resp": "127.0.0.1:1" },
        });
        let path = format!("/v1/rings/cache/members/m{nth}");
        let joined = node.call("PUT", &path, &body.to_string()).await;
        if nth < fit {
            joined.success(200);
        } else {
            let refused = joined.problem(429, "limit");
            assert_eq!(refused["limit"], "weight_per_ring");
            assert_eq!(refused["certainty"], "no_effect");
            assert!(refused["retry_after_ms"].is_u64());
        }
    }
    for nth in 1..limits::RINGS_MAX {
        let made = node.call("PUT", &format!("/v1/rings/r{nth}"), "{}").await;
        made.success(200);
    }
    let refused = node.call("PUT", "/v1/rings/another", "{}").await;
    assert_eq!(refused.problem(429, "limit")["limit"], "rings");
    node.stop().await;
}
