//! `lockring dev`: three nodes, told of and ended together.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jepsen_lite::{Api, wait_for};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// A running `dev` and its first line.
struct Dev {
    process: Child,
    ready: Value,
}

/// A base port whose whole row is free, away from the default one, on which people work.
fn base_port() -> u16 {
    let rows = (10_000..31_000).step_by(100);
    let start = std::process::id() as usize % 200;
    let free = |base: &u16| {
        let row = (0..3).flat_map(|nth| [base + 10 * nth, base + 10 * nth + 1]);
        row.map(|port| TcpListener::bind(("127.0.0.1", port)))
            .all(|bound| bound.is_ok())
    };
    rows.skip(start)
        .find(free)
        .expect("some row of ports is free")
}

fn command(base_port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockring"));
    command
        .args(["dev", "--json", "--ephemeral", "--base-port"])
        .arg(base_port.to_string())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

impl Dev {
    fn start(base_port: u16, arguments: &[&str]) -> Self {
        let mut process = command(base_port, arguments).spawn().unwrap();
        let mut line = String::new();
        let out = process.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no ready line: {line}"));
        Self { process, ready }
    }

    fn pids(&self) -> Vec<Pid> {
        let nodes = self.ready["nodes"].as_array().unwrap();
        let pid = |node: &Value| i32::try_from(node["pid"].as_i64().unwrap()).unwrap();
        nodes
            .iter()
            .map(|node| Pid::from_raw(pid(node)).unwrap())
            .collect()
    }

    fn api(&self, nth: usize) -> Api {
        Api::new(self.ready["nodes"][nth]["api"].as_str().unwrap())
    }

    async fn end(mut self, signal: Signal) -> Option<i32> {
        let pids = self.pids();
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        let ended = async || self.process.try_wait().transpose();
        let ended = wait_for("the end of dev", SOON, ended)
            .await
            .unwrap()
            .unwrap();
        let gone = async || {
            pids.iter()
                .all(|pid| test_kill_process(*pid).is_err())
                .then_some(())
        };
        wait_for("the end of all nodes", SOON, gone).await.unwrap();
        ended.code()
    }
}

async fn holder(api: &Api) -> Option<u64> {
    let lock = api.get("/v1/locks/demo").await.ok()?;
    lock.body["holders"][0]["fence"].as_u64()
}

#[tokio::test]
async fn the_ready_line_has_its_shape_and_ctrl_c_ends_all() {
    let base = base_port();
    let dev = Dev::start(base, &[]);
    let fields: Vec<_> = dev.ready.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["nodes", "ready"]);
    assert_eq!(dev.ready["ready"], true);
    let nodes = dev.ready["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for (node, nth) in nodes.iter().zip(0..) {
        let mut fields: Vec<_> = node.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        assert_eq!(fields, ["api", "id", "pid"]);
        assert_eq!(node["id"], nth + 1);
        let port = base + 10 * u16::try_from(nth).unwrap();
        assert_eq!(node["api"], format!("http://127.0.0.1:{port}"));
    }
    // Ready means ready: the first call is served.
    let ask = serde_json::json!({"ttl_ms": 60_000});
    let granted = dev
        .api(2)
        .post("/v1/locks/demo/acquire", ask)
        .await
        .unwrap();
    let granted = granted.expect(200).unwrap();
    assert_eq!(holder(&dev.api(1)).await, granted["fence"].as_u64());
    assert_eq!(dev.end(Signal::INT).await, Some(0));
}

#[tokio::test]
async fn the_nodes_die_with_dev_even_if_that_is_killed() {
    let dev = Dev::start(base_port(), &[]);
    assert_eq!(dev.end(Signal::KILL).await, None);
}

#[tokio::test]
async fn a_node_that_dies_stays_dead_unless_restart_is_asked_for() {
    let dev = Dev::start(base_port(), &["--restart"]);
    let (first, api) = (dev.pids()[0], dev.api(0));
    kill_process(first, Signal::KILL).unwrap();
    let back = async || {
        let ready = api.get("/readyz").await.ok()?;
        (ready.status == 200 && test_kill_process(first).is_err()).then_some(())
    };
    wait_for("the node is back", SOON, back).await.unwrap();
    dev.end(Signal::TERM).await;

    let dev = Dev::start(base_port(), &[]);
    kill_process(dev.pids()[0], Signal::KILL).unwrap();
    let others = dev.api(1);
    let without = async || {
        let cluster = others.get("/v1/cluster").await.ok()?;
        cluster.body["leader"]
            .as_u64()
            .filter(|leader| *leader != 1)
    };
    wait_for("a leader among the others", SOON, without)
        .await
        .unwrap();
    assert!(dev.api(0).get("/healthz").await.is_err());
    dev.end(Signal::INT).await;
}

#[tokio::test]
async fn a_port_that_is_in_use_is_named() {
    let base = base_port();
    let _taken = TcpListener::bind(("127.0.0.1", base + 11)).unwrap();
    let refused = command(base, &[]).stderr(Stdio::piped()).output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    let wanted = format!("node 2 cannot listen at 127.0.0.1:{}", base + 11);
    assert!(
        said.contains(&wanted) && said.contains("--base-port"),
        "{said}"
    );
}
