//! `lockring ring`: who is on a ring, whose each key is, and what would move.

mod change;
mod picture;

use clap::{Args, Subcommand};
use lockring_client::RingSnapshot;
use lockring_client::wire::{self, PlanChange, PlanRing, SlotMoves};

use super::endpoints::Endpoints;
use super::print;
use change::{Configure, Hold, Join, Member};

/// See and change rings
///
/// A ring says which of its members owns a key. It has 16384 slots; a key lies in one of them, and
/// each slot has one owner at a time. The picture that `show` draws has a letter for the owner of
/// each 64 slots; a lower-case letter is on its way to that member.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockring ring configure cache --hash crc16 --placement exact
  lockring ring show cache
  lockring ring lookup cache user:42 -n 2
  lockring ring plan cache --join cache-4 --weight 2
  lockring ring plan cache --drain cache-1
  lockring ring diff cache --from 12
  lockring ring drain cache cache-1
  lockring ring freeze cache --reason 'the switch is replaced'
  lockring ring watch cache --json")]
pub(super) struct Ring {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List rings
    List(List),
    /// Show who is on a ring and how its slots lie, with a picture
    Show(Show),
    /// Find whom to ask for keys
    Lookup(Lookup),
    /// See what a change would move, without making it
    Plan(Plan),
    /// See what moved between two epochs
    Diff(Diff),
    /// Make a ring, or change one
    Configure(Configure),
    /// Bring a member onto a ring, for as long as a session lives
    Join(Join),
    /// Move a member's slots away in batches; it has left with the last
    Drain(Member),
    /// Take a member off a ring; its slots move at once, as it releases them
    Leave(Member),
    /// Let nothing move, whoever comes or goes
    Freeze(Hold),
    /// Let slots move again
    Unfreeze(Hold),
    /// Follow a ring: a line for each change
    Watch(Show),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// The ring
    ring: String,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Lookup {
    /// The ring
    ring: String,
    /// The keys
    #[arg(required = true)]
    keys: Vec<String>,
    /// How many members for each; as many as the ring has replicas if not said
    #[arg(short = 'n', long)]
    members: Option<u8>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Plan {
    /// The ring
    ring: String,
    /// A member that joins
    #[arg(long, value_name = "MEMBER", conflicts_with_all = ["drain", "leave"])]
    join: Option<String>,
    /// A member that is drained
    #[arg(long, value_name = "MEMBER", conflicts_with = "leave")]
    drain: Option<String>,
    /// A member that leaves, or is lost for good
    #[arg(long, value_name = "MEMBER")]
    leave: Option<String>,
    /// A member whose weight changes
    #[arg(long, value_name = "MEMBER", requires = "weight",
          conflicts_with_all = ["join", "drain", "leave"])]
    member: Option<String>,
    /// The weight of who joins or changes
    #[arg(long)]
    weight: Option<u16>,
    /// The zone of who joins
    #[arg(long, requires = "join")]
    zone: Option<String>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Diff {
    /// The ring
    ring: String,
    /// The epoch to begin at
    #[arg(long)]
    from: u64,
    /// The epoch to end at; the newest if not said
    #[arg(long)]
    to: Option<u64>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Ring {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::List(list) => list.run().await,
            What::Show(show) => show.run().await,
            What::Lookup(lookup) => lookup.run().await,
            What::Plan(plan) => plan.run().await,
            What::Diff(diff) => diff.run().await,
            What::Configure(configure) => configure.run().await,
            What::Join(join) => join.run().await,
            What::Drain(member) => member.drain().await,
            What::Leave(member) => member.leave().await,
            What::Freeze(hold) => hold.freeze().await,
            What::Unfreeze(hold) => hold.unfreeze().await,
            What::Watch(show) => show.watch().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let list = self.endpoints.client()?.list_rings().await?;
        if self.json {
            return print::json(&list);
        }
        let rows = list.rings.into_iter();
        let rows: Vec<_> = rows
            .map(|row| vec![row.ring, row.epoch.to_string()])
            .collect();
        Ok(print::table(&["RING", "EPOCH"], &rows)?)
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let view = client.ring(&self.ring).follow().await?;
        let now = view.now();
        if self.json {
            return print::json(&now.ring);
        }
        show(&now)
    }

    async fn watch(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let view = client.ring(&self.ring).follow().await?;
        let mut now = view.now();
        loop {
            if self.json {
                print::json(&now.ring)?;
            } else {
                line(&now)?;
            }
            now = view.newer_than(now.epoch()).await;
        }
    }
}

/// One line for one epoch.
fn line(now: &RingSnapshot) -> anyhow::Result<()> {
    let ring = &now.ring;
    let members = ring.members.iter();
    let members: Vec<_> = members
        .map(|row| format!("{} {} {}", row.member, row.state, row.slots))
        .collect();
    let moving = match ring.moving {
        0 => String::new(),
        moving => format!("  moving {moving}"),
    };
    let (epoch, members, still) = (ring.epoch, members.join(", "), still(ring));
    Ok(print::line(format_args!(
        "epoch {epoch}: {members}{moving}{still}"
    ))?)
}

fn still(ring: &wire::Ring) -> String {
    match (&ring.reason, ring.frozen) {
        (Some(reason), _) => format!("  frozen: {reason}"),
        (None, true) => "  braked: too much was lost together".to_owned(),
        (None, false) => String::new(),
    }
}

fn show(now: &RingSnapshot) -> anyhow::Result<()> {
    let ring = &now.ring;
    let (name, epoch, hash, placement) = (&ring.ring, ring.epoch, ring.hash, ring.placement);
    let (replicas, still) = (ring.replicas, still(ring));
    let degraded = if ring.degraded { "  degraded" } else { "" };
    print::line(format_args!(
        "{name}  epoch {epoch}  {hash}, {placement}, replicas {replicas}{degraded}{still}"
    ))?;
    let (moving, balance) = (ring.moving, ring.balance.max_over_mean);
    let digest = &ring.digest;
    print::line(format_args!(
        "moving {moving}  max/mean {balance:.3}  digest {digest}"
    ))?;
    let names: Vec<String> = ring.members.iter().map(|row| row.member.clone()).collect();
    for line in picture::lines(&now.table, &names) {
        print::line(format_args!("{line}"))?;
    }
    let rows = ring.members.iter().enumerate().map(|(place, row)| {
        let addresses = row.addresses.iter();
        let addresses: Vec<_> = addresses.map(|(what, at)| format!("{what}={at}")).collect();
        vec![
            picture::letter(place).to_string(),
            row.member.clone(),
            row.state.to_string(),
            row.slots.to_string(),
            format!("{:.1} %", row.share * 100.0),
            row.weight.to_string(),
            row.zone.clone(),
            row.session.clone(),
            addresses.join(" "),
        ]
    });
    let head = [
        "",
        "MEMBER",
        "STATE",
        "SLOTS",
        "SHARE",
        "WEIGHT",
        "ZONE",
        "SESSION",
        "ADDRESSES",
    ];
    Ok(print::table(&head, &rows.collect::<Vec<_>>())?)
}

impl Lookup {
    async fn run(self) -> anyhow::Result<()> {
        let (keys, n) = (self.keys, self.members);
        let client = self.endpoints.client()?;
        let lookup = wire::Lookup { keys, n };
        let found = client.look_up_all(&self.ring, &lookup).await?;
        if self.json {
            return print::json(&found);
        }
        let rows = found.assignments.into_iter();
        let rows = rows.map(|row| vec![row.key, row.slot.to_string(), row.members.join(" ")]);
        let rows: Vec<_> = rows.collect();
        Ok(print::table(&["KEY", "SLOT", "MEMBERS"], &rows)?)
    }
}

impl Plan {
    async fn run(self) -> anyhow::Result<()> {
        let change = PlanChange {
            join: self.join,
            drain: self.drain,
            leave: self.leave,
            member: self.member,
            weight: self.weight,
            zone: self.zone,
        };
        let changes = vec![change];
        let client = self.endpoints.client()?;
        let planned = client.plan_ring(&self.ring, &PlanRing { changes }).await?;
        if self.json {
            return print::json(&planned);
        }
        moved(planned.moved_slots, planned.fraction, &planned.moves)?;
        let (before, after) = (planned.balance_before, planned.balance_after);
        Ok(print::line(format_args!(
            "max/mean {:.3} before, {:.3} after; digest {}",
            before.max_over_mean, after.max_over_mean, planned.digest
        ))?)
    }
}

impl Diff {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.endpoints.client()?;
        let diff = client.diff_ring(&self.ring, self.from, self.to).await?;
        if self.json {
            return print::json(&diff);
        }
        moved(diff.moved_slots, diff.fraction, &diff.moves)
    }
}

/// What moved or would, from whom and to whom.
fn moved(slots: u32, fraction: f64, moves: &[SlotMoves]) -> anyhow::Result<()> {
    let percent = fraction * 100.0;
    print::line(format_args!("{slots} slots, {percent:.1} % of all"))?;
    let name = |member: &Option<String>| member.clone().unwrap_or_else(|| "nobody".to_owned());
    let rows = moves.iter().map(|row| {
        let slots = row.ranges.iter();
        let slots: usize = slots.map(|(a, b)| usize::from(b - a) + 1).sum();
        let ranges = row.ranges.len();
        vec![
            name(&row.from),
            name(&row.to),
            slots.to_string(),
            ranges.to_string(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    Ok(print::table(&["FROM", "TO", "SLOTS", "RANGES"], &rows)?)
}
