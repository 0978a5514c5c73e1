//! `lockring revoke NAME`: the holders are asked to give a lock up.

use std::time::Duration;

use clap::Args;
use lockring_client::wire;

use super::endpoints::Endpoints;
use super::{print, span};

/// Ask the holders of a lock to give it up; what they still hold at the deadline is broken
///
/// A command under `lockring exec` gets SIGTERM, and is dead before the deadline.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring revoke db/primary --reason 'maintenance of node 7' --within 1m
  lockring revoke db/primary --reason 'maintenance of node 7' --json")]
pub(super) struct Revoke {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Why: the holders are told, and the history keeps it
    #[arg(long)]
    reason: String,
    /// How long the holders have
    #[arg(long, value_parser = span::parse, value_name = "TIME", default_value = "30s")]
    within: Duration,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Revoke {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let asked = ask(&self.endpoints, &self.name, self.reason, self.within).await?;
        if self.json {
            return print::json(&asked);
        }
        let within = span::show(asked.deadline_in_ms);
        Ok(print::line(format_args!(
            "the holders of {} are asked; broken in {within}",
            self.name
        ))?)
    }
}

/// Asks the holders of a lock, and answers how long they have.
pub(super) async fn ask(
    endpoints: &Endpoints,
    name: &str,
    reason: String,
    within: Duration,
) -> anyhow::Result<wire::Revoking> {
    let revoke = wire::Revoke {
        reason,
        deadline_ms: span::ms(within),
    };
    Ok(endpoints.client()?.revoke_lock(name, &revoke).await?)
}
