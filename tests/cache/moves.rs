//! A ring that changes under load: a node joins, one drains, one is paused, one is killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use jepsen_lite::{Cluster, Options};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::installed;
use crate::node::{CacheNode, SOON, TTL, moved, planned, settled};

/// redis-py under way, and what it sees.
struct Load {
    process: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Load {
    fn start(nodes: &[CacheNode]) -> Self {
        let ports: Vec<_> = nodes.iter().map(CacheNode::port).collect();
        let mut process = Command::new(installed("python/bin/python"))
            .args(["tests/cache/clients/load.py", &ports.join(",")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (ask, told) = (
            process.stdin.take().unwrap(),
            process.stdout.take().unwrap(),
        );
        let mut load = Self {
            process,
            ask,
            told: BufReader::new(told),
        };
        assert_eq!(load.line(), "ready\n");
        load
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line
    }

    /// What was seen since the last call.
    fn phase(&mut self, name: &str) -> Value {
        self.ask.write_all(b"next\n").unwrap();
        let seen: Value = serde_json::from_str(&self.line()).unwrap();
        let (reads, hits) = (
            seen["reads"].as_f64().unwrap(),
            seen["hits"].as_f64().unwrap(),
        );
        println!(
            "{name}: {:.1} % of {reads} reads hit, {seen}",
            100.0 * hits / reads.max(1.0)
        );
        assert_eq!(seen["stale"], json!([]), "{name}");
        seen
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hit_ratio(seen: &Value) -> f64 {
    seen["hits"].as_f64().unwrap() / seen["reads"].as_f64().unwrap()
}

fn assert_nothing_failed(name: &str, seen: &Value) {
    assert_eq!(seen["failed"], json!([]), "{name}");
    assert!(seen["reads"].as_u64().unwrap() > 20, "{name}: {seen}");
}

/// Whether some node serves every slot: one key of each of the ring's owners is written.
async fn all_served(client: &mut redis::cluster::ClusterClient) -> bool {
    let Ok(mut connection) = client.get_async_connection().await else {
        return false;
    };
    for n in 0..64 {
        let write = redis::cmd("SET")
            .arg(format!("probe:{n}"))
            .arg(n)
            .to_owned();
        let answered: redis::RedisResult<()> = write.query_async(&mut connection).await;
        if answered.is_err() {
            return false;
        }
    }
    true
}

fn client(nodes: &[&CacheNode]) -> redis::cluster::ClusterClient {
    let urls: Vec<_> = nodes
        .iter()
        .map(|node| format!("redis://{}", node.resp))
        .collect();
    redis::cluster::ClusterClientBuilder::new(urls)
        .retries(0)
        .response_timeout(Duration::from_millis(300))
        .connection_timeout(Duration::from_millis(300))
        .build()
        .unwrap()
}

#[tokio::test]
async fn no_two_nodes_answer_for_one_slot_whatever_happens_to_them() {
    let cluster = Cluster::start(Options::new(env!("CARGO_BIN_EXE_lockring")))
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let start = |member: &str| CacheNode::start(&cluster, dir.path(), member, &[]);
    let mut nodes: Vec<_> = ["a", "b", "c"].map(start).into();
    let mut audits: Vec<_> = nodes.iter().map(|node| node.audit.clone()).collect();
    let three = settled(&cluster, &["a", "b", "c"]).await;
    let mut load = Load::start(&nodes);
    let warm = async |load: &mut Load| {
        tokio::time::sleep(Duration::from_secs(3)).await;
        load.phase("steady")
    };
    warm(&mut load).await;

    // A fourth joins: as many slots move as the plan says, and no request fails.
    let wanted = planned(&cluster, json!({"join": "d"})).await;
    let joined = start("d");
    audits.push(joined.audit.clone());
    nodes.push(joined);
    let four = settled(&cluster, &["a", "b", "c", "d"]).await;
    assert_eq!(moved(&cluster, &three, &four).await, wanted);
    let seen = load.phase("join");
    assert_nothing_failed("join", &seen);
    assert!(hit_ratio(&seen) > 0.9, "values come along: {seen}");

    // One drains and goes by itself.
    let wanted = planned(&cluster, json!({"drain": "b"})).await;
    nodes[1].signal(Signal::TERM);
    nodes[1].ended().await;
    let drained = settled(&cluster, &["a", "c", "d"]).await;
    assert_eq!(moved(&cluster, &four, &drained).await, wanted);
    let seen = load.phase("drain");
    assert_nothing_failed("drain", &seen);
    assert!(hit_ratio(&seen) > 0.9, "values come along: {seen}");
    nodes.remove(1);

    // One is stopped for longer than its session, and wakes up without a right to anything.
    nodes[1].signal(Signal::STOP);
    settled_without(&cluster, "c").await;
    tokio::time::sleep(TTL).await;
    nodes[1].signal(Signal::CONT);
    settled(&cluster, &["a", "c", "d"]).await;
    load.phase("pause");

    // One is killed: the others serve its slots when its session is over, and not much later.
    let mut probe = client(&[&nodes[1], &nodes[2]]);
    let served = async |probe: &mut redis::cluster::ClusterClient| {
        let begun = Instant::now();
        while !all_served(probe).await {
            assert!(begun.elapsed() < SOON, "some slots are not served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    };
    served(&mut probe).await;
    nodes[0].signal(Signal::KILL);
    let silent = served(&mut probe).await;
    println!("kill: every slot was served again after {silent:?}, the session is of {TTL:?}");
    assert!(silent <= Duration::from_millis(4_500), "{silent:?}");
    load.phase("kill");
    warm(&mut load).await;
    drop(load);
    drop(nodes);
    let intervals = crate::audit::check(audits.iter().map(AsRef::as_ref));
    println!("audit: {intervals} intervals, disjoint");
    assert!(intervals > 500, "{intervals}");
}

/// Waits until a member is down and others have its slots.
async fn settled_without(cluster: &Cluster, member: &str) {
    let api = cluster.api(1);
    let look = async || {
        let ring = api.get("/v1/rings/cache").await.ok()?.expect(200).ok()?;
        let list = ring["members"].as_array()?.clone();
        let mut others = list.iter().filter(|row| row["member"] == member);
        others.all(|row| row["slots"] == 0).then_some(())
    };
    jepsen_lite::wait_for("others have its slots", SOON, look)
        .await
        .unwrap();
}

/// The same drain with and without warm hand-over: what it is good for.
#[tokio::test]
async fn a_drain_without_hand_over_forgets_and_with_it_does_not() {
    let mut ratios = Vec::new();
    for warm in ["0s", "60s"] {
        let cluster = Cluster::start(Options::new(env!("CARGO_BIN_EXE_lockring")))
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let start =
            |member: &str| CacheNode::start(&cluster, dir.path(), member, &["--warm", warm]);
        let nodes: Vec<_> = ["a", "b"].map(start).into();
        settled(&cluster, &["a", "b"]).await;
        let mut load = Load::start(&nodes);
        tokio::time::sleep(Duration::from_secs(6)).await;
        load.phase("before");
        nodes[1].signal(Signal::TERM);
        settled(&cluster, &["a"]).await;
        let seen = load.phase(&format!("drain, warm for {warm}"));
        ratios.push(hit_ratio(&seen));
    }
    assert!(ratios[0] < ratios[1], "{ratios:?}");
    assert!(ratios[1] > 0.95, "{ratios:?}");
}
