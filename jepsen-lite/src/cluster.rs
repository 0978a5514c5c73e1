//! A cluster of real processes, and what can be done to it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::node::Node;
use crate::ports;

/// How to start a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// The lockring binary.
    pub binary: PathBuf,
    /// How many nodes found the cluster.
    pub nodes: u64,
    /// More lines for the section `[cluster]` of every node.
    pub cluster: String,
    /// More sections for every node, such as `[snapshots]`.
    pub sections: String,
    /// The certificate (PEM) of the authority, if the sections configure TLS.
    pub authority: Option<String>,
}

impl Options {
    /// Three nodes with everything as it comes.
    #[must_use]
    pub fn new(binary: impl AsRef<Path>) -> Self {
        Self {
            binary: binary.as_ref().to_owned(),
            nodes: 3,
            cluster: String::new(),
            sections: String::new(),
            authority: None,
        }
    }

    /// The API of a node that serves clients at this port.
    fn api(&self, port: u16) -> anyhow::Result<Api> {
        match &self.authority {
            None => Ok(Api::new(&format!("http://127.0.0.1:{port}"))),
            Some(pem) => Api::trusting(&format!("https://127.0.0.1:{port}"), pem),
        }
    }
}

/// A running cluster. Its processes end and its files go when it is dropped; if that happens
/// because a test panics, the ends of the nodes' logs are printed.
///
/// Nodes are named by their ids, from 1 up.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    nodes: Vec<Node>,
    dir: TempDir,
}

/// Generous, because tests run beside each other and beside compilers.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Port clashes in a row before the harness gives up.
const STARTS_MAX: u32 = 5;

/// Waits until `look` finds something.
///
/// # Errors
/// When it found nothing within the time; `what` says what was wanted.
pub async fn wait_for<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {within:?}");
        }
        sleep(LOOK_EVERY).await;
    }
}

impl Cluster {
    /// Starts the nodes and waits until all are ready.
    ///
    /// # Errors
    /// When they do not become ready; the logs are in the error.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        for _ in 1..STARTS_MAX {
            let mut cluster = Self::spawn(options.clone())?;
            match cluster.wait_all_ready().await {
                Ok(()) => return Ok(cluster),
                Err(_) if cluster.lost_a_port() => {}
                Err(error) => return Err(error.context(cluster.log_tails())),
            }
        }
        bail!("{STARTS_MAX} times in a row others took our ports");
    }

    fn spawn(options: Options) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("lockring-").tempdir()?;
        let ports = ports::free(2 * options.nodes as usize)?;
        let ids = 1..=options.nodes;
        let node = |(id, ports): (u64, &[u16])| {
            let api = options.api(ports[0])?;
            anyhow::Ok(Node::new(id, &options.binary, dir.path(), api, ports[1]))
        };
        let nodes = ids.zip(ports.chunks(2)).map(node);
        let mut cluster = Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            options,
            dir,
        };
        for at in 0..cluster.nodes.len() {
            cluster.write_config(at)?;
            cluster.nodes[at].start()?;
        }
        Ok(cluster)
    }

    fn write_config(&self, at: usize) -> anyhow::Result<()> {
        let mut text = "[cluster]\nid = \"test\"\nmembers = [\n".to_owned();
        for Node { id, api, peer, .. } in &self.nodes[..self.options.nodes as usize] {
            let api = api.url();
            writeln!(text, "  {{ id = {id}, api = {api:?}, peer = {peer:?} }},")?;
        }
        let node = &self.nodes[at];
        let (id, data, api, peer) = (node.id, node.data_dir(), node.api.address(), &node.peer);
        let Options {
            cluster, sections, ..
        } = &self.options;
        write!(
            text,
            "]\n{cluster}\n[node]\nid = {id}\ndata_dir = {data:?}\napi_listen = {api:?}\n\
             peer_listen = {peer:?}\n\n{sections}\n"
        )?;
        Ok(fs::write(node.config_path(), text)?)
    }

    fn lost_a_port(&self) -> bool {
        let lost = |node: &Node| node.log_tail().contains("in use");
        self.nodes.iter().any(lost)
    }

    /// Starts one more node, which is no founder: it waits to be joined.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_another(&mut self) -> anyhow::Result<u64> {
        let ports = ports::free(2)?;
        let id = self.nodes.len() as u64 + 1;
        let api = self.options.api(ports[0])?;
        let (binary, dir) = (&self.options.binary, self.dir.path());
        self.nodes.push(Node::new(id, binary, dir, api, ports[1]));
        self.write_config(self.nodes.len() - 1)?;
        self.node(id).start()?;
        Ok(id)
    }

    fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    /// The ids of all nodes.
    pub fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.nodes.len() as u64
    }

    /// The API of a node.
    #[must_use]
    pub fn api(&self, id: u64) -> Api {
        self.nodes[id as usize - 1].api.clone()
    }

    /// `HOST:PORT` at which a node serves its peers.
    #[must_use]
    pub fn peer(&self, id: u64) -> &str {
        &self.nodes[id as usize - 1].peer
    }

    /// The URLs of all nodes.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.api.url().to_owned())
            .collect()
    }

    /// The process of a node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self, id: u64) -> anyhow::Result<u32> {
        self.nodes[id as usize - 1].pid()
    }

    /// The data directory of a node.
    #[must_use]
    pub fn data_dir(&self, id: u64) -> PathBuf {
        self.nodes[id as usize - 1].data_dir()
    }

    /// Kills a node: SIGKILL, no farewell.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        self.node(id).kill()
    }

    /// Starts a node again, on the same directory and ports.
    ///
    /// # Errors
    /// When it runs already.
    pub fn restart(&mut self, id: u64) -> anyhow::Result<()> {
        self.node(id).start()
    }

    /// Stops a node's process as it is (SIGSTOP).
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self, id: u64) -> anyhow::Result<()> {
        self.node(id).signal(Signal::STOP)
    }

    /// Lets a paused process go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self, id: u64) -> anyhow::Result<()> {
        self.node(id).signal(Signal::CONT)
    }

    /// Asks a node to stop (SIGTERM) and waits for how it ends.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub async fn terminate(&mut self, id: u64) -> anyhow::Result<ExitStatus> {
        self.node(id).signal(Signal::TERM)?;
        self.wait_exit(id, Duration::from_secs(10)).await
    }

    /// Waits until a node's process has ended by itself.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub async fn wait_exit(&mut self, id: u64, within: Duration) -> anyhow::Result<ExitStatus> {
        let node = self.node(id);
        wait_for(&format!("end of node {id}"), within, async || {
            node.exited().transpose()
        })
        .await?
    }

    /// From now on every write of a node to a file fails, as on a full disk.
    ///
    /// # Errors
    /// When it does not run.
    pub fn fill_disk(&mut self, id: u64) -> anyhow::Result<()> {
        self.node(id).fill_disk()
    }

    /// Removes the data directory of a node that does not run.
    ///
    /// # Errors
    /// When it runs, or there is none.
    pub fn wipe(&mut self, id: u64) -> anyhow::Result<()> {
        self.node(id).wipe()
    }

    /// The last lines that a node logged.
    #[must_use]
    pub fn log_tail(&self, id: u64) -> String {
        self.nodes[id as usize - 1].log_tail()
    }

    /// The last lines that each node logged.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let tail = |node: &Node| format!("--- log of node {}\n{}", node.id, node.log_tail());
        self.nodes.iter().map(tail).collect()
    }

    /// Waits until a node says that it is ready.
    ///
    /// # Errors
    /// When it does not within half a minute, or ends.
    pub async fn wait_ready(&mut self, id: u64) -> anyhow::Result<()> {
        let node = self.node(id);
        let what = format!("node {id} is ready");
        wait_for(&what, READY_WITHIN, async || match node.exited() {
            Ok(None) => {
                let answer = node.api.get("/readyz").await.ok()?;
                (answer.status == 200).then_some(Ok(()))
            }
            Ok(Some(how)) => Some(Err(anyhow::anyhow!("node {} ended: {how}", node.id))),
            Err(error) => Some(Err(error)),
        })
        .await?
    }

    /// Waits until every node says that it is ready.
    ///
    /// # Errors
    /// When one does not.
    pub async fn wait_all_ready(&mut self) -> anyhow::Result<()> {
        for id in self.ids() {
            self.wait_ready(id).await?;
        }
        Ok(())
    }

    /// Waits until one of these nodes knows a leader among them, and answers its id.
    ///
    /// # Errors
    /// When there is none within half a minute.
    pub async fn leader_among(&self, ids: &[u64]) -> anyhow::Result<u64> {
        wait_for("a leader", READY_WITHIN, async || {
            for id in ids {
                let Ok(answer) = self.api(*id).get("/v1/cluster").await else {
                    continue;
                };
                let leader = answer.body["leader"].as_u64();
                if let Some(leader) = leader.filter(|leader| ids.contains(leader)) {
                    return Some(leader);
                }
            }
            None
        })
        .await
    }

    /// Waits until there is a leader, and answers its id.
    ///
    /// # Errors
    /// When there is none within half a minute.
    pub async fn leader(&self) -> anyhow::Result<u64> {
        let ids: Vec<_> = self.ids().collect();
        self.leader_among(&ids).await.context("of all nodes")
    }

    /// All nodes but this one.
    #[must_use]
    pub fn others(&self, id: u64) -> Vec<u64> {
        self.ids().filter(|other| *other != id).collect()
    }
}

impl Drop for Cluster {
    #[expect(
        clippy::print_stderr,
        reason = "tests capture it and show it with the failure"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tails());
        }
    }
}
