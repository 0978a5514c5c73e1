//! `lockring locks`: which are in use, and one of them closely.

use clap::{Args, Subcommand};
use lockring_client::Client;
use lockring_client::wire::{self, LockState, LocksQuery};

use super::endpoints::Endpoints;
use super::{modes, print, span};

/// See which locks are in use, by whom, and who waits
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  lockring locks
  lockring locks --prefix db/ --json
  lockring locks show db/primary")]
pub(super) struct Locks {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List locks in use (as without a subcommand)
    List(List),
    /// Show one lock, its holders and its queue
    Show(Show),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    endpoints: Endpoints,
    /// Only locks whose names start so
    #[arg(long)]
    prefix: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Rows in one page.
const PAGE: usize = 1000;

impl Locks {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            None => self.list.run().await,
            Some(What::List(list)) => list.run().await,
            Some(What::Show(show)) => show.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let locks = self.fetch(&self.endpoints.client()?).await?;
        if self.json {
            return print::json(&locks);
        }
        let rows = locks.iter().map(|lock| {
            let holder = lock.holders.first();
            let text = |show: fn(&wire::Holder) -> String| holder.map(show).unwrap_or_default();
            // The first stands for all; `locks show` has each of them.
            let more = match lock.holders.len() {
                0 | 1 => String::new(),
                holders => format!(" +{}", holders - 1),
            };
            vec![
                lock.lock.clone(),
                text(|holder| modes::short(holder.mode)) + &more,
                text(|holder| holder.fence.to_string()),
                text(|holder| holder.owner.clone()),
                text(|holder| holder.session.clone()),
                text(|holder| span::show(holder.held_ms)),
                text(|holder| span::show(holder.expires_in_ms)),
                lock.queue_total.to_string(),
            ]
        });
        let head = [
            "LOCK",
            "MODE",
            "FENCE",
            "OWNER",
            "SESSION",
            "HELD",
            "EXPIRES IN",
            "WAITING",
        ];
        Ok(print::table(&head, &rows.collect::<Vec<_>>())?)
    }

    async fn fetch(&self, client: &Client) -> anyhow::Result<Vec<wire::Lock>> {
        let mut locks = Vec::new();
        let mut after = None;
        loop {
            let rows = (self.limit - locks.len()).min(PAGE);
            if rows == 0 {
                return Ok(locks);
            }
            let query = LocksQuery {
                prefix: self.prefix.clone(),
                after,
                limit: Some(u32::try_from(rows).expect("a page is small")),
                ..LocksQuery::default()
            };
            let page = client.list_locks(&query).await?;
            locks.extend(page.locks);
            after = page.next;
            if after.is_none() {
                return Ok(locks);
            }
        }
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let lock = self.endpoints.client()?.get_lock(&self.name).await?;
        if self.json {
            return print::json(&lock);
        }
        let state = match lock.state {
            LockState::Free => "free",
            LockState::Held => "held",
        };
        print::line(format_args!("{} is {state}", lock.lock))?;
        let holders = lock.holders.iter().map(|holder| {
            vec![
                modes::short(holder.mode),
                holder.fence.to_string(),
                holder.owner.clone(),
                holder.session.clone(),
                span::show(holder.held_ms),
                span::show(holder.expires_in_ms),
                holder.value.clone().unwrap_or_default(),
            ]
        });
        let holders: Vec<_> = holders.collect();
        if !holders.is_empty() {
            let head = [
                "MODE",
                "FENCE",
                "OWNER",
                "SESSION",
                "HELD",
                "EXPIRES IN",
                "VALUE",
            ];
            print::table(&head, &holders)?;
        }
        let queue = lock.queue.iter().zip(1..).map(|(waiter, nth): (_, u32)| {
            vec![
                nth.to_string(),
                modes::short(waiter.mode),
                waiter.owner.clone(),
                waiter.session.clone(),
                span::show(waiter.waited_ms),
                span::show(waiter.ends_in_ms),
            ]
        });
        let queue: Vec<_> = queue.collect();
        if !queue.is_empty() {
            print::line(format_args!("{} waiting", lock.queue_total))?;
            let head = ["PLACE", "MODE", "OWNER", "SESSION", "WAITED", "ENDS IN"];
            print::table(&head, &queue)?;
        }
        Ok(())
    }
}
