//! `lockring break NAME`: an operator ends the leases of a lock.

use clap::Args;

use super::endpoints::Endpoints;
use super::print;

/// End the leases of a lock now, as an operator
///
/// The next in the queue has the lock at once. The holders hear of it a moment later, and until
/// then only the fence protects what they write; if there is time, `lockring revoke` asks first.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lockring break db/primary --reason 'node 7 hangs, see ticket 4711'")]
pub(super) struct Break {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Why: the holders are told, and the history keeps it
    #[arg(long)]
    reason: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Break {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let answer = client.break_lock(&self.name, &self.reason).await?;
        if self.json {
            return print::json(&answer);
        }
        let what = match answer.leases {
            0 => format!("{} was free", self.name),
            1 => "1 lease is ended".to_owned(),
            leases => format!("{leases} leases are ended"),
        };
        Ok(print::line(what)?)
    }
}
