//! The verbs that change a ring.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use lockring_client::wire::{ConfigureRing, JoinRing, Placement, RingChanged, RingHash};

use crate::cli::endpoints::Endpoints;
use crate::cli::exit::Exit;
use crate::cli::{print, span};

#[derive(Debug, Args)]
pub(super) struct Configure {
    /// The ring
    ring: String,
    /// How keys become slots; for good, once the ring has members
    #[arg(long, value_enum)]
    hash: Option<Hash>,
    /// How slots become members
    #[arg(long, value_enum)]
    placement: Option<Place>,
    /// How many members a preference list has
    #[arg(long)]
    replicas: Option<u8>,
    /// How long a lost member's slots are kept for it
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    reassign_delay: Option<Duration>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Hash {
    /// The first 14 bits of SHA-1(key)
    Sha1,
    /// As Redis Cluster has it
    Crc16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Place {
    /// Consistent hashing
    Points,
    /// Even shares by the fewest moves
    Exact,
}

#[derive(Debug, Args)]
pub(super) struct Join {
    /// The ring
    ring: String,
    /// The member's name, the same over restarts
    member: String,
    /// The whole id of the session whose life is the member's
    #[arg(long)]
    session: String,
    /// Twice the weight, twice the slots
    #[arg(long)]
    weight: Option<u16>,
    /// Where it is
    #[arg(long)]
    zone: Option<String>,
    /// Where it is reached, such as resp=10.0.0.1:6379; may be given again
    #[arg(long = "address", value_name = "WHAT=ADDRESS")]
    addresses: Vec<String>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Member {
    /// The ring
    ring: String,
    /// The member
    member: String,
    /// Only if it is in this incarnation still, as the ring lists it
    #[arg(long, value_name = "EPOCH")]
    incarnation: Option<u64>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Hold {
    /// The ring
    ring: String,
    /// Why: it is shown with the ring
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Configure {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let settings = ConfigureRing {
            hash: self.hash.map(|hash| match hash {
                Hash::Sha1 => RingHash::Sha1,
                Hash::Crc16 => RingHash::Crc16,
            }),
            placement: self.placement.map(|placement| match placement {
                Place::Points => Placement::Points,
                Place::Exact => Placement::Exact,
            }),
            replicas: self.replicas,
            reassign_delay_ms: self.reassign_delay.map(span::ms),
        };
        let client = self.endpoints.client()?;
        let ring = client.configure_ring(&self.ring, &settings).await?;
        if self.json {
            return print::json(&ring);
        }
        let (name, epoch) = (ring.ring, ring.epoch);
        let (hash, placement, replicas) = (ring.hash, ring.placement, ring.replicas);
        let delay = span::show(ring.reassign_delay_ms);
        Ok(print::line(format_args!(
            "{name}  epoch {epoch}  {hash}, {placement}, replicas {replicas}, kept for {delay}"
        ))?)
    }
}

impl Join {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut addresses = BTreeMap::new();
        for address in &self.addresses {
            let (what, at) = address
                .split_once('=')
                .ok_or_else(|| Exit::usage(format!("--address {address:?} is not WHAT=ADDRESS")))?;
            addresses.insert(what.to_owned(), at.to_owned());
        }
        let join = JoinRing {
            session: self.session,
            weight: self.weight,
            zone: self.zone,
            addresses,
        };
        let client = self.endpoints.client()?;
        let joined = client.join_ring(&self.ring, &self.member, &join).await?;
        tell(&joined, "on the ring", self.json)
    }
}

impl Member {
    pub(super) async fn drain(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let (ring, member) = (&self.ring, &self.member);
        let changed = client.drain_member(ring, member, self.incarnation).await?;
        tell(&changed, "draining", self.json)
    }

    pub(super) async fn leave(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let (ring, member) = (&self.ring, &self.member);
        let changed = client.leave_ring(ring, member, self.incarnation).await?;
        tell(&changed, "leaving", self.json)
    }
}

impl Hold {
    pub(super) async fn freeze(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let changed = client.freeze_ring(&self.ring, &self.reason).await?;
        tell(&changed, "frozen", self.json)
    }

    pub(super) async fn unfreeze(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let changed = client.unfreeze_ring(&self.ring, &self.reason).await?;
        tell(&changed, "not frozen", self.json)
    }
}

fn tell(changed: &RingChanged, state: &str, json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(changed);
    }
    let epoch = changed.epoch;
    Ok(print::line(format_args!(
        "{state} since epoch {epoch} at the latest"
    ))?)
}
