//! `lockring acquire NAME`.

use std::time::Duration;

use clap::Args;
use lockring_client::wire;

use super::endpoints::Endpoints;
use super::exit::Exit;
use super::modes::{self, Modes};
use super::{print, span};

/// Take a lock, or several in one step
///
/// Of several locks all are taken or none, and while it waits it holds none of them.
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
  lockring acquire accounts/7 accounts/9 --session $s --wait 5s
  lockring acquire catalogue --session $s --shared
  lockring acquire licences --session $s --permits 2/10

Ends with 3 when the lock is held by another.")]
pub(super) struct Acquire {
    /// The lock; several only with --session
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    endpoints: Endpoints,
    #[command(flatten)]
    modes: Modes,
    /// The session that shall hold it
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// How long the lease lives if nobody renews it; the cluster's default if not said
    #[arg(long, value_parser = span::parse, value_name = "TIME", conflicts_with = "session")]
    ttl: Option<Duration>,
    /// How long to stand in the queue if another holds it
    #[arg(long, value_parser = span::parse, value_name = "TIME", default_value = "0")]
    wait: Duration,
    /// The lease ends so long after its grant, however alive its session is
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    max_hold: Option<Duration>,
    /// What the lease is to be seen with by others
    #[arg(long)]
    value: Option<String>,
    /// Who you are, for others to see
    #[arg(long, conflicts_with = "session")]
    owner: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Acquire {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match &self.names[..] {
            [name] => self.one(name).await,
            _ => self.all().await,
        }
    }

    async fn one(&self, name: &str) -> anyhow::Result<()> {
        let ask = wire::Acquire {
            session: self.session.clone(),
            ttl_ms: self.ttl.map(span::ms),
            owner: self.owner.clone(),
            mode: self.modes.said(),
            wait_ms: Some(span::ms(self.wait)),
            max_hold_ms: self.max_hold.map(span::ms),
            value: self.value.clone(),
        };
        let client = self.endpoints.client()?;
        let granted = client.acquire_lock(name, &ask).await?;
        if self.json {
            return print::json(&granted);
        }
        let (session, fence) = (&granted.session, granted.fence);
        print::table(
            &["LOCK", "MODE", "FENCE", "SESSION", "EXPIRES IN"],
            &[vec![
                granted.lock,
                modes::short(granted.mode),
                fence.to_string(),
                session.clone(),
                span::show(granted.expires_in_ms),
            ]],
        )?;
        print::note(format_args!(
            "give it back: lockring release {name} --session {session} --fence {fence}"
        ));
        Ok(())
    }

    async fn all(self) -> anyhow::Result<()> {
        let Some(session) = self.session else {
            return Err(Exit::usage("several locks need a --session that holds them").into());
        };
        if self.value.is_some() {
            return Err(Exit::usage("a --value is of one lock").into());
        }
        let mode = self.modes.said();
        let want = |lock| wire::Want { lock, mode };
        let ask = wire::AcquireAll {
            session,
            locks: self.names.into_iter().map(want).collect(),
            wait_ms: Some(span::ms(self.wait)),
            max_hold_ms: self.max_hold.map(span::ms),
        };
        let granted = self.endpoints.client()?.acquire_locks(&ask).await?;
        if self.json {
            return print::json(&granted);
        }
        let row = |lease: wire::Lease| {
            vec![
                lease.lock,
                modes::short(lease.mode),
                lease.fence.to_string(),
            ]
        };
        let rows: Vec<_> = granted.leases.into_iter().map(row).collect();
        Ok(print::table(&["LOCK", "MODE", "FENCE"], &rows)?)
    }
}
