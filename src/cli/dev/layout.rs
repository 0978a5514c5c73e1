//! Where the nodes of a `dev` cluster listen, and where their files are.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
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
}

impl Layout {
    pub(super) fn new(dir: &Path, nodes: u16, base_port: u16) -> anyhow::Result<Self> {
        let last = u32::from(base_port) + 10 * u32::from(nodes - 1) + 1;
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
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        Ok(Self { dir, members })
    }

    pub(super) fn config_path(&self, id: u64) -> PathBuf {
        self.dir.join(format!("node-{id}.toml"))
    }

    pub(super) fn log_path(&self, id: u64) -> PathBuf {
        self.dir.join(format!("node-{id}.log"))
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
