//! A ring that changes under load: a node joins, one drains, one is paused, one is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use jepsen_lite::{Cluster, Options};
use lockring_client::Client;
use lockring_client::wire::{ConfigureRing, Placement, RingHash};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::load::{ALL_KEYS, Load};
use crate::node::{CacheNode, SOON, moved, planned, settled, settled_without};

/// The life of the session of a node that is paused and killed; no others' ends by accident.
const MORTAL_TTL: Duration = Duration::from_secs(3);
/// A killed node's slots are served again within this time, on a machine that has it.
const SERVED_AGAIN_WITHIN: Duration = Duration::from_millis(4_500);
/// A kill is repeated so often before the time that it takes is believed to be the product's.
const KILLS: usize = 3;
/// Keys of a probe: enough for each node to own many of them.
const PROBES: usize = 200;

/// What happens on a ring, and what each step of it moved.
struct Story {
    cluster: Cluster,
    dir: tempfile::TempDir,
    /// The ring as it was before the next step.
    ring: Value,
}

impl Story {
    async fn begin() -> Self {
        let cluster = Cluster::start(Options::new(env!("CARGO_BIN_EXE_lockring")))
            .await
            .unwrap();
        // Nobody is given up for good while the test runs, however slowly it does.
        let settings = ConfigureRing {
            hash: Some(RingHash::Crc16),
            placement: Some(Placement::Exact),
            reassign_delay_ms: Some(170_000),
            ..ConfigureRing::default()
        };
        let client = Client::new(cluster.endpoints()).unwrap();
        client.configure_ring("cache", &settings).await.unwrap();
        Self {
            ring: Value::Null,
            cluster,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn start(&self, member: &str, more: &[&str]) -> CacheNode {
        CacheNode::start(&self.cluster, self.dir.path(), member, more)
    }

    fn start_mortal(&self) -> CacheNode {
        CacheNode::living(MORTAL_TTL, &self.cluster, self.dir.path(), "a", &[])
    }

    /// Nobody has answered for a slot while another did; to be called when all have ended.
    fn audit(&self, members: &[&str]) {
        let file = |member: &&str| self.dir.path().join(format!("{member}.audit"));
        let files: Vec<_> = members.iter().map(file).collect();
        let intervals = crate::audit::check(files.iter().map(AsRef::<Path>::as_ref));
        println!("audit: {intervals} intervals, disjoint");
        assert!(intervals > 500, "{intervals}");
    }

    /// Notes how the ring is now; it has moved as many slots as was planned.
    async fn moved(&mut self, step: &str, now: Value, wanted: u64) {
        let slots = moved(&self.cluster, &self.ring, &now).await;
        println!("{step}: {slots} slots moved, the plan said {wanted}");
        assert_eq!(slots, wanted, "{step}");
        assert!(slots > 1_000, "{step}: it is about a third or a fourth");
        self.ring = now;
    }

    async fn settled(&self, members: &[&str]) -> Value {
        settled(&self.cluster, members).await
    }

    async fn planned(&self, change: Value) -> u64 {
        planned(&self.cluster, change).await
    }
}

/// Until every key of a probe was written through one of these nodes; answers how long that took,
/// and how long the last round of it took by itself.
async fn served(nodes: &[&CacheNode]) -> (Duration, Duration) {
    let begun = Instant::now();
    loop {
        let round = Instant::now();
        let mut written = [false; PROBES];
        for node in nodes {
            let answers = tokio::time::timeout(SOON, probe(&node.resp)).await.unwrap();
            for (written, is_ok) in written.iter_mut().zip(answers.unwrap()) {
                *written |= is_ok;
            }
        }
        if written.iter().all(|written| *written) {
            return (begun.elapsed(), round.elapsed());
        }
        assert!(begun.elapsed() < SOON, "some slots are not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Has one node write each key of a probe; which of them it did.
async fn probe(address: &str) -> std::io::Result<Vec<bool>> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let writes = (0..PROBES).map(|n| format!("SET probe:{n} {n}\r\n"));
    stream
        .write_all(writes.collect::<String>().as_bytes())
        .await?;
    let mut written = Vec::new();
    let mut lines = stream.lines();
    while written.len() < PROBES {
        let line = lines.next_line().await?;
        let line = line.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        written.push(line == "+OK");
    }
    Ok(written)
}

#[tokio::test]
async fn a_join_and_a_drain_fail_no_request_and_lose_nothing() {
    let mut story = Story::begin().await;
    let mut nodes: Vec<_> = ["a", "b", "c"]
        .map(|member| story.start(member, &[]))
        .into();
    story.ring = story.settled(&["a", "b", "c"]).await;
    let mut load = Load::start(&nodes);
    load.phase("steady", ALL_KEYS);

    let wanted = story.planned(json!({"join": "d"})).await;
    nodes.push(story.start("d", &[]));
    let now = story.settled(&["a", "b", "c", "d"]).await;
    story.moved("join", now, wanted).await;
    let seen = load.phase("join", ALL_KEYS);
    seen.assert_nothing_failed("join");
    assert!(seen.hit_ratio() > 0.9, "{seen:?}");

    // One that is asked to stop drains and goes by itself.
    let wanted = story.planned(json!({"drain": "b"})).await;
    nodes[1].signal(Signal::TERM);
    let now = story.settled(&["a", "c", "d"]).await;
    story.moved("drain", now, wanted).await;
    let seen = load.phase("drain", ALL_KEYS);
    seen.assert_nothing_failed("drain");
    assert!(seen.hit_ratio() > 0.9, "{seen:?}");
    nodes[1].ended().await;
    load.phase("gone", ALL_KEYS).assert_nothing_failed("gone");
    drop((load, nodes));
    story.audit(&["a", "b", "c", "d"]);
}

/// One that is stopped for longer than its session wakes up without a right to anything. One that
/// is killed is followed by others when its session is over, and not much later: how much is the
/// machine's affair as well, so on one that is busy with other things the best of a few kills
/// counts, each of the same node, which joins again in between.
#[tokio::test]
async fn no_two_nodes_answer_for_one_slot_when_one_is_paused_and_killed() {
    let mut story = Story::begin().await;
    let mut nodes: Vec<_> = ["b", "c"].map(|member| story.start(member, &[])).into();
    nodes.insert(0, story.start_mortal());
    story.ring = story.settled(&["a", "b", "c"]).await;
    let mut load = Load::start(&nodes);

    let wanted = story.planned(json!({"leave": "a"})).await;
    nodes[0].signal(Signal::STOP);
    let now = settled_without(&story.cluster, "a").await;
    story.moved("pause", now, wanted).await;
    load.phase("pause", ALL_KEYS);
    let wanted = story.planned(json!({"join": "a"})).await;
    nodes[0].signal(Signal::CONT);
    let now = story.settled(&["a", "b", "c"]).await;
    story.moved("awake", now, wanted).await;
    load.phase("awake", ALL_KEYS);

    for kill in 1.. {
        let (_, round) = served(&[&nodes[0], &nodes[1], &nodes[2]]).await;
        let wanted = story.planned(json!({"leave": "a"})).await;
        nodes[0].signal(Signal::KILL);
        let (silent, _) = served(&[&nodes[1], &nodes[2]]).await;
        println!(
            "kill: every slot was served again after {silent:?}; the session is of {MORTAL_TTL:?}, \
             to ask for all of them takes {round:?}"
        );
        let now = settled_without(&story.cluster, "a").await;
        story.moved("kill", now, wanted).await;
        load.phase("kill", ALL_KEYS);
        if silent <= SERVED_AGAIN_WITHIN {
            break;
        }
        assert!(
            kill < KILLS,
            "not within {SERVED_AGAIN_WITHIN:?}: {silent:?}"
        );
        nodes[0] = story.start_mortal();
        story.ring = story.settled(&["a", "b", "c"]).await;
    }
    drop((load, nodes));
    story.audit(&["a", "b", "c"]);
}

/// The same drain with and without warm hand-over: what it is good for.
#[tokio::test]
async fn a_drain_without_hand_over_forgets_and_with_it_does_not() {
    let mut lost = Vec::new();
    for warm in ["0s", "60s"] {
        let mut story = Story::begin().await;
        let nodes: Vec<_> = ["a", "b"]
            .map(|member| story.start(member, &["--warm", warm]))
            .into();
        story.ring = story.settled(&["a", "b"]).await;
        let mut load = Load::start(&nodes);
        load.phase("before", ALL_KEYS);
        let wanted = story.planned(json!({"drain": "b"})).await;
        nodes[1].signal(Signal::TERM);
        let now = story.settled(&["a"]).await;
        story.moved("drain", now, wanted).await;
        let during = load.phase(&format!("during a drain, warm for {warm}"), 0);
        let after = load.phase(&format!("after it, warm for {warm}"), ALL_KEYS);
        after.assert_nothing_failed("after it");
        lost.push(during.lost() + after.lost());
    }
    // Two workers have as many keys each, and the node that drained had half of the slots.
    let had = 2 * ALL_KEYS / 2;
    assert!(lost[0] > had / 2, "without hand-over: {lost:?}");
    assert!(lost[1] < had / 10, "with it: {lost:?}");
}
