//! Cache nodes as processes of their own, and what can be done to them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jepsen_lite::{Cluster, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The life of a cache node's session, where the test is of something else: one that no machine
/// ends by being slow.
const CALM_TTL: Duration = Duration::from_secs(20);
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A cache node; killed when it is dropped.
pub(crate) struct CacheNode {
    pub(crate) member: String,
    process: Child,
    pub(crate) resp: String,
    pub(crate) proxy: String,
}

impl CacheNode {
    /// Starts one and waits until it is on the ring.
    pub(crate) fn start(cluster: &Cluster, dir: &Path, member: &str, more: &[&str]) -> Self {
        Self::living(CALM_TTL, cluster, dir, member, more)
    }

    /// The same, with a session of this life.
    pub(crate) fn living(
        ttl: Duration,
        cluster: &Cluster,
        dir: &Path,
        member: &str,
        more: &[&str],
    ) -> Self {
        let audit = dir.join(format!("{member}.audit"));
        let log = std::fs::File::create(dir.join(format!("{member}.log"))).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_lockring"))
            .args([
                "cache",
                "--json",
                "--servers",
                &cluster.endpoints().join(","),
            ])
            .args([
                "--member",
                member,
                "--listen",
                "127.0.0.1:0",
                "--proxy",
                "127.0.0.1:0",
            ])
            .args(["--peer", "127.0.0.1:0", "--audit"])
            .arg(&audit)
            .args(["--ttl", &format!("{}s", ttl.as_secs())])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{member}: {line:?}: {error}"));
        Self {
            member: member.to_owned(),
            process,
            resp: ready["resp"].as_str().unwrap().to_owned(),
            proxy: ready["proxy"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn port(&self) -> &str {
        self.resp.rsplit(':').next().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) {
        let ended = async || self.process.try_wait().unwrap();
        let how = until(&format!("{} ends", self.member), ended).await;
        assert!(how.success(), "{}: {how}", self.member);
    }
}

impl Drop for CacheNode {
    fn drop(&mut self) {
        // One that is gone already needs no signal; one that is stopped ends by this one, too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {SOON:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The ring, when exactly these members are active on it and nothing moves.
pub(crate) async fn settled(cluster: &Cluster, members: &[&str]) -> Value {
    let api = cluster.api(1);
    let look = async || {
        let ring = api.get("/v1/rings/cache").await.ok()?.expect(200).ok()?;
        let list = ring["members"].as_array()?;
        let active = list.iter().filter(|member| member["state"] == "active");
        let names: Vec<_> = active
            .filter_map(|member| member["member"].as_str())
            .collect();
        let rests = ring["moving"] == 0 && list.len() == members.len() && names == members;
        rests.then(|| ring.clone())
    };
    wait_for(&format!("{members:?} share the ring"), SOON, look)
        .await
        .unwrap()
}

/// The ring, when a member is down and others have its slots.
pub(crate) async fn settled_without(cluster: &Cluster, member: &str) -> Value {
    let api = cluster.api(1);
    let look = async || {
        let ring = api.get("/v1/rings/cache").await.ok()?.expect(200).ok()?;
        let mut list = ring["members"].as_array()?.iter();
        let row = list.find(|row| row["member"] == member)?;
        let rests = row["state"] == "down" && row["slots"] == 0 && ring["moving"] == 0;
        rests.then(|| ring.clone())
    };
    wait_for("others have its slots", SOON, look).await.unwrap()
}

/// How many slots a change would move, as the cluster plans it.
pub(crate) async fn planned(cluster: &Cluster, change: Value) -> u64 {
    let body = json!({"changes": [change]});
    let plan = cluster
        .api(1)
        .post("/v1/rings/cache/plan", body)
        .await
        .unwrap();
    plan.expect(200).unwrap()["moved_slots"].as_u64().unwrap()
}

/// How many slots have moved between two pictures of the ring.
pub(crate) async fn moved(cluster: &Cluster, before: &Value, after: &Value) -> u64 {
    let path = format!(
        "/v1/rings/cache/diff?from={}&to={}",
        before["epoch"], after["epoch"]
    );
    let diff = cluster
        .api(1)
        .get(&path)
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    diff["moved_slots"].as_u64().unwrap()
}
