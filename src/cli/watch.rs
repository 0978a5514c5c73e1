//! `lockring watch [PREFIX]`: what happens, as it happens.

use clap::Args;
use lockring_client::Notice;
use serde_json::json;

use super::endpoints::Endpoints;
use super::{happening, print};

/// Watch what happens to locks and sessions, until interrupted
///
/// Everything is told once, in the order in which it happened, also over the loss of the node
/// that tells it. Where something may be missing, because it is no longer kept, that is told too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring watch
  lockring watch db/
  lockring watch db/ --json | jq -r 'select(.event == \"broken\") | .lock + \": \" + .reason'
  lockring watch --after 48211        # from behind a revision that was seen before")]
pub(super) struct Watch {
    /// Only locks whose names start so; sessions are then left out
    prefix: Option<String>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Begin behind this event; if not said, with what happens next
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Print JSON, an event a line
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut events = self.endpoints.client()?.events();
        if let Some(prefix) = &self.prefix {
            events = events.prefix(prefix);
        }
        if let Some(id) = &self.after {
            events = events.after(id);
        }
        let mut events = events.subscribe();
        events.connect().await?;
        loop {
            match events.next().await {
                Ok(notice) => self.show(&notice)?,
                // It goes on where it was as soon as somebody answers.
                Err(error) => print::note(format_args!("lockring: {error}; still trying")),
            }
        }
    }

    fn show(&self, notice: &Notice) -> anyhow::Result<()> {
        match notice {
            Notice::Event(event) if self.json => print::json(event),
            Notice::Gap(gap) if self.json => print::json(&json!({ "gap": gap })),
            Notice::Gap(gap) => {
                let (from, to) = (gap.from, gap.to);
                Ok(print::line(format_args!(
                    "… of revisions {from} to {to} something may be missing"
                ))?)
            }
            Notice::Event(event) => {
                let [when, kind, fence, mode, owner, session, why] =
                    <[String; 7]>::try_from(happening::row(event)).expect("as many as the head");
                let lock = event.lock.as_deref().unwrap_or("-");
                let who = format!("{owner} ({session})");
                let fence = format!("fence {fence}");
                let fence = if event.fence.is_some() { &fence } else { "" };
                let text =
                    format!("{when}  {kind:<16}  {lock:<20}  {fence:<10}  {mode:<9}  {who}  {why}");
                Ok(print::line(text.trim_end())?)
            }
        }
    }
}
