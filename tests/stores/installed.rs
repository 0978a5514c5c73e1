//! Servers that are installed on this machine, started for one test on a loopback port of their
//! own, with their files in a temporary directory, and ended with it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jepsen_lite::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Others may take a port between our look and the server's.
const STARTS_MAX: u32 = 5;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    process: Child,
    farewell: Signal,
    _dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).expect("it has a number");
        let _ = kill_process(pid, self.farewell);
        let _ = self.process.wait();
    }
}

impl Server {
    /// PostgreSQL, which trusts whoever connects.
    pub(crate) async fn postgres() -> Self {
        let bin = postgres_bin();
        let dir = tempfile::Builder::new()
            .prefix("lockring-")
            .tempdir()
            .unwrap();
        let mut as_whom = Vec::new();
        // It refuses to run as root.
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = ids_of("postgres");
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid)).unwrap();
            as_whom = vec![
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".into(),
            ];
        }
        let data = dir.path().join("data");
        let made = Command::new("setpriv")
            .args(&as_whom)
            .arg(bin.join("initdb"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "-D"])
            .arg(&data)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        Self::start(dir, Signal::QUIT, |port, dir| {
            let mut command = Command::new("setpriv");
            command
                .args(&as_whom)
                .args(["--pdeathsig", "QUIT"])
                .arg(bin.join("postgres"))
                .arg("-D")
                .arg(&data)
                .args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port.to_string(),
                    "-c",
                    "fsync=off",
                    "-k",
                    "",
                ])
                .current_dir(dir);
            command
        })
        .await
    }

    /// Redis, which keeps nothing on disk.
    pub(crate) async fn redis() -> Self {
        let found = Command::new("redis-server").arg("--version").output();
        assert!(
            found.is_ok(),
            "Redis is not installed: apt-get install -y redis-server"
        );
        let dir = tempfile::Builder::new()
            .prefix("lockring-")
            .tempdir()
            .unwrap();
        Self::start(dir, Signal::TERM, |port, dir| {
            let mut command = Command::new("setpriv");
            command
                .args(["--pdeathsig", "KILL", "redis-server", "--bind", "127.0.0.1"])
                .args(["--port", &port.to_string(), "--save", "", "--dir"])
                .arg(dir);
            command
        })
        .await
    }

    async fn start(
        dir: TempDir,
        farewell: Signal,
        command: impl Fn(u16, &Path) -> Command,
    ) -> Self {
        let (port, process) = started(|port| command(port, dir.path())).await;
        Self {
            port,
            process,
            farewell,
            _dir: dir,
        }
    }
}

/// The server on a port of its own, as soon as it takes connections.
async fn started(command: impl Fn(u16) -> Command) -> (u16, Child) {
    for _ in 0..STARTS_MAX {
        let port = free_port();
        let mut command = command(port);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.spawn().unwrap();
        let takes = wait_for("a connection to the server", READY_WITHIN, async || {
            if process.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connected.is_ok().then_some(true)
        });
        if takes.await.unwrap() {
            return (port, process);
        }
    }
    panic!("{STARTS_MAX} times in a row the server ended as it was started: see its words")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Where Debian puts the programs of the newest version.
fn postgres_bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let found = versions.filter_map(|version| {
        let bin = version.ok()?.path().join("bin");
        bin.join("initdb").exists().then_some(bin)
    });
    found
        .max()
        .expect("PostgreSQL is not installed: apt-get install -y postgresql")
}

fn ids_of(user: &str) -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(user));
    let fields: Vec<_> = line
        .expect("its package makes the user")
        .split(':')
        .collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}
