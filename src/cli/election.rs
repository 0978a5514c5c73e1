//! `lockring election`: who leads, for things that are not a command under `exec`.

use std::time::Duration;

use clap::{Args, Subcommand};
use lockring_client::{Leader, Leadership};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::endpoints::Endpoints;
use super::exit::Exit;
use super::{print, revoke, span};

/// Campaign in an election, see who leads, ask the leader to resign
///
/// An election is a lock whose value says what its holder is to be known by. To run a command
/// while leading, use `lockring exec`: it ends the command in time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring election campaign scheduler --value http://10.0.0.7:8080
  lockring election show scheduler --json | jq -r .value
  lockring election observe scheduler
  lockring election resign scheduler --reason 'node 7 is being drained'")]
pub(super) struct Election {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Campaign, and lead until interrupted, asked to resign, or cut off
    Campaign(Campaign),
    /// Show who leads at this moment
    Show(Named),
    /// Show who leads, and every change, until interrupted
    Observe(Named),
    /// Ask the leader to resign; at the deadline its leadership is ended
    Resign(Resign),
}

#[derive(Debug, Args)]
struct Named {
    /// The election
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print JSON, a leader a line; null when nobody leads
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ends with 0 after it has resigned, with 3 when --wait was over, and with 4 when it was cut off.")]
struct Campaign {
    /// The election
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// What the leader is to be known by, such as its address
    #[arg(long, default_value = "")]
    value: String,
    /// How long a leader lives that cannot be reached
    #[arg(long, value_parser = span::parse, value_name = "TIME", default_value = "10s")]
    ttl: Duration,
    /// How long to campaign; without end if not said
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    wait: Option<Duration>,
    /// Who you are, for others to see
    #[arg(long)]
    owner: Option<String>,
    /// Print JSON: one line when it leads, and one when it does no more
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Resign {
    /// The election
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Why: the leader is told, and the history keeps it
    #[arg(long)]
    reason: String,
    /// How long the leader has
    #[arg(long, value_parser = span::parse, value_name = "TIME", default_value = "30s")]
    within: Duration,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Election {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Campaign(campaign) => campaign.run().await,
            What::Show(named) => {
                let leader = named.endpoints.client()?.leader(&named.name).await?;
                named.tell(leader.as_ref())
            }
            What::Observe(named) => named.observe().await,
            What::Resign(resign) => resign.run().await,
        }
    }
}

impl Named {
    async fn observe(self) -> anyhow::Result<()> {
        let mut observer = self.endpoints.client()?.observe(&self.name);
        self.tell(observer.next().await?.as_ref())?;
        loop {
            match observer.next().await {
                Ok(leader) => self.tell(leader.as_ref())?,
                Err(error) => print::note(format_args!("lockring: {error}; still trying")),
            }
        }
    }

    fn tell(&self, leader: Option<&Leader>) -> anyhow::Result<()> {
        if self.json {
            let leader = leader.map(|leader| {
                json!({
                    "session": leader.session,
                    "owner": leader.owner,
                    "value": leader.value,
                    "fence": leader.fence,
                })
            });
            return print::json(&leader);
        }
        let Some(leader) = leader else {
            return Ok(print::line("nobody leads")?);
        };
        let Leader {
            session,
            owner,
            value,
            fence,
        } = leader;
        Ok(print::line(format_args!(
            "{owner} ({session}) leads with fence {fence}  {value}"
        ))?)
    }
}

impl Campaign {
    async fn run(self) -> anyhow::Result<()> {
        let mut ends = Ends::catch()?;
        let client = self.endpoints.client()?;
        let mut session = client.session().ttl(self.ttl);
        if let Some(owner) = &self.owner {
            session = session.owner(owner);
        }
        let session = session.open().await?;
        let election = session.election(&self.name);
        let campaign = async {
            match self.wait {
                Some(wait) => election.campaign_for(self.value.clone(), wait).await,
                None => election.campaign(self.value.clone()).await,
            }
        };
        let elected = tokio::select! {
            elected = campaign => Some(elected),
            () = ends.next() => None,
        };
        let led = match elected {
            Some(Ok(leadership)) => self.lead(leadership, &mut ends).await,
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        };
        // What is not closed ends with its TTL.
        let _ = tokio::time::timeout(Duration::from_secs(1), session.close()).await;
        led
    }

    async fn lead(&self, leadership: Leadership, ends: &mut Ends) -> anyhow::Result<()> {
        self.tell("leads", &leadership)?;
        tokio::select! {
            cause = leadership.lost() => {
                let message = format!("no longer leads {}: {cause}", self.name);
                return Err(Exit { code: 4, message }.into());
            }
            asked = leadership.guard().revoke_requested() => {
                print::note(format_args!("asked to resign: {}", asked.reason));
            }
            () = ends.next() => {}
        }
        self.tell("resigns", &leadership)?;
        Ok(leadership.resign().await?)
    }

    fn tell(&self, state: &str, leadership: &Leadership) -> anyhow::Result<()> {
        let (election, fence) = (&self.name, leadership.fence().number());
        if self.json {
            return print::json(&json!({
                "election": election,
                "state": state,
                "fence": fence,
            }));
        }
        Ok(print::line(format_args!(
            "{state} {election}, fence {fence}"
        ))?)
    }
}

/// The signals that end a candidature, or a leadership.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them. Cancellation-safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl Resign {
    async fn run(self) -> anyhow::Result<()> {
        let asked = revoke::ask(&self.endpoints, &self.name, self.reason, self.within).await?;
        if self.json {
            return print::json(&asked);
        }
        let within = span::show(asked.deadline_in_ms);
        Ok(print::line(format_args!(
            "the leader of {} is asked to resign; ended in {within}",
            self.name
        ))?)
    }
}
