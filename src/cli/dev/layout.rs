//! Where the nodes of a `dev` cluster listen, and where their files are.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use lockring_client::Client;
use lockring_client::wire::{MemberState, RingMember};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Exit;
use crate::config::Member;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    /// Absolute, so that the configuration files work from anywhere.
    pub(super) dir: PathBuf,
    /// The nodes, from 1 up.
    pub(super) members: Vec<Member>,
    /// The cache nodes; their numbers follow those of the nodes.
    pub(super) caches: Vec<CacheAt>,
}

/// Where a cache node listens.
#[derive(Debug)]
pub(super) struct CacheAt {
    pub(super) id: u64,
    /// Its name on the ring.
    pub(super) member: String,
    pub(super) resp: String,
    pub(super) proxy: String,
    peer: String,
    metrics: String,
}

impl CacheAt {
    /// The `nth` of some, from 0 up.
    fn new(id: u64, nth: u16, port: u16) -> Self {
        let at = |offset: u16| format!("127.0.0.1:{}", port + offset);
        Self {
            id,
            member: format!("cache-{}", nth + 1),
            resp: at(0),
            proxy: at(1),
            peer: at(2),
            metrics: at(3),
        }
    }
}

impl Layout {
    pub(super) fn new(dir: &Path, nodes: u16, caches: u16, base_port: u16) -> anyhow::Result<Self> {
        let last = u32::from(base_port) + 10 * u32::from(nodes + caches - 1) + 3;
        if base_port == 0 || last > u32::from(u16::MAX) {
            let message = format!("--base-port {base_port}: ports up to {last}, from 1 to 65535");
            return Err(Exit::usage(message).into());
        }
        let members = (0..nodes).map(|nth| {
            let api = base_port + 10 * nth;
            Member {
                id: u64::from(nth) + 1,
                api: format!("http://127.0.0.1:{api}"),
                peer: format!("127.0.0.1:{}", api + 1),
            }
        });
        let members = members.collect();
        let caches = (0..caches).map(|nth| {
            let place = nodes + nth;
            CacheAt::new(u64::from(place) + 1, nth, base_port + 10 * place)
        });
        let caches = caches.collect();
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        Ok(Self {
            dir,
            members,
            caches,
        })
    }

    pub(super) fn config_path(&self, id: u64) -> PathBuf {
        self.dir.join(format!("node-{id}.toml"))
    }

    pub(super) fn log_path(&self, id: u64) -> PathBuf {
        match self.cache(id) {
            Some(cache) => self.dir.join(format!("{}.log", cache.member)),
            None => self.dir.join(format!("node-{id}.log")),
        }
    }

    fn cache(&self, id: u64) -> Option<&CacheAt> {
        self.caches.iter().find(|cache| cache.id == id)
    }

    /// What a process is called when it is told of.
    pub(super) fn name(&self, id: u64) -> String {
        match self.cache(id) {
            Some(cache) => cache.member.clone(),
            None => format!("node {id}"),
        }
    }

    /// What starts a process, without the program's name.
    pub(super) fn command(&self, id: u64) -> Vec<String> {
        let Some(cache) = self.cache(id) else {
            let config = self.config_path(id).display().to_string();
            return vec!["serve".to_owned(), "--config".to_owned(), config];
        };
        let servers: Vec<_> = self
            .members
            .iter()
            .map(|member| member.api.as_str())
            .collect();
        let mut words = vec!["cache".to_owned()];
        for (flag, value) in [
            ("--servers", servers.join(",").as_str()),
            ("--member", &cache.member),
            ("--listen", &cache.resp),
            ("--proxy", &cache.proxy),
            ("--peer", &cache.peer),
            ("--metrics", &cache.metrics),
            // People try things beside their compilers: a busy machine is no dead node.
            ("--ttl", "10s"),
        ] {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
        words
    }

    /// Whether every cache node serves its share of the slots.
    pub(super) async fn caches_ready(&self, client: &Client) -> bool {
        for cache in &self.caches {
            let asked = is_ready(&cache.metrics);
            let answered = tokio::time::timeout(Duration::from_secs(1), asked).await;
            if !matches!(answered, Ok(Ok(true))) {
                return false;
            }
        }
        let Ok(ring) = client.get_ring("cache").await else {
            return false;
        };
        let is_active = |member: &RingMember| member.state == MemberState::Active;
        ring.moving == 0 && ring.members.iter().all(is_active)
    }

    /// The last lines of what a node logged.
    pub(super) fn log_tail(&self, id: u64) -> String {
        let log = fs::read(self.log_path(id)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// A clash is told before anything is started or written.
    pub(super) fn refuse_ports_in_use(&self) -> anyhow::Result<()> {
        for member in &self.members {
            let api = member.api.trim_start_matches("http://");
            for address in [api, &member.peer] {
                TcpListener::bind(address).with_context(|| {
                    format!(
                        "node {} cannot listen at {address}; choose other ports by --base-port",
                        member.id
                    )
                })?;
            }
        }
        for cache in &self.caches {
            for address in [&cache.resp, &cache.proxy, &cache.peer, &cache.metrics] {
                TcpListener::bind(address).with_context(|| {
                    let member = &cache.member;
                    format!("{member} cannot listen at {address}; choose others by --base-port")
                })?;
            }
        }
        Ok(())
    }

    /// Writes the nodes' configurations.
    ///
    /// A directory that belongs to a cluster of other nodes is refused: its log would name
    /// addresses at which nobody listens.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let shape = self.cluster_text();
        let kept = self.dir.join("cluster.toml");
        match fs::read_to_string(&kept) {
            Ok(before) if before != shape => {
                let message = format!(
                    "{} holds a cluster of other nodes or ports (see {}); give its --nodes and \
                     --base-port, another --data-dir, or remove it",
                    self.dir.display(),
                    kept.display()
                );
                return Err(Exit::usage(message).into());
            }
            Ok(_) => {}
            Err(_) => fs::write(&kept, &shape)
                .with_context(|| format!("cannot write {}", kept.display()))?,
        }
        for Member { id, .. } in &self.members {
            // A path's debug form is quoted and escaped like a string of TOML.
            let data = self.dir.join(format!("node-{id}"));
            let text = format!("{shape}\n[node]\nid = {id}\ndata_dir = {data:?}\n");
            fs::write(self.config_path(*id), text)?;
        }
        Ok(())
    }

    fn cluster_text(&self) -> String {
        let mut text = "[cluster]\nid = \"dev\"\nmembers = [\n".to_owned();
        for Member { id, api, peer } in &self.members {
            writeln!(text, "    {{ id = {id}, api = {api:?}, peer = {peer:?} }},")
                .expect("a String takes whatever is written");
        }
        text.push_str("]\n");
        text
    }

    /// Whether every node says that it can serve.
    pub(super) async fn all_ready(&self) -> bool {
        for member in &self.members {
            let asked = is_ready(member.api.trim_start_matches("http://"));
            let answered = tokio::time::timeout(Duration::from_secs(1), asked).await;
            if !matches!(answered, Ok(Ok(true))) {
                return false;
            }
        }
        true
    }
}

async fn is_ready(address: &str) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(address).await?;
    let ask = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(ask.as_bytes()).await?;
    let mut status = [0; 12];
    connection.read_exact(&mut status).await?;
    Ok(&status == b"HTTP/1.1 200")
}
