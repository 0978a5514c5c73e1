//! `lockring release NAME`.

use clap::Args;
use lockring_client::wire;

use super::endpoints::Endpoints;
use super::print;

/// Give a lock back
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lockring release deploy --session 7c9e…32 digits… --fence 41

Ends with 4 when the lease had ended before: then somebody else may have held the lock meanwhile.")]
pub(super) struct Release {
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
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Release {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let ask = wire::Release {
            session: self.session,
            fence: self.fence,
        };
        self.endpoints
            .client()?
            .release_lock(&self.name, &ask)
            .await?;
        if self.json {
            return print::json(&wire::Released {
                released: true,
                replayed: false,
            });
        }
        Ok(print::line("released")?)
    }
}
