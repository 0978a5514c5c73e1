//! `lockring dev --cache 3`, as the README says it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Three nodes and three cache nodes, until this is dropped.
pub(crate) struct Dev {
    process: Child,
    pub(crate) ready: Value,
}

/// A base port whose whole row is free, away from the default one, on which people work.
fn base_port() -> u16 {
    let rows = (10_000..31_000_u16).step_by(100);
    let start = std::process::id() as usize % 200;
    let free = |base: &u16| {
        let ports = (0..3).flat_map(|nth| [10 * nth, 10 * nth + 1]);
        let caches = (3..6).flat_map(|nth| (0..4).map(move |door| 10 * nth + door));
        let mut all = ports.chain(caches);
        all.all(|port| TcpListener::bind(("127.0.0.1", base + port)).is_ok())
    };
    rows.clone()
        .skip(start)
        .chain(rows)
        .find(free)
        .expect("a free row of ports")
}

impl Dev {
    pub(crate) fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_lockring"))
            .args([
                "dev",
                "--cache",
                "3",
                "--ephemeral",
                "--json",
                "--base-port",
            ])
            .arg(base_port().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Self { process, ready }
    }

    /// The port of the `nth` cache node's door.
    pub(crate) fn port(&self, nth: usize, door: &str) -> String {
        let address = self.ready["cache"][nth][door].as_str().unwrap();
        address.rsplit(':').next().unwrap().to_owned()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.process);
        // One that is gone already needs no signal.
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.process.wait();
    }
}

#[test]
fn the_ready_line_tells_where_the_caches_are() {
    let dev = Dev::start();
    let caches = dev.ready["cache"].as_array().unwrap();
    assert_eq!(caches.len(), 3);
    for (cache, nth) in caches.iter().zip(1..) {
        let mut fields: Vec<_> = cache.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        assert_eq!(fields, ["member", "pid", "proxy", "resp"]);
        assert_eq!(cache["member"], format!("cache-{nth}"));
    }
}
