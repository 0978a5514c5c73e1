//! A steady load through redis-py, and what it sees of what happens to the nodes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::installed;
use crate::node::CacheNode;

/// Steps in which each worker has asked for each of its keys once.
pub(crate) const ALL_KEYS: u64 = 300;

/// redis-py under way.
pub(crate) struct Load {
    process: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
}

/// What was seen in one phase.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    reads: u64,
    /// Reads of keys whose writes were acknowledged, and how many of these found something.
    known: u64,
    hits: u64,
    /// Requests that failed, after all that redis-py tries by itself.
    failed: Vec<String>,
    /// Values that are older than one whose write was acknowledged.
    stale: Vec<serde_json::Value>,
    slowest_ms: f64,
}

impl Load {
    /// Starts it, and goes on when each key is there.
    pub(crate) fn start(nodes: &[CacheNode]) -> Self {
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
        let told = BufReader::new(told);
        let mut load = Self { process, ask, told };
        assert_eq!(load.line(), "ready\n");
        load.phase("begin", ALL_KEYS);
        load
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line
    }

    /// What was seen since the last call, once each worker has gone through so many steps.
    pub(crate) fn phase(&mut self, name: &str, steps: u64) -> Seen {
        writeln!(self.ask, "{steps}").unwrap();
        let seen: Seen = serde_json::from_str(&self.line()).unwrap();
        println!(
            "{name}: {:.1} % of {} reads hit ({} lost), {} failed, the slowest took {:.0} ms",
            100.0 * seen.hit_ratio(),
            seen.reads,
            seen.lost(),
            seen.failed.len(),
            seen.slowest_ms,
        );
        assert!(seen.stale.is_empty(), "{name}: {seen:?}");
        seen
    }
}

impl Seen {
    /// Of the reads of keys that were there before.
    pub(crate) fn hit_ratio(&self) -> f64 {
        self.hits as f64 / self.known.max(1) as f64
    }

    /// Reads that found nothing of what had been written.
    pub(crate) fn lost(&self) -> u64 {
        self.known - self.hits
    }

    pub(crate) fn assert_nothing_failed(&self, name: &str) {
        assert!(self.failed.is_empty(), "{name}: {self:?}");
        assert!(self.known >= ALL_KEYS, "{name}: {self:?}");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
