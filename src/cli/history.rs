//! `lockring history NAME`: what happened to a lock, and why.

use clap::Args;
use lockring_client::wire::{Event, Gap, HistoryQuery};
use serde::Serialize;

use super::endpoints::Endpoints;
use super::{happening, print};

/// See what happened to a lock: granted, released, expired, broken by whom and why
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring history db/primary
  lockring history db/primary --after 48211 --limit 20
  lockring history db/primary --json | jq '.events[] | select(.event == \"expired\")'")]
pub(super) struct History {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Only what happened behind this revision
    #[arg(long, value_name = "REVISION")]
    after: Option<u64>,
    /// At most so many, from the oldest on
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Default, Serialize)]
struct Found {
    events: Vec<Event>,
    gaps: Vec<Gap>,
    /// There are more behind this revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// Rows in one page.
const PAGE: usize = 1000;

impl History {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let found = self.fetch().await?;
        if self.json {
            return print::json(&found);
        }
        let rows: Vec<_> = found.events.iter().map(happening::row).collect();
        print::table(&happening::HEAD, &rows)?;
        for Gap { from, to } in found.gaps {
            print::note(format_args!(
                "of revisions {from} to {to} something may be missing"
            ));
        }
        if let Some(next) = found.next {
            print::note(format_args!("there is more: --after {next}"));
        }
        Ok(())
    }

    async fn fetch(&self) -> anyhow::Result<Found> {
        let client = self.endpoints.client()?;
        let mut found = Found {
            next: self.after,
            ..Found::default()
        };
        loop {
            let rows = self.limit.saturating_sub(found.events.len()).min(PAGE);
            if rows == 0 {
                return Ok(found);
            }
            let query = HistoryQuery {
                after: found.next,
                limit: Some(u32::try_from(rows).expect("a page is small")),
                ..HistoryQuery::default()
            };
            let page = client.lock_history(&self.name, &query).await?;
            found.events.extend(page.events);
            for gap in page.gaps {
                if !found.gaps.contains(&gap) {
                    found.gaps.push(gap);
                }
            }
            found.next = page.next;
            if found.next.is_none() {
                return Ok(found);
            }
        }
    }
}
