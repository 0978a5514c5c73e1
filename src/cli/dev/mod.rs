//! `lockring dev`: a whole cluster on this machine.
//!
//! The nodes are real: one process, one data directory and two ports each, started as
//! `lockring serve --config DIR/node-N.toml`. So killing one is the real thing, and it can be
//! brought back by hand with that same command. What they log goes to `DIR/node-N.log`.
//!
//! The nodes end with this process, however it ends: each watches a pipe whose other end we hold.

mod layout;
mod nodes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lockring_client::Client;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::exit::Exit;
use super::print;
use layout::Layout;
use nodes::Nodes;

/// Run a whole cluster on this machine, to try things with
///
/// Starts real node processes on loopback, tells when they are ready and what to try, and ends
/// them all on Ctrl-C. A node that dies is told of and stays dead, so that you can kill one and
/// watch.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring dev
  lockring dev --ephemeral --base-port 9000
  lockring dev --cache 3
  lockring dev --json | head -1 | jq -r '.nodes[].api'")]
pub(super) struct Dev {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// How many cache nodes beside them; each has the next ten ports: Redis Cluster, any Redis
    /// client, members, figures
    #[arg(long, default_value_t = 0, value_name = "N", hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=9))]
    cache: u16,
    /// Node i serves clients at this port + 10·(i−1), and the other nodes at the port after it
    #[arg(long, default_value_t = 7420, value_name = "PORT")]
    base_port: u16,
    /// Where data and logs are kept, so that the next start continues with them
    #[arg(long, default_value = "lockring-dev", value_name = "DIR")]
    data_dir: PathBuf,
    /// Keep data and logs in a temporary directory that is removed at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Start a node again when it dies
    #[arg(long)]
    restart: bool,
    /// Print the ready line as JSON
    #[arg(long)]
    json: bool,
}

/// How long the nodes may take to elect a leader. Their own bound is below one second; a machine
/// that builds something at the same time needs more.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How soon a dead node is started again with `--restart`.
const RESTART_AFTER: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Ready {
    ready: bool,
    nodes: Vec<ReadyNode>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache: Vec<ReadyCache>,
}

#[derive(Serialize)]
struct ReadyCache {
    member: String,
    resp: String,
    proxy: String,
    pid: u32,
}

#[derive(Serialize)]
struct ReadyNode {
    id: u64,
    api: String,
    pid: u32,
}

impl Dev {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // It lives until the nodes are gone, so that nothing writes into it when it is removed.
        let make = || tempfile::Builder::new().prefix("lockring-dev-").tempdir();
        let temporary = self.ephemeral.then(make).transpose()?;
        let data_dir = match &temporary {
            Some(temporary) => temporary.path(),
            None => &self.data_dir,
        };
        let layout = Layout::new(data_dir, self.nodes, self.cache, self.base_port)?;
        layout.refuse_ports_in_use()?;
        layout.write()?;
        runtime.block_on(self.supervise(&layout))
    }

    async fn supervise(&self, layout: &Layout) -> anyhow::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut nodes = Nodes::start(layout)?;
        let watched = async {
            self.wait_ready(&mut nodes, layout).await?;
            self.tell_ready(&nodes, layout)?;
            self.watch(&mut nodes, layout).await
        };
        let done = tokio::select! {
            done = watched => done,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        nodes.stop().await;
        done
    }

    async fn wait_ready(&self, nodes: &mut Nodes, layout: &Layout) -> anyhow::Result<()> {
        until_ready(nodes, layout, || layout.all_ready()).await?;
        if layout.caches.is_empty() {
            return Ok(());
        }
        nodes.start_caches(layout)?;
        let client = Client::new(layout.members.iter().map(|member| member.api.as_str()))?;
        until_ready(nodes, layout, || layout.caches_ready(&client)).await
    }

    fn tell_ready(&self, nodes: &Nodes, layout: &Layout) -> anyhow::Result<()> {
        let ready = Ready {
            ready: true,
            nodes: layout
                .members
                .iter()
                .map(|member| ReadyNode {
                    id: member.id,
                    api: member.api.clone(),
                    pid: nodes.pid(member.id).unwrap_or_default(),
                })
                .collect(),
            cache: layout
                .caches
                .iter()
                .map(|cache| ReadyCache {
                    member: cache.member.clone(),
                    resp: cache.resp.clone(),
                    proxy: cache.proxy.clone(),
                    pid: nodes.pid(cache.id).unwrap_or_default(),
                })
                .collect(),
        };
        if self.json {
            return print::json(&ready);
        }
        let kept = if self.ephemeral {
            " until you stop it"
        } else {
            ""
        };
        let dir = layout.dir.display();
        let nodes = match ready.nodes.len() {
            1 => "1 node".to_owned(),
            more => format!("{more} nodes"),
        };
        print::line(format_args!(
            "lockring is ready: {nodes}, data and logs in {dir}{kept}\n"
        ))?;
        for ReadyNode { id, api, pid } in &ready.nodes {
            print::line(format_args!("  node {id}  {api}  pid {pid}"))?;
        }
        for ReadyCache {
            member,
            resp,
            proxy,
            pid,
        } in &ready.cache
        {
            print::line(format_args!(
                "  {member}  redis-cli -c at {resp}, any client at {proxy}  pid {pid}"
            ))?;
        }
        let api = &layout.members[0].api;
        print::line(format_args!(
            "\nTake a lock for a minute, and look at it:\n\
             \n  curl --json '{{\"ttl_ms\":60000}}' {api}/v1/locks/demo/acquire\
             \n  curl {api}/v1/locks/demo\n\
             \nCtrl-C stops them all."
        ))?;
        Ok(())
    }

    /// Tells of nodes that die, and starts them again if that was asked for.
    async fn watch(&self, nodes: &mut Nodes, layout: &Layout) -> anyhow::Result<()> {
        loop {
            let (id, how) = nodes.next_exit().await?;
            let name = layout.name(id);
            if self.restart {
                print::note(format_args!("{name} died ({how}); starting it again"));
                sleep(RESTART_AFTER).await;
                let pid = nodes.start_again(id, layout)?;
                print::note(format_args!("{name} is pid {pid} now"));
                continue;
            }
            print::note(format_args!(
                "{name} died ({how}); its log is {}; bring it back with\n\
                 \x20 lockring {}",
                layout.log_path(id).display(),
                layout.command(id).join(" ")
            ));
            if nodes.all_dead() {
                return Err(Exit {
                    code: 1,
                    message: "all nodes are dead".to_owned(),
                })
                .context("nothing is left to watch");
            }
        }
    }
}

/// Waits for processes that were just started.
async fn until_ready<F: Future<Output = bool>>(
    nodes: &mut Nodes,
    layout: &Layout,
    are_ready: impl Fn() -> F,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if let Some((id, how)) = nodes.exited()? {
            let (name, tail) = (layout.name(id), layout.log_tail(id));
            anyhow::bail!("{name} ended before it was ready ({how}); its log ends:\n{tail}");
        }
        if are_ready().await {
            return Ok(());
        }
        if Instant::now() > deadline {
            let seconds = READY_WITHIN.as_secs();
            let last = layout.caches.last().map_or(1, |cache| cache.id);
            let (name, tail) = (layout.name(last), layout.log_tail(last));
            anyhow::bail!("not ready within {seconds} s; the log of {name} ends:\n{tail}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}
