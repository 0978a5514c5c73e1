//! `lockring break NAME`: an operator ends the leases of a lock.

use clap::Args;
use lockring_client::wire::{Broken, BrokenLease};

use super::endpoints::Endpoints;
use super::{modes, print};

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
        let Broken { broken, .. } = answer;
        if broken.is_empty() {
            return Ok(print::line(format_args!("{} was free", self.name))?);
        }
        let row = |lease: BrokenLease| {
            vec![
                lease.fence.to_string(),
                modes::short(lease.mode),
                lease.owner,
                lease.session,
            ]
        };
        let rows: Vec<_> = broken.into_iter().map(row).collect();
        print::line("broken:")?;
        Ok(print::table(&["FENCE", "MODE", "OWNER", "SESSION"], &rows)?)
    }
}
