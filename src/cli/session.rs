//! `lockring session`: one client's liveness, by hand.

use std::time::Duration;

use clap::{Args, Subcommand};
use lockring_client::wire::{self, OpenSession, SessionsQuery};

use super::endpoints::Endpoints;
use super::{print, span};

/// Open, renew, see and close sessions
///
/// A session is one client's liveness: it ends unless it is renewed, and everything that it holds
/// or waits for ends with it. Its id is a secret of its owner; lists show the first digits only.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring session open --ttl 1m --owner nightly
  lockring session list
  lockring session close 7c9e…32 digits…
  lockring session end 7c9e1f2e --reason 'its machine was stolen'")]
pub(super) struct Session {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Open a session, which nobody renews but you
    Open(Open),
    /// Renew a session: it lives for its TTL from now
    Renew(Known),
    /// Show a session, what it holds and what it waits for
    Show(Known),
    /// List live sessions
    List(List),
    /// Close a session and release what it holds
    Close(Known),
    /// End somebody else's session, as an operator
    End(End),
}

#[derive(Debug, Args)]
struct Open {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How long it lives without renewal; the cluster's default if not said
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    ttl: Option<Duration>,
    /// Who you are, for others to see
    #[arg(long)]
    owner: Option<String>,
    /// What it shall be listed with
    #[arg(long)]
    metadata: Option<String>,
    /// After it was lost, not closed, nobody gets what it held for so long
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    lock_delay: Option<Duration>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Known {
    /// The whole id of the session
    id: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    endpoints: Endpoints,
    /// Only this owner's
    #[arg(long)]
    owner: Option<String>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct End {
    /// The first eight digits of its id, as lists show them
    digits: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Why: its client is told, and the history keeps it
    #[arg(long)]
    reason: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Session {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Open(open) => open.run().await,
            What::Renew(known) => known.renew().await,
            What::Show(known) => known.show().await,
            What::List(list) => list.run().await,
            What::Close(known) => known.close().await,
            What::End(end) => end.run().await,
        }
    }
}

impl Open {
    async fn run(self) -> anyhow::Result<()> {
        let open = OpenSession {
            ttl_ms: self.ttl.map(span::ms),
            owner: self.owner,
            metadata: self.metadata,
            lock_delay_ms: self.lock_delay.map(span::ms),
        };
        let opened = self.endpoints.client()?.open_session(&open).await?;
        if self.json {
            return print::json(&opened);
        }
        let row = vec![opened.session, span::show(opened.ttl_ms)];
        Ok(print::table(&["SESSION", "TTL"], &[row])?)
    }
}

impl Known {
    async fn renew(self) -> anyhow::Result<()> {
        let renewed = self.endpoints.client()?.renew_session(&self.id).await?;
        if self.json {
            return print::json(&renewed);
        }
        let expires = span::show(renewed.expires_in_ms);
        Ok(print::line(format_args!("expires in {expires}"))?)
    }

    async fn close(self) -> anyhow::Result<()> {
        let closed = self.endpoints.client()?.close_session(&self.id).await?;
        tell_closed(closed, self.json)
    }

    async fn show(self) -> anyhow::Result<()> {
        let session = self.endpoints.client()?.get_session(&self.id).await?;
        if self.json {
            return print::json(&session);
        }
        let (ttl, expires) = (
            span::show(session.ttl_ms),
            span::show(session.expires_in_ms),
        );
        print::line(format_args!(
            "{}  owner {:?}  ttl {ttl}  expires in {expires}",
            session.session, session.owner
        ))?;
        print::line(format_args!("leases: {}", session.leases_total))?;
        for lease in session.leases {
            let (lock, mode, fence) = (lease.lock, lease.mode, lease.fence);
            print::line(format_args!("  {lock}  {mode}  fence {fence}"))?;
        }
        for wait in session.waits {
            let before = wait.position;
            print::line(format_args!(
                "  waits for {}, {before} before it",
                wait.lock
            ))?;
        }
        Ok(())
    }
}

impl End {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let closed = client.end_session(&self.digits, &self.reason).await?;
        tell_closed(closed, self.json)
    }
}

fn tell_closed(closed: wire::Closed, json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(&closed);
    }
    print::line(format_args!("closed; {} released", closed.released.len()))?;
    for wire::ClosedLease { lock, fence } in closed.released {
        print::line(format_args!("  {lock}  fence {fence}"))?;
    }
    Ok(())
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let mut query = SessionsQuery {
            owner: self.owner,
            limit: Some(1000),
            ..SessionsQuery::default()
        };
        let mut sessions = Vec::new();
        loop {
            let page = client.list_sessions(&query).await?;
            sessions.extend(page.sessions);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        if self.json {
            return print::json(&sessions);
        }
        let rows = sessions.into_iter().map(|row: wire::SessionRow| {
            vec![
                row.session,
                row.owner,
                span::show(row.ttl_ms),
                span::show(row.expires_in_ms),
                row.leases.to_string(),
            ]
        });
        let head = ["SESSION", "OWNER", "TTL", "EXPIRES IN", "LEASES"];
        Ok(print::table(&head, &rows.collect::<Vec<_>>())?)
    }
}
