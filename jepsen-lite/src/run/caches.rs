//! The cache tier of a run: cache nodes, and the origin of their values.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Plan;
use crate::checker;
use crate::cluster::Cluster;
use crate::history::Event;
use crate::nemesis::Sufferer;
use crate::worker::CacheNode;

/// How many cache nodes.
pub(super) const NODES: u64 = 3;
/// From a node's start until it is on the ring.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Cache nodes, each with a place of its own among the callers of the cluster.
pub(super) struct Caches {
    pub(super) origin: SocketAddr,
    nodes: Vec<(String, Child, CacheNode)>,
    /// It ends when this is dropped.
    _origin: Child,
    out: PathBuf,
}

impl Caches {
    /// Starts them; `first` is the number of the first one's links.
    pub(super) async fn start(plan: &Plan, cluster: &Cluster, first: u64) -> anyhow::Result<Self> {
        let (origin, process) = tell_address(Command::new(&plan.tool).arg("origin")).await?;
        let mut caches = Self {
            origin,
            nodes: Vec::new(),
            _origin: process,
            out: plan.out.clone(),
        };
        for nth in 0..NODES {
            let name = format!("cache-{}", nth + 1);
            let urls = cluster.ids().map(|id| cluster.url_for(first + nth, id));
            let servers = urls.collect::<Vec<_>>().join(",");
            let (process, node) = caches.node(plan, &name, &servers).await?;
            caches.nodes.push((name, process, node));
        }
        Ok(caches)
    }

    async fn node(
        &self,
        plan: &Plan,
        name: &str,
        servers: &str,
    ) -> anyhow::Result<(Child, CacheNode)> {
        let log = self.out.join(format!("{name}.log"));
        let log = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let origin = format!("http://{}/values", self.origin);
        let ttl = format!("{}ms", plan.ttl.as_millis());
        let anywhere = "127.0.0.1:0";
        let mut process = Command::new(&plan.binary)
            .args(["cache", "--json", "--exit-with-parent", "--workers", "1"])
            .args(["--servers", servers, "--member", name, "--ttl", &ttl])
            .args([
                "--listen", anywhere, "--proxy", anywhere, "--peer", anywhere,
            ])
            .args(["--origin", &origin, "--audit"])
            .arg(notes(&self.out, name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", plan.binary.display()))?;
        let stdout = process.stdout.take().context("stdout is a pipe")?;
        let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
        let told = timeout(READY_WITHIN, stdout.read_line(&mut line));
        told.await
            .with_context(|| format!("{name} does not become ready"))??;
        let ready: Value = serde_json::from_str(&line)
            .with_context(|| format!("{name} is not ready: {line:?}"))?;
        let address = |of: &str| ready[of].as_str().map(str::to_owned);
        let (Some(resp), Some(proxy)) = (address("resp"), address("proxy")) else {
            bail!("{name} does not say where it is: {line}");
        };
        Ok((process, CacheNode { resp, proxy }))
    }

    /// Where they are, for their users.
    pub(super) fn addresses(&self) -> Vec<CacheNode> {
        self.nodes.iter().map(|(_, _, node)| node.clone()).collect()
    }

    /// To be stopped and woken.
    pub(super) fn sufferers(&self) -> impl Iterator<Item = Sufferer> + '_ {
        self.nodes.iter().filter_map(|(name, process, _)| {
            Some(Sufferer {
                name: name.clone(),
                pid: process.id()?,
            })
        })
    }

    /// That all of them run.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        for (name, process, _) in &mut self.nodes {
            if let Some(how) = process.try_wait()? {
                bail!("{name} ended by itself: {how}");
            }
        }
        Ok(())
    }

    /// Ends them, and reads what they noted.
    pub(super) async fn end(mut self, t: u64) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        for (name, process, _) in &mut self.nodes {
            process.kill().await?;
            let path = notes(&self.out, name);
            let noted = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            events.extend(checker::answered(t, &noted));
        }
        Ok(events)
    }
}

fn notes(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.answers"))
}

/// Starts a process that says in its first line where it listens.
pub(super) async fn tell_address(command: &mut Command) -> anyhow::Result<(SocketAddr, Child)> {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a process of this tool")?;
    let stdout = process.stdout.take().context("stdout is a pipe")?;
    let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
    let told = timeout(Duration::from_secs(20), stdout.read_line(&mut line));
    told.await
        .context("a resource does not say where it is")??;
    Ok((line.trim().parse()?, process))
}
