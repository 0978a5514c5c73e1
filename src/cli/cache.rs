//! `lockring cache`: one cache node, until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lockring_core::{MemberName, RingName};
use serde::Serialize;

use super::endpoints::Endpoints;
use super::exit::Exit;
use super::{print, span};
use crate::cache::{Bound, Config, Listening};
use crate::server::{self, LogFormat, Stop};

/// Run one cache node: Redis's protocol, slots from a ring
///
/// Unmodified clients of Redis Cluster use it: redis-cli -c, redis-py, redis-rs, ioredis. Clients
/// that know of one server only connect to the proxy address of any node. The ring is made if there
/// is none. SIGTERM drains the node: its slots move to the others, and its values after them, as
/// they are asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring cache --member a --listen 10.0.0.1:6379 --proxy 10.0.0.1:6380 --peer 10.0.0.1:6381
  lockring cache --member b --listen 0.0.0.0:6379 --announce cache-b.internal --memory 4GiB \\
    --origin http://127.0.0.1:9000/values

SIGTERM and SIGINT drain it; a second one ends it at once.")]
pub(super) struct Cache {
    #[command(flatten)]
    servers: Endpoints,
    /// The ring
    #[arg(
        long,
        default_value = "cache",
        value_name = "NAME",
        env = "LOCKRING_RING"
    )]
    ring: String,
    /// The node's name on the ring; the host's name if not said
    #[arg(long, value_name = "NAME", env = "LOCKRING_MEMBER")]
    member: Option<String>,
    /// How much of the ring it takes, compared with other members
    #[arg(long, default_value_t = 1, value_name = "1–1024")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    weight: u16,
    /// Where it is; preference lists spread over zones
    #[arg(
        long,
        default_value = "",
        value_name = "NAME",
        hide_default_value = true
    )]
    zone: String,
    /// Where clients of Redis Cluster connect
    #[arg(long, default_value = "127.0.0.1:6379", value_name = "ADDR:PORT")]
    listen: String,
    /// Where clients connect that know of one server only
    #[arg(long, default_value = "127.0.0.1:6380", value_name = "ADDR:PORT")]
    proxy: String,
    /// Where other members connect; for them alone, since it asks for no password
    #[arg(long, default_value = "127.0.0.1:6381", value_name = "ADDR:PORT")]
    peer: String,
    /// Where /metrics, /readyz and /healthz are
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<String>,
    /// The host that others are told to connect to, if not that of --listen
    #[arg(long, value_name = "HOST")]
    announce: Option<String>,
    /// How much its entries may take, such as 512MiB
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = bytes)]
    memory: u64,
    /// How long others wait for it after its death before they serve its slots
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = span::parse)]
    ttl: Duration,
    /// Where values come from that no node has: GET URL/KEY
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// For how long after a move a slot's owner before is asked for values; 0s for never
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = span::parse)]
    warm: Duration,
    /// For how long after its drain it hands out what it had
    #[arg(long, default_value = "15s", value_name = "TIME", value_parser = span::parse)]
    linger: Duration,
    /// What clients have to say by AUTH
    #[arg(long, env = "LOCKRING_CACHE_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Where to write who answered for which slots, and when: a line of JSON each
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Threads that serve; 0 stands for half of the cores
    #[arg(long, default_value_t = 0, value_name = "N")]
    workers: usize,
    /// Print the ready line as JSON
    #[arg(long)]
    json: bool,
    /// What to log, as levels by module
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "LOCKRING_LOG"
    )]
    log: String,
    /// Stop when standard input ends, which it does when the parent process is gone
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    member: &'a str,
    resp: String,
    proxy: String,
    peer: String,
    metrics: Option<String>,
    pid: u32,
}

impl Cache {
    pub(super) fn run(self) -> anyhow::Result<()> {
        server::log_to_stderr(&self.log, LogFormat::Text).map_err(Exit::usage)?;
        server::allow_many_files();
        let runtime = server::runtime(self.workers)?;
        let done = runtime.block_on(self.serve());
        runtime.shutdown_background();
        done
    }

    async fn serve(self) -> anyhow::Result<()> {
        let (json, parent) = (self.json, self.exit_with_parent);
        let config = self.config()?;
        let member = config.member.as_str().to_owned();
        let bound = Bound::new(config).await.map_err(anyhow::Error::msg)?;
        let stop = if parent {
            Stop::on_signal_or_orphaned()
        } else {
            Stop::on_signal()
        };
        let (asked, again) = tokio::sync::oneshot::channel();
        let first = async {
            let (more, why) = stop.asked().await;
            tracing::info!("draining: {why}");
            // The other end is held for as long as the node runs.
            let _ = asked.send((more, why));
        };
        let second = async {
            match again.await {
                // Then nobody is there to wait for a drain.
                Ok((_, why)) if why == Stop::ORPHANED => {}
                Ok((more, _)) => more.again().await,
                Err(_) => std::future::pending().await,
            }
        };
        let tell = |listening: &Listening| {
            // Whoever reads it may have gone; the node serves all the same.
            let _ = told(&member, listening, json);
        };
        tokio::select! {
            done = bound.run(first, tell) => done.map_err(anyhow::Error::msg),
            () = second => anyhow::bail!("ended at once, without having drained"),
        }
    }

    fn config(self) -> anyhow::Result<Config> {
        let member = self.member.unwrap_or_else(host_name);
        let named = |what: &str, error| Exit::usage(format!("{what} {error}"));
        Ok(Config {
            client: self.servers.client()?,
            ring: RingName::parse(&self.ring).map_err(|error| named("--ring", error))?,
            member: MemberName::parse(&member).map_err(|error| named("--member", error))?,
            weight: self.weight,
            zone: self.zone,
            ttl: self.ttl,
            listen: self.listen,
            proxy: self.proxy,
            peer: self.peer,
            metrics: self.metrics,
            announce: self.announce,
            memory: self.memory,
            password: self.password,
            origin: self.origin,
            warm_for: self.warm,
            linger: self.linger,
            audit: self.audit,
        })
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

fn told(member: &str, listening: &Listening, json: bool) -> anyhow::Result<()> {
    let Listening {
        resp,
        proxy,
        peer,
        metrics,
    } = listening;
    if json {
        return print::json(&Ready {
            ready: true,
            member,
            resp: resp.to_string(),
            proxy: proxy.to_string(),
            peer: peer.to_string(),
            metrics: metrics.map(|at| at.to_string()),
            pid: std::process::id(),
        });
    }
    Ok(print::line(format_args!(
        "cache {member} is on the ring: clients of Redis Cluster at {resp}, any other at {proxy}"
    ))?)
}

/// A size such as `64MiB` or `1000000`.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("`{other}` is not B, KiB, MiB or GiB")),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    let bytes = number.checked_mul(unit).filter(|bytes| *bytes >= 1 << 20);
    bytes.ok_or_else(|| "at least 1MiB, and less than 2^64 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("2000000"), Ok(2_000_000));
        assert!(bytes("64MB").is_err() && bytes("1KiB").is_err() && bytes("").is_err());
    }
}
