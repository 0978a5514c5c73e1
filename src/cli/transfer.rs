//! `lockring transfer NAME`: a holder gives its lease to another session.

use clap::Args;
use lockring_client::wire;

use super::endpoints::Endpoints;
use super::print;

/// Give a lease to another session, without a moment in which the lock is free
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lockring transfer deploy --session 7c9e…32 digits… --fence 41 --to 1f2e3d4c")]
pub(super) struct Transfer {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// The session that holds it
    #[arg(long, value_name = "ID")]
    session: String,
    /// The fence that was granted
    #[arg(long, value_name = "N")]
    fence: u64,
    /// The session that shall have it: its id, or the first eight digits, which all can see
    #[arg(long, value_name = "ID")]
    to: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Transfer {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let transfer = wire::Transfer {
            session: self.session,
            fence: self.fence,
            to: self.to,
        };
        let client = self.endpoints.client()?;
        let given = client.transfer_lock(&self.name, &transfer).await?;
        if self.json {
            return print::json(&given);
        }
        Ok(print::line(format_args!(
            "transferred; its fence is {}",
            given.fence
        ))?)
    }
}
