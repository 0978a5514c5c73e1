//! `lockring acquire NAME`.

use std::time::Duration;

use clap::Args;
use lockring_client::wire;

use super::endpoints::Endpoints;
use super::{print, span};

/// Take a lock
///
/// Without --session the lock is taken under a session of its own, which ends with --ttl unless
/// it is renewed (`lockring session renew`). To hold a lock while a command runs, use
/// `lockring exec`, which renews.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring acquire deploy --ttl 5m
  lockring acquire deploy --wait 30s --json
  s=$(lockring session open --ttl 1m --json | jq -r .session)
  lockring acquire deploy --session $s

Ends with 3 when the lock is held by another.")]
pub(super) struct Acquire {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// The session that shall hold it
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// How long the lease lives if nobody renews it; the cluster's default if not said
    #[arg(long, value_parser = span::parse, value_name = "TIME", conflicts_with = "session")]
    ttl: Option<Duration>,
    /// How long to stand in the queue if another holds it
    #[arg(long, value_parser = span::parse, value_name = "TIME", default_value = "0")]
    wait: Duration,
    /// Who you are, for others to see
    #[arg(long, conflicts_with = "session")]
    owner: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Acquire {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let ask = wire::Acquire {
            session: self.session,
            ttl_ms: self.ttl.map(span::ms),
            owner: self.owner,
            wait_ms: Some(span::ms(self.wait)),
            ..wire::Acquire::default()
        };
        let client = self.endpoints.client()?;
        let granted = client.acquire_lock(&self.name, &ask).await?;
        if self.json {
            return print::json(&granted);
        }
        let wire::Granted {
            lock,
            session,
            fence,
            expires_in_ms,
            ..
        } = granted;
        print::table(
            &["LOCK", "FENCE", "SESSION", "EXPIRES IN"],
            &[vec![
                lock,
                fence.to_string(),
                session.clone(),
                span::show(expires_in_ms),
            ]],
        )?;
        print::note(format_args!(
            "give it back: lockring release {} --session {session} --fence {fence}",
            self.name
        ));
        Ok(())
    }
}
