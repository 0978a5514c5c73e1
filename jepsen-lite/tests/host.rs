//! `host` with a program of somebody else's kind: a job in Python that writes to a real Redis.

mod program;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use program::{exits_with, lockring, tool};

/// A server of Redis of its own; killed when it is dropped.
struct Redis {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Free a moment ago; another process may be faster, and then the next one is tried.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut process = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--dir"])
                .arg(dir.path())
                .stdout(Stdio::piped())
                .spawn()
                .expect("redis-server is installed");
            let told = BufReader::new(process.stdout.take().unwrap()).lines();
            let mut lines = told.map_while(Result::ok);
            if lines.any(|line| line.contains("Ready to accept connections")) {
                return Self {
                    process,
                    port,
                    _dir: dir,
                };
            }
            process.wait().unwrap();
        }
        panic!("redis-server finds no port");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hosted(how: &str, code: i32, says: &str) {
    let redis = Redis::start();
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host_job.py");
    let mut host = tool();
    host.args([
        "host",
        "--ttl",
        "1s",
        "--time",
        "20s",
        "--nemesis",
        "holder,kill",
        "--binary",
    ]);
    host.arg(lockring()).args(["--", "python3"]).arg(job);
    host.args([&redis.port.to_string(), how]);
    exits_with(&host.output().unwrap(), code, says);
}

#[test]
fn a_job_that_writes_whatever_its_fence_is_found_out() {
    hosted(
        "blind",
        1,
        "effects with a stale fence: your resource does not check",
    );
}

#[test]
fn a_job_whose_store_checks_fences_is_not_complained_of() {
    hosted("check", 0, "no effect with a stale fence was seen");
}
