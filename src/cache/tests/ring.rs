//! Whose a slot is, and what clients are told while that changes.

use std::sync::atomic::Ordering;

use super::Nodes;
use crate::cache::slot;

/// A key of the `nth` of two nodes.
fn key_of(nth: usize) -> String {
    let of = |key: &String| usize::from(slot::of(key.as_bytes()) >= 8192) == nth;
    (0..).map(|n| format!("key:{n}")).find(of).unwrap()
}

#[tokio::test]
async fn a_request_for_anothers_slot_is_sent_there() {
    let nodes = Nodes::start(2, None).await;
    let (mine, other) = (key_of(0), key_of(1));
    let mut client = nodes.client(0).await;
    assert_eq!(client.ask(&format!("set {mine} v")).await, "+OK\r\n");
    let slot = slot::of(other.as_bytes());
    let moved = format!("-MOVED {slot} {}\r\n", nodes.table.members[1].resp);
    assert_eq!(client.ask(&format!("get {other}")).await, moved);
    assert_eq!(
        client.ask(&format!("mget {mine} {other}")).await,
        "-CROSSSLOT Keys in request don't hash to the same slot\r\n"
    );
    // A table that nobody vouches for sends nobody anywhere.
    nodes.switches[0].table_is_old.store(true, Ordering::SeqCst);
    assert_eq!(
        client.ask(&format!("get {other}")).await,
        "-CLUSTERDOWN The cluster is down\r\n"
    );
    assert_eq!(client.ask(&format!("get {mine}")).await, "$1\r\nv\r\n");
}

#[tokio::test]
async fn past_its_deadline_a_node_answers_for_nothing() {
    let nodes = Nodes::start(1, None).await;
    let mut client = nodes.client(0).await;
    assert_eq!(client.ask("set k v").await, "+OK\r\n");
    nodes.switches[0]
        .serving_is_over
        .store(true, Ordering::SeqCst);
    for words in ["get k", "set k w", "del k", "ttl k"] {
        assert_eq!(
            client.ask(words).await,
            "-CLUSTERDOWN The cluster is down\r\n"
        );
    }
    assert!(
        client
            .ask("cluster info")
            .await
            .contains("cluster_state:fail")
    );
    assert_eq!(client.ask("ping").await, "+PONG\r\n");
    nodes.switches[0]
        .serving_is_over
        .store(false, Ordering::SeqCst);
    assert_eq!(client.ask("get k").await, "$1\r\nv\r\n");
}

#[tokio::test]
async fn topology_lists_every_slot_once() {
    let nodes = Nodes::start(2, None).await;
    let mut client = nodes.client(1).await;
    let (a, b) = (&nodes.table.members[0], &nodes.table.members[1]);
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let of = |member: &crate::cache::view::Member| {
        format!(
            "*4\r\n$9\r\n127.0.0.1\r\n:{}\r\n$40\r\n{}\r\n*0\r\n",
            port(&member.resp),
            member.id
        )
    };
    let slots = format!(
        "*2\r\n*3\r\n:0\r\n:8191\r\n{}*3\r\n:8192\r\n:16383\r\n{}",
        of(a),
        of(b)
    );
    assert_eq!(client.ask("cluster slots").await, slots);
    let text = client.ask("cluster nodes").await;
    assert!(
        text.contains(&format!(
            "{} {}@{} master - 0 0 1 connected 0-8191\n",
            a.id,
            a.resp,
            port(&a.peer)
        )),
        "{text}"
    );
    assert!(
        text.contains("myself,master - 0 0 1 connected 8192-16383\n"),
        "{text}"
    );
    assert!(
        client
            .ask("cluster info")
            .await
            .contains("cluster_state:ok\r\ncluster_slots_assigned:16384")
    );
    assert_eq!(
        client.ask("cluster myid").await,
        format!("$40\r\n{}\r\n", b.id)
    );
    assert_eq!(
        client.ask("cluster keyslot {user1000}.x").await,
        ":3443\r\n"
    );
    let key = key_of(1);
    client.ask(&format!("set {key} v")).await;
    let slot = slot::of(key.as_bytes());
    assert_eq!(
        client.ask(&format!("cluster countkeysinslot {slot}")).await,
        ":1\r\n"
    );
    let listed = format!("*1\r\n${}\r\n{key}\r\n", key.len());
    assert_eq!(
        client
            .ask(&format!("cluster getkeysinslot {slot} 10"))
            .await,
        listed
    );
    assert!(
        client
            .ask("cluster shards")
            .await
            .starts_with("*2\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:8191\r\n")
    );
}

/// Moves all slots of node 0 to node 1, in two steps; between them the slots are on their way.
fn moving(nodes: &mut Nodes) {
    begin_to_move(nodes);
    nodes.show(1);
    nodes.show(0);
}

fn begin_to_move(nodes: &mut Nodes) {
    let slots = 0..8192;
    nodes.table.owner[slots.clone()].fill(Some(1));
    nodes.table.from[slots.clone()].fill(Some(0));
    nodes.table.slot_epoch[slots].fill(2);
    nodes.table.epoch = 2;
}

fn released(nodes: &mut Nodes) {
    nodes.table.from.fill(None);
    nodes.table.epoch = 3;
    nodes.show(0);
    nodes.show(1);
}

#[tokio::test]
async fn a_slot_that_moves_keeps_its_values_and_deleted_ones_stay_deleted() {
    let mut nodes = Nodes::start(2, None).await;
    let key = key_of(0);
    let mut old = nodes.client(0).await;
    assert_eq!(
        old.ask(&format!("set {{{key}}}a 1 px 60000")).await,
        "+OK\r\n"
    );
    for name in ["b", "c", "d"] {
        old.ask(&format!("set {{{key}}}{name} 1")).await;
    }
    moving(&mut nodes);
    let mut new = nodes.client(1).await;
    assert!(
        new.ask(&format!("get {{{key}}}a"))
            .await
            .starts_with("-TRYAGAIN ")
    );
    assert!(
        old.ask(&format!("get {{{key}}}a"))
            .await
            .starts_with("-MOVED ")
    );
    released(&mut nodes);
    // Expiry comes along; a command that writes sees what was there.
    let left = new.ask(&format!("pttl {{{key}}}a")).await;
    let left: u64 = left.trim_start_matches(':').trim().parse().unwrap();
    assert!((30_000..=60_000).contains(&left), "{left}");
    assert_eq!(new.ask(&format!("incr {{{key}}}b")).await, ":2\r\n");
    assert_eq!(new.ask(&format!("del {{{key}}}c")).await, ":1\r\n");
    assert_eq!(new.ask(&format!("get {{{key}}}c")).await, "$-1\r\n");
    assert_eq!(new.ask(&format!("set {{{key}}}d 2 px 1")).await, "+OK\r\n");
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(new.ask(&format!("get {{{key}}}d")).await, "$-1\r\n");
    // Back again: what node 0 kept from its first time counts for nothing.
    assert_eq!(
        new.ask(&format!("mget {{{key}}}a {{{key}}}b")).await,
        "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"
    );
    for slot in 0..8192 {
        nodes.table.owner[slot] = Some(0);
        nodes.table.slot_epoch[slot] = 4;
    }
    nodes.table.epoch = 4;
    nodes.show(1);
    nodes.show(0);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(
            old.ask(&format!("get {{{key}}}{name}")).await,
            "$-1\r\n",
            "{name}"
        );
    }
}

/// A request that a node has begun to wait with.
async fn parked(nodes: &Nodes, nth: usize, words: [&str; 2]) -> super::Wire {
    let mut client = nodes.client(nth).await;
    client
        .send(&super::request(&words.map(str::as_bytes)))
        .await;
    let begun = tokio::time::Instant::now();
    while nodes.nodes[nth].figures.waits() == 0 {
        assert!(begun.elapsed().as_secs() < 30, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    client
}

#[tokio::test]
async fn a_request_for_a_slot_on_its_way_is_answered_when_it_has_come() {
    let mut nodes = Nodes::start(2, None).await;
    let key = key_of(0);
    nodes.client(0).await.ask(&format!("set {key} v")).await;
    moving(&mut nodes);
    let mut client = parked(&nodes, 1, ["get", &key]).await;
    released(&mut nodes);
    assert_eq!(client.next().await.unwrap(), "$1\r\nv\r\n");
}

#[tokio::test]
async fn nobody_is_sent_to_a_member_that_has_not_heard_that_the_slot_is_its() {
    let mut nodes = Nodes::start(2, None).await;
    let key = key_of(0);
    begin_to_move(&mut nodes);
    nodes.show(0);
    let mut client = parked(&nodes, 0, ["get", &key]).await;
    assert_eq!(nodes.nodes[1].now().table().epoch, 1);
    nodes.show(1);
    let slot = slot::of(key.as_bytes());
    let moved = format!("-MOVED {slot} {}\r\n", nodes.table.members[1].resp);
    assert_eq!(client.next().await.unwrap(), moved);
    // Once is enough: the next request is sent on without a question.
    assert_eq!(client.ask(&format!("get {key}")).await, moved);
    assert_eq!(nodes.nodes[0].figures.waits(), 1);
}

#[tokio::test]
async fn values_come_along_when_the_move_was_over_before_the_new_owner_saw_it() {
    let mut nodes = Nodes::start(2, None).await;
    let key = key_of(0);
    nodes.client(0).await.ask(&format!("set {key} v")).await;
    begin_to_move(&mut nodes);
    nodes.show(0);
    released(&mut nodes);
    let got = nodes.client(1).await.ask(&format!("get {key}")).await;
    assert_eq!(got, "$1\r\nv\r\n");
}

#[tokio::test]
async fn flushing_forgets_also_what_is_still_elsewhere() {
    let mut nodes = Nodes::start(2, None).await;
    let key = key_of(0);
    nodes.client(0).await.ask(&format!("set {key} v")).await;
    moving(&mut nodes);
    released(&mut nodes);
    let mut new = nodes.client(1).await;
    assert_eq!(new.ask("flushall").await, "+OK\r\n");
    assert_eq!(new.ask(&format!("get {key}")).await, "$-1\r\n");
}

#[tokio::test]
async fn values_are_handed_to_the_next_owner_only() {
    let mut nodes = Nodes::start(2, None).await;
    let key = key_of(0);
    let slot = slot::of(key.as_bytes());
    nodes.client(0).await.ask(&format!("set {key} v")).await;
    moving(&mut nodes);
    released(&mut nodes);
    let peer = nodes.table.members[0].peer.clone();
    let mut stranger = super::Wire::to(&peer).await;
    assert!(
        stranger
            .ask(&format!("LOCKRING.TAKE {slot} 2 {key}"))
            .await
            .starts_with("-ERR ")
    );
    let mut member = super::Wire::to(&peer).await;
    assert_eq!(member.ask("LOCKRING.PEER 1 member-1").await, "+OK\r\n");
    for epoch in [1, 3] {
        let refused = member
            .ask(&format!("LOCKRING.TAKE {slot} {epoch} {key}"))
            .await;
        assert!(refused.starts_with("-STALE "), "{refused}");
    }
    let taken = "*2\r\n$1\r\nv\r\n:-1\r\n";
    assert_eq!(
        member.ask(&format!("LOCKRING.TAKE {slot} 2 {key}")).await,
        taken
    );
    assert_eq!(
        member.ask(&format!("LOCKRING.TAKE {slot} 2 {key}")).await,
        "$-1\r\n"
    );
    let acted = member
        .ask(&format!("LOCKRING.AS 2 {slot} 1 GET {key}"))
        .await;
    assert!(acted.starts_with("-STALE "), "{acted}");
}
