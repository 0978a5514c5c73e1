//! One node process: its files, its signals, its log.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::Api;

/// How many of the last lines of a log are kept at hand.
const TAIL_LINES: usize = 40;

/// One node, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) api: Api,
    pub(crate) peer: String,
    pub(crate) environment: Vec<(String, String)>,
    binary: PathBuf,
    dir: PathBuf,
    process: Option<Child>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Node {
    pub(crate) fn new(id: u64, binary: &Path, dir: &Path, api: Api, peer: u16) -> Self {
        Self {
            id,
            api,
            peer: format!("127.0.0.1:{peer}"),
            environment: Vec::new(),
            binary: binary.to_owned(),
            dir: dir.to_owned(),
            process: None,
            log: Arc::default(),
        }
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.dir.join(format!("node-{}.toml", self.id))
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join(format!("node-{}", self.id))
    }

    /// Starts the process; its log goes on in the file of the one before.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.is_none(), "node {} runs already", self.id);
        // The shell is there for one thing: writing beyond a file-size limit shall be an error
        // to the node, like a full disk, not a signal that ends it (see `fill_disk`).
        let mut process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(&self.binary)
            .args(["serve", "--exit-with-parent", "--config"])
            .arg(self.config_path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let lines = process.stderr.take().context("stderr is a pipe")?;
        let path = self.dir.join(format!("node-{}.log", self.id));
        let file = File::options().create(true).append(true).open(path)?;
        let tail = Arc::clone(&self.log);
        // It ends with the process, whose last words it has to wait for; nobody joins it.
        thread::spawn(move || keep(lines, file, &tail));
        self.process = Some(process);
        Ok(())
    }

    /// The ports at which it serves clients and peers.
    pub(crate) fn ports(&self) -> anyhow::Result<[u16; 2]> {
        let port = |address: &str| {
            let (_, port) = address.rsplit_once(':').context("no port")?;
            anyhow::Ok(port.parse()?)
        };
        Ok([port(self.api.address())?, port(&self.peer)?])
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        let process = self.process.as_ref();
        Ok(process
            .with_context(|| format!("node {} does not run", self.id))?
            .id())
    }

    pub(crate) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    fn kernel_pid(&self) -> anyhow::Result<Pid> {
        Pid::from_raw(self.pid()?.cast_signed()).context("pid 0")
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.kernel_pid()?, signal)?)
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else {
            anyhow::bail!("node {} does not run", self.id);
        };
        let exited = process.try_wait()?;
        if exited.is_some() {
            self.process = None;
        }
        Ok(exited)
    }

    /// From now on the node can write to no file: to it, the disk is full.
    pub(crate) fn fill_disk(&self) -> anyhow::Result<()> {
        let none = Rlimit {
            current: Some(0),
            maximum: None,
        };
        prlimit(Some(self.kernel_pid()?), Resource::Fsize, none)?;
        Ok(())
    }

    pub(crate) fn wipe(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.is_none(), "node {} still runs", self.id);
        Ok(fs::remove_dir_all(self.data_dir())?)
    }

    /// The last lines that it logged.
    pub(crate) fn log_tail(&self) -> String {
        let lines = self.log.lock().expect("no thread panics with it");
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn keep(lines: ChildStderr, mut file: File, tail: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        let _ = writeln!(file, "{line}");
        let mut tail = tail.lock().expect("no thread panics with it");
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}
