//! `lockring cluster`: who is in it, and changing that.

use anyhow::Context;
use clap::{Args, Subcommand};
use lockring_client::Client;
use lockring_client::wire::{self, AddNode, NodeRole};

use super::endpoints::Endpoints;
use super::exit::Exit;
use super::print;

/// See and change the cluster
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring cluster status
  lockring cluster add 4 http://10.0.0.4:7420 10.0.0.4:7421
  lockring cluster replace 2
  lockring cluster transfer --to 3")]
pub(super) struct Cluster {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the nodes and who leads
    Status(Ask),
    /// Bring in a node that runs with an empty directory
    #[command(alias = "join")]
    Add(Add),
    /// Bring back a node whose directory was lost, as a new one under its id
    Replace(Replace),
    /// Take a node out
    Remove(Remove),
    /// Hand leadership over
    Transfer(Transfer),
}

#[derive(Debug, Args)]
struct Ask {
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Add {
    /// Its id, which no member has
    id: u64,
    /// Where clients reach it
    #[arg(value_name = "API_URL")]
    api: String,
    /// Where the other nodes reach it
    #[arg(value_name = "PEER_HOST:PORT")]
    peer: String,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Args)]
struct Replace {
    /// The id of the member whose directory was lost
    id: u64,
    /// Where clients reach it now, if elsewhere than before
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Where the other nodes reach it now, if elsewhere than before
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Args)]
struct Remove {
    /// The id of the member
    id: u64,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Args)]
struct Transfer {
    /// To which node; the one that is furthest if not said
    #[arg(long, value_name = "ID")]
    to: Option<u64>,
    #[command(flatten)]
    ask: Ask,
}

impl Cluster {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Status(ask) => ask.tell(&ask.status().await?),
            What::Add(add) => add.run().await,
            What::Replace(replace) => replace.run().await,
            What::Remove(Remove { id, ask }) => {
                let cluster = ask.endpoints.patient_client()?.remove_node(id).await?;
                ask.tell(&cluster)
            }
            What::Transfer(Transfer { to, ask }) => {
                let leader = ask.endpoints.client()?.transfer_leader(to).await?;
                if ask.json {
                    return print::json(&leader);
                }
                Ok(print::line(format_args!("node {} leads", leader.leader))?)
            }
        }
    }
}

impl Ask {
    /// The cluster as its leader sees it, for only that one knows how far the others are; else as
    /// whoever answers does.
    async fn status(&self) -> Result<wire::Cluster, lockring_client::Error> {
        let seen = self.seen().await?;
        let leader = seen.leader.and_then(|leader| find(&seen, leader));
        let Some(leader) = leader.filter(|leader| leader.matched.is_none()) else {
            return Ok(seen);
        };
        let mut at_leader = self.endpoints.clone();
        at_leader.urls = vec![leader.api.clone()];
        Ok(at_leader.client()?.cluster().await.unwrap_or(seen))
    }

    /// The cluster as somebody in it sees it. A node that waits to be brought in answers, too, and
    /// knows nobody.
    async fn seen(&self) -> Result<wire::Cluster, lockring_client::Error> {
        let seen = self.endpoints.client()?.cluster().await?;
        if !seen.nodes.is_empty() {
            return Ok(seen);
        }
        let mut one = self.endpoints.clone();
        for url in &self.endpoints.urls {
            one.urls = vec![url.clone()];
            if let Ok(other) = one.client()?.cluster().await
                && !other.nodes.is_empty()
            {
                return Ok(other);
            }
        }
        Ok(seen)
    }

    fn tell(&self, cluster: &wire::Cluster) -> anyhow::Result<()> {
        if self.json {
            return print::json(cluster);
        }
        if cluster.nodes.is_empty() {
            return Err(Exit::usage(outside()).into());
        }
        let leader = match cluster.leader {
            Some(leader) => format!("node {leader} leads in term {}", cluster.term),
            None => "nobody leads".to_owned(),
        };
        print::line(format_args!("cluster {}: {leader}", cluster.cluster))?;
        let known =
            |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
        let rows = cluster.nodes.iter().map(|node| {
            let role = match node.role {
                NodeRole::Leader => "leader",
                NodeRole::Voter => "voter",
                NodeRole::Learner => "learner",
            };
            vec![
                node.id.to_string(),
                role.to_owned(),
                node.api.clone(),
                node.peer.clone(),
                known(node.matched),
                known(node.lag),
            ]
        });
        let head = ["NODE", "ROLE", "API", "PEER", "MATCHED", "LAG"];
        Ok(print::table(&head, &rows.collect::<Vec<_>>())?)
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.ask.endpoints.patient_client()?;
        if find(&self.ask.seen().await?, self.id).is_some() {
            let message = format!(
                "node {0} is a member; if its directory was lost: lockring cluster replace {0}",
                self.id
            );
            return Err(Exit::usage(message).into());
        }
        let node = AddNode {
            id: self.id,
            api: self.api,
            peer: self.peer,
        };
        self.ask.tell(&client.add_node(&node).await?)
    }
}

impl Replace {
    async fn run(self) -> anyhow::Result<()> {
        let client: Client = self.ask.endpoints.patient_client()?;
        let cluster = self.ask.seen().await?;
        if cluster.nodes.is_empty() {
            return Err(Exit::usage(outside()).into());
        }
        let before = find(&cluster, self.id)
            .map(|node| (node.api.clone(), node.peer.clone()))
            .with_context(|| format!("node {} is no member: lockring cluster add", self.id));
        let (api, peer) = before.map_err(|error| Exit::usage(format!("{error:#}")))?;
        let node = AddNode {
            id: self.id,
            api: self.api.unwrap_or(api),
            peer: self.peer.unwrap_or(peer),
        };
        self.ask.tell(&client.add_node(&node).await?)
    }
}

fn outside() -> String {
    "who answered is in no cluster yet, and says why at its /readyz: name members by --endpoints"
        .to_owned()
}

fn find(cluster: &wire::Cluster, id: u64) -> Option<&wire::Node> {
    cluster.nodes.iter().find(|node| node.id == id)
}
