//! A cluster of real processes, and what can be done to it.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::link::{End, Mesh};
use crate::node::Node;
use crate::options::{Options, Wiring};
use crate::ports;

/// A running cluster. Its processes end and its files go when it is dropped; if that happens
/// because a test panics, the ends of the nodes' logs are printed.
///
/// Nodes are named by their ids, from 1 up.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    nodes: Vec<Node>,
    mesh: Mesh,
    /// Ports of nodes that are still to come: for clients and for peers.
    spares: Vec<[u16; 2]>,
    dir: TempDir,
}

/// Generous, because tests run beside each other and beside compilers.
const READY_WITHIN: Duration = Duration::from_secs(90);
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
        let spares = match options.wiring {
            Wiring::Direct => 0,
            Wiring::Proxied { spares, .. } => spares,
        };
        let founders = usize::try_from(options.nodes)?;
        let count = 2 * (founders + usize::try_from(spares)?);
        // All at once: a port that is only planned looks free to the next who asks.
        let in_all = count + options.links();
        let mut ports = match options.first_port {
            None => ports::free(in_all)?,
            Some(first) => ports::from(first, in_all)?,
        };
        let for_links = ports.split_off(count);
        let mut ports: Vec<_> = ports.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
        let spares = ports.split_off(founders);
        let mut cluster = Self {
            nodes: Vec::new(),
            mesh: Mesh::default(),
            spares,
            options,
            dir,
        };
        for ports in ports {
            cluster.add(ports)?;
        }
        cluster.wire(for_links)?;
        for at in 0..cluster.nodes.len() {
            cluster.write_config(at)?;
            cluster.nodes[at].start()?;
        }
        Ok(cluster)
    }

    /// One more node, which does not run yet.
    fn add(&mut self, [api, peer]: [u16; 2]) -> anyhow::Result<u64> {
        let id = self.nodes.len() as u64 + 1;
        let api = self.options.api(api)?;
        let dir = self.dir.path();
        let place = dir.display().to_string();
        let fill = |text: &str| {
            text.replace("{node}", &id.to_string())
                .replace("{dir}", &place)
        };
        let environment = self.options.environment.iter();
        let environment = environment.map(|(name, value)| (name.clone(), fill(value)));
        let mut node = Node::new(id, &self.options.binary, dir, api, peer);
        node.environment = environment.collect();
        self.nodes.push(node);
        Ok(id)
    }

    /// Puts a proxy on each link, those of nodes that are still to come included.
    fn wire(&mut self, ports: Vec<u16>) -> anyhow::Result<()> {
        let Wiring::Proxied { workers, .. } = self.options.wiring else {
            return Ok(());
        };
        let there = self.nodes.iter().map(|node| (node.id, node.ports()));
        let first_spare = self.options.nodes + 1;
        let to_come = (first_spare..).zip(self.spares.iter().map(|ports| Ok(*ports)));
        let all: Vec<_> = there.chain(to_come).collect();
        let mut links = Vec::new();
        for (id, ports) in &all {
            let [api, peer] = match ports {
                Ok(ports) => *ports,
                Err(error) => bail!("node {id}: {error}"),
            };
            let from_workers = (0..=workers).map(|nth| (End::Worker(nth), api));
            let from_nodes = all.iter().filter(|(from, _)| from != id);
            let from_nodes = from_nodes.map(|(from, _)| (End::Node(*from), peer));
            let to = End::Node(*id);
            links.extend(
                from_workers
                    .chain(from_nodes)
                    .map(|(from, port)| (from, to, port)),
            );
        }
        for ((from, to, target), port) in links.into_iter().zip(ports) {
            let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            self.mesh.add(from, to, local(port), local(target))?;
        }
        Ok(())
    }

    /// Where a node is called by this caller: through its link if there is one.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn url_for(&self, worker: u64, id: u64) -> String {
        let node = &self.nodes[id as usize - 1];
        match self.mesh.link(End::Worker(worker), End::Node(id)) {
            None => node.api.url().to_owned(),
            Some(link) => {
                let scheme = node.api.url().split("://").next().unwrap_or("http");
                format!("{scheme}://{}", link.address())
            }
        }
    }

    fn write_config(&self, at: usize) -> anyhow::Result<()> {
        let mut text = "[cluster]\nid = \"test\"\nmembers = [\n".to_owned();
        for Node { id, peer, .. } in &self.nodes[..self.options.nodes as usize] {
            let api = self.url_for(0, *id);
            writeln!(text, "  {{ id = {id}, api = {api:?}, peer = {peer:?} }},")?;
        }
        let node = &self.nodes[at];
        let (id, data, api, peer) = (node.id, node.data_dir(), node.api.address(), &node.peer);
        let Options {
            cluster, sections, ..
        } = &self.options;
        let dial = self.dial(id);
        write!(
            text,
            "]\n{cluster}\n[node]\nid = {id}\ndata_dir = {data:?}\napi_listen = {api:?}\n\
             peer_listen = {peer:?}\n{dial}\n{sections}\n"
        )?;
        Ok(fs::write(node.config_path(), text)?)
    }

    /// The key that sends a node through its links, if there are any.
    fn dial(&self, id: u64) -> String {
        let founders = self.nodes.iter().map(|node| (node.id, node.peer.clone()));
        let next = self.nodes.len() as u64 + 1;
        let spares = (next..).zip(self.spares.iter());
        let spares = spares.map(|(id, [_, peer])| (id, format!("127.0.0.1:{peer}")));
        let mut detours = Vec::new();
        for (to, peer) in founders.chain(spares) {
            if let Some(link) = self.mesh.link(End::Node(id), End::Node(to)) {
                detours.push(format!("{peer:?} = \"{}\"", link.address()));
            }
        }
        match detours.is_empty() {
            true => String::new(),
            false => format!("dial = {{ {} }}\n", detours.join(", ")),
        }
    }

    /// The links, each with its proxy; none if they are direct.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Where the cluster's files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
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
        let ports = match self.spares.is_empty() {
            true => {
                let ports = ports::free(2)?;
                [ports[0], ports[1]]
            }
            false => self.spares.remove(0),
        };
        let id = self.add(ports)?;
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

    /// Whether a node's process runs, paused or not.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn is_up(&mut self, id: u64) -> anyhow::Result<bool> {
        let node = self.node(id);
        Ok(node.is_started() && node.exited()?.is_none())
    }

    /// Takes the newest node away, with its directory; its ports are for the next.
    ///
    /// # Errors
    /// When it is not the newest, or was a founder.
    pub fn retire(&mut self, id: u64) -> anyhow::Result<()> {
        let newest = self.nodes.len() as u64;
        anyhow::ensure!(id == newest && id > self.options.nodes, "node {id} stays");
        if self.is_up(id)? {
            self.kill(id)?;
        }
        if self.data_dir(id).exists() {
            self.wipe(id)?;
        }
        let node = self.nodes.pop().context("there are nodes")?;
        self.spares.insert(0, node.ports()?);
        Ok(())
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
