//! The node processes: started, watched, stopped.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::select_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::layout::Layout;

/// How long a node may take to stop in order before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// One node that runs.
struct Node {
    process: Child,
    /// How it is stopped: a cache node keeps nothing, and when all go there is nobody to drain to.
    stop: Signal,
    /// The node stops when this pipe ends: with us. It is kept apart from the process, because
    /// waiting for a process closes the pipe that it has.
    _tie: ChildStdin,
}

/// The nodes that run.
pub(super) struct Nodes {
    running: BTreeMap<u64, Node>,
}

impl Nodes {
    pub(super) fn start(layout: &Layout) -> anyhow::Result<Self> {
        let mut nodes = Self {
            running: BTreeMap::new(),
        };
        for member in &layout.members {
            nodes.start_again(member.id, layout)?;
        }
        Ok(nodes)
    }

    /// Starts the cache nodes; the nodes they ask must be there.
    pub(super) fn start_caches(&mut self, layout: &Layout) -> anyhow::Result<()> {
        for cache in &layout.caches {
            self.start_again(cache.id, layout)?;
        }
        Ok(())
    }

    /// Starts one node and answers its process id.
    pub(super) fn start_again(&mut self, id: u64, layout: &Layout) -> anyhow::Result<u32> {
        let program = std::env::current_exe().context("where this program is")?;
        let path = layout.log_path(id);
        let log = File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("cannot write {}", path.display()))?;
        let mut process = Command::new(program)
            .args(layout.command(id))
            .arg("--exit-with-parent")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us; the nodes are then stopped in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", layout.name(id)))?;
        let pid = process.id().context("the node ended as it was started")?;
        let _tie = process.stdin.take().context("stdin is a pipe")?;
        let is_cache = layout.caches.iter().any(|cache| cache.id == id);
        let stop = if is_cache { Signal::KILL } else { Signal::TERM };
        let node = Node {
            process,
            stop,
            _tie,
        };
        self.running.insert(id, node);
        Ok(pid)
    }

    pub(super) fn pid(&self, id: u64) -> Option<u32> {
        self.running.get(&id)?.process.id()
    }

    pub(super) fn all_dead(&self) -> bool {
        self.running.is_empty()
    }

    /// A node that has ended, if one has.
    pub(super) fn exited(&mut self) -> anyhow::Result<Option<(u64, ExitStatus)>> {
        for (id, node) in &mut self.running {
            if let Some(how) = node.process.try_wait()? {
                return Ok(Some((*id, how)));
            }
        }
        Ok(None)
    }

    /// Waits until a node ends.
    pub(super) async fn next_exit(&mut self) -> anyhow::Result<(u64, ExitStatus)> {
        let waits = self.running.iter_mut().map(|(id, node)| {
            let id = *id;
            Box::pin(async move { (id, node.process.wait().await) })
        });
        let ((id, how), _, _) = select_all(waits).await;
        self.running.remove(&id);
        Ok((id, how?))
    }

    /// Stops them all: in order if they can, else by force.
    pub(super) async fn stop(mut self) {
        for node in self.running.values() {
            if let Some(pid) = node
                .process
                .id()
                .and_then(|id| Pid::from_raw(id.cast_signed()))
            {
                // One that is gone already needs no signal.
                let _ = kill_process(pid, node.stop);
            }
        }
        let all = self.running.values_mut();
        let ended = futures_util::future::join_all(all.map(|node| node.process.wait()));
        if timeout(STOP_WITHIN, ended).await.is_ok() {
            return;
        }
        for node in self.running.values_mut() {
            let _ = node.process.kill().await;
        }
    }
}
