//! Nemeses: what is done to the cluster and to its clients while they work.
//!
//! A fault is installed, stays for a while, and is mended before the next. That it was *installed*
//! is looked at, not assumed: a stopped process is asked of the kernel, a cut link must have held
//! something up. What cannot be done here (a tool is not installed, there is nobody to do it to)
//! is skipped with the reason, and a run that asked for it says that it knows nothing.

mod clock;
mod damage;
mod disk;
mod kill;
mod leader;
mod link;
mod member;
mod partition;
mod pause;
mod snapshot;
mod stage;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::history::{Event, Kind, NEMESIS};

pub(crate) use clock::environment as clock_environment;
pub use partition::Shape;
pub use stage::{Stage, Sufferer};

/// Whether a fault took hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It did.
    Installed,
    /// It could not be installed here.
    Skipped(String),
    /// It was installed, and nothing shows that it met anybody.
    Indeterminate(String),
}

impl Status {
    /// Why it did not take hold.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Installed => None,
            Self::Skipped(why) | Self::Indeterminate(why) => Some(why),
        }
    }
}

/// One fault of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The nemesis.
    pub kind: String,
    /// What it did to whom.
    pub what: String,
    /// Whether it took hold.
    pub status: Status,
    /// Nanoseconds of the run before it was installed.
    pub from: u64,
    /// And after it was mended.
    pub until: u64,
}

impl Fault {
    /// As a line of the history.
    #[must_use]
    pub fn event(&self) -> Event {
        let value = json!({
            "kind": self.kind,
            "what": self.what,
            "status": self.status,
            "until": self.until,
        });
        Event {
            t: self.from,
            process: NEMESIS,
            kind: Kind::Info,
            f: "fault".to_owned(),
            value: Some(value),
            ..Event::default()
        }
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nemesis {
    /// SIGKILL to one node or a minority.
    Kill,
    /// SIGKILL to all nodes at once.
    RestartAll,
    /// Each node is asked to stop and started again, one after the other.
    Rolling,
    /// SIGSTOP to a node.
    Pause,
    /// SIGSTOP to the leader, again and again, too short for an election.
    Stutter,
    /// SIGSTOP to a worker, past its TTL.
    Holder,
    /// Links between nodes are cut, in one of six shapes.
    Partition,
    /// Links are slow, narrow, stalled, reset, half-open.
    Link,
    /// Whoever leads is killed, stopped or cut off, again and again.
    Leader,
    /// The leader is cut off until another leads, and then leads again at once.
    Comeback,
    /// Leadership is handed over by request.
    Transfer,
    /// A node joins and leaves.
    Member,
    /// A data directory is lost.
    Wipe,
    /// A log or a snapshot is damaged.
    Corrupt,
    /// Flushes to disk are slow, or fail.
    Disk,
    /// Hardly any file descriptors are left.
    Fd,
    /// Wall clocks jump.
    Clock,
    /// A node lags behind the cut log, and its snapshot is cut on the way.
    Snapshot,
}

impl Nemesis {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Kill,
        Self::RestartAll,
        Self::Rolling,
        Self::Pause,
        Self::Stutter,
        Self::Holder,
        Self::Partition,
        Self::Link,
        Self::Leader,
        Self::Comeback,
        Self::Transfer,
        Self::Member,
        Self::Wipe,
        Self::Corrupt,
        Self::Disk,
        Self::Fd,
        Self::Clock,
        Self::Snapshot,
    ];

    /// Its name on the command line and in histories.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::RestartAll => "restart-all",
            Self::Rolling => "rolling",
            Self::Pause => "pause",
            Self::Stutter => "stutter",
            Self::Holder => "holder",
            Self::Partition => "partition",
            Self::Link => "link",
            Self::Leader => "leader",
            Self::Comeback => "comeback",
            Self::Transfer => "transfer",
            Self::Member => "member",
            Self::Wipe => "wipe",
            Self::Corrupt => "corrupt",
            Self::Disk => "disk",
            Self::Fd => "fd",
            Self::Clock => "clock",
            Self::Snapshot => "snapshot",
        }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL to one node or a minority; started again later",
            Self::RestartAll => "SIGKILL to all nodes at once; all started again",
            Self::Rolling => "each node is asked to stop and started again, one after the other",
            Self::Pause => "SIGSTOP to a node, SIGCONT later",
            Self::Stutter => "SIGSTOP to the leader, again and again, too short for an election",
            Self::Holder => "SIGSTOP to a worker past its TTL, which then wakes up and goes on",
            Self::Partition => {
                "links between nodes cut: halves, leader in the minority, one-way, bridge, \
                 majorities-ring, flapping"
            }
            Self::Link => {
                "links to nodes and clients slow, jittery, narrow, stalled, lossy, reset, \
                 half-open, closed late"
            }
            Self::Leader => "whoever leads is killed, stopped or cut off, again and again",
            Self::Comeback => "the leader is cut off until another leads, then leads again at once",
            Self::Transfer => "leadership is handed over by request",
            Self::Member => "a node joins as a learner, gets its vote, leaves again",
            Self::Wipe => "a data directory is lost: refused under its old identity, replaced",
            Self::Corrupt => {
                "a bit of log or snapshot flips, or an end is cut off: refused, replaced"
            }
            Self::Disk => "fdatasync takes 0.4 s, or fails (strace); a disk is full",
            Self::Fd => "hardly any file descriptors are left to a node",
            Self::Clock => "wall clocks jump and strobe (libfaketime); nothing may change",
            Self::Snapshot => "a node falls behind the cut log; its snapshot is cut on the way",
        }
    }

    /// Does it, keeps it up for so long, and mends it.
    ///
    /// # Errors
    /// When the cluster cannot be brought back to health: then there is nothing to go on with.
    pub async fn strike(self, stage: &mut Stage, hold: Duration) -> anyhow::Result<Fault> {
        let from = stage.now();
        let struck = match self {
            Self::Kill => kill::some(stage, hold).await,
            Self::RestartAll => kill::all(stage, hold).await,
            Self::Rolling => kill::rolling(stage).await,
            Self::Pause => pause::node(stage, hold).await,
            Self::Stutter => pause::stutter(stage, hold).await,
            Self::Holder => pause::holder(stage).await,
            Self::Partition => partition::cut(stage, hold).await,
            Self::Link => link::trouble(stage, hold).await,
            Self::Leader => leader::hunt(stage, hold).await,
            Self::Comeback => leader::comeback(stage, hold).await,
            Self::Transfer => leader::transfer(stage).await,
            Self::Member => member::come_and_go(stage, hold).await,
            Self::Wipe => damage::wipe(stage, hold).await,
            Self::Corrupt => damage::corrupt(stage, hold).await,
            Self::Disk => disk::slow_or_broken(stage, hold).await,
            Self::Fd => disk::few_descriptors(stage, hold).await,
            Self::Clock => clock::jump(stage, hold).await,
            Self::Snapshot => snapshot::fall_behind(stage, hold).await,
        };
        let (what, status) = match struck {
            Ok(struck) => struck,
            Err(error) => (String::new(), Status::Indeterminate(format!("{error:#}"))),
        };
        let mended = stage.mend().await;
        mended.with_context(|| {
            format!("after {self}: {what} {}", status.why().unwrap_or_default())
        })?;
        Ok(Fault {
            kind: self.name().to_owned(),
            what,
            status,
            from,
            until: stage.now(),
        })
    }
}

/// What was done, and whether it took hold.
type Struck = anyhow::Result<(String, Status)>;

impl fmt::Display for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Nemesis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|nemesis| nemesis.name() == text);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no nemesis, wants one of {names}")
        })
    }
}
