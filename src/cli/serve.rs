//! `lockring serve`: one node, until it is told to stop.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use crate::config::{Config, Draft, Given, Member};
use crate::planted;
use crate::server::{self, LogFormat, Stop};

/// Run one node
///
/// Everything can be said in the configuration file, which cluster/node.toml explains key by key;
/// each flag and its environment variable overrides one key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring serve --config /etc/lockring/node.toml
  lockring serve --id 1 --cluster-id home --data-dir /var/lib/lockring \\
    --member 1=http://10.0.0.1:7420,10.0.0.1:7421 \\
    --member 2=http://10.0.0.2:7420,10.0.0.2:7421 \\
    --member 3=http://10.0.0.3:7420,10.0.0.3:7421 --insecure

SIGTERM and SIGINT end it in order; a second one ends it at once.")]
pub(super) struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LOCKRING_CONFIG")]
    config: Option<PathBuf>,
    /// The name of the cluster, equal on all nodes
    #[arg(long, value_name = "NAME", env = "LOCKRING_CLUSTER_ID")]
    cluster_id: Option<String>,
    /// A founder of the cluster, equal on all nodes; repeat it for each
    #[arg(long = "member", value_name = "ID=API,PEER", env = "LOCKRING_MEMBERS")]
    #[arg(value_delimiter = ';')]
    members: Vec<Member>,
    /// Which node this is
    #[arg(long, env = "LOCKRING_ID")]
    id: Option<u64>,
    /// Where to listen for clients; its own address among the members if not said
    #[arg(long, value_name = "IP:PORT", env = "LOCKRING_API_LISTEN")]
    api_listen: Option<String>,
    /// Where to listen for the other nodes; its own address among the members if not said
    #[arg(long, value_name = "IP:PORT", env = "LOCKRING_PEER_LISTEN")]
    peer_listen: Option<String>,
    /// Where its log, snapshots, history and identity are
    #[arg(long, value_name = "DIR", env = "LOCKRING_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Threads that serve; 0 stands for half of the cores
    #[arg(long, value_name = "N", env = "LOCKRING_WORKERS")]
    workers: Option<u64>,
    /// Serve addresses beyond loopback although there are no TLS and tokens
    #[arg(long, env = "LOCKRING_INSECURE")]
    insecure: bool,
    /// What to log, as levels by module: info, or warn,lockring::consensus=debug
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "LOCKRING_LOG"
    )]
    log: String,
    /// How to log
    #[arg(long, value_enum, default_value = "text", env = "LOCKRING_LOG_FORMAT")]
    log_format: Lines,
    /// Stop when standard input ends, which it does when the parent process is gone
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Lines {
    /// For people
    Text,
    /// For programs: one object a line
    Json,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let format = match self.log_format {
            Lines::Text => LogFormat::Text,
            Lines::Json => LogFormat::Json,
        };
        server::log_to_stderr(&self.log, format).map_err(Exit::usage)?;
        warn_of_plants()?;
        let config = self.resolve().map_err(Exit::usage)?;
        let stop = if self.exit_with_parent {
            Stop::on_signal_or_orphaned()
        } else {
            Stop::on_signal()
        };
        match server::run(config, stop) {
            Ok(()) => Ok(()),
            // It has been logged, as one line, where it stopped the node.
            Err(server::Failed) => Err(Exit::silent(1).into()),
        }
    }

    fn resolve(&self) -> Result<Config, crate::config::ConfigError> {
        let mut draft = match &self.config {
            Some(path) => Draft::read(path)?,
            None => Draft::default(),
        };
        fn set<T: Clone>(key: &mut Option<Given<T>>, flag: &Option<T>) {
            if let Some(value) = flag {
                *key = Some(Given::by_flag(value.clone()));
            }
        }
        set(&mut draft.cluster.id, &self.cluster_id);
        set(&mut draft.node.id, &self.id);
        set(&mut draft.node.api_listen, &self.api_listen);
        set(&mut draft.node.peer_listen, &self.peer_listen);
        set(&mut draft.node.data_dir, &self.data_dir);
        set(&mut draft.node.workers, &self.workers);
        if self.insecure {
            draft.node.insecure = Some(Given::by_flag(true));
        }
        if !self.members.is_empty() {
            draft.found_with(&self.members);
        }
        draft.resolve()
    }
}

/// A build that can plant bugs says so; see `planted.rs`.
fn warn_of_plants() -> anyhow::Result<()> {
    let plant = planted::choose_as_told().map_err(Exit::usage)?;
    if planted::COMPILED_IN {
        let plant = plant.as_deref().unwrap_or("none");
        tracing::warn!(
            plant,
            "this build can plant bugs on purpose: trust it with nothing"
        );
    }
    Ok(())
}
