//! Workloads: what is asked of the cluster, and what must then hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::resource::Checking;

/// A kind of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Locks are taken, kept, given back and misused.
    Lock,
    /// A set outside is changed under a lock, and the set checks fences.
    FencedSet,
    /// The same, and the set does not check.
    UnfencedSet,
    /// Registers outside are read, written and compared-and-set under locks, with fences.
    Register,
    /// Leases whose holders fall silent.
    Lease,
    /// Queues, in which some die.
    Queue,
    /// Every call twice, under one key.
    Retry,
    /// Locks that are shared, counted, taken together, upgraded.
    Modes,
    /// Locks that are changed, and streams of what happens to them.
    Watch,
    /// A ring whose members come and go.
    Ring,
    /// The cache tier: cache nodes, and who writes, reads and loads through them.
    Cache,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Lock,
        Self::FencedSet,
        Self::UnfencedSet,
        Self::Register,
        Self::Lease,
        Self::Queue,
        Self::Retry,
        Self::Modes,
        Self::Watch,
        Self::Ring,
        Self::Cache,
    ];

    /// Its name on the command line and in histories.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::FencedSet => "fenced-set",
            Self::UnfencedSet => "unfenced-set",
            Self::Register => "register",
            Self::Lease => "lease",
            Self::Queue => "queue",
            Self::Retry => "retry",
            Self::Modes => "modes",
            Self::Watch => "watch",
            Self::Ring => "ring",
            Self::Cache => "cache",
        }
    }

    /// The outside resource that it needs, if any.
    #[must_use]
    pub const fn resource(self) -> Option<Checking> {
        match self {
            Self::FencedSet | Self::Register => Some(Checking::Fences),
            Self::UnfencedSet => Some(Checking::Nothing),
            Self::Lock
            | Self::Lease
            | Self::Queue
            | Self::Retry
            | Self::Modes
            | Self::Watch
            | Self::Ring
            | Self::Cache => None,
        }
    }

    /// How many keys its hands share, out of as many hands.
    #[must_use]
    pub const fn keys(self, hands: u64) -> u64 {
        let keys = match self {
            Self::Lock | Self::Lease => hands / 2,
            Self::FencedSet | Self::UnfencedSet | Self::Register => hands / 3,
            Self::Queue => hands / 4,
            Self::Watch => hands / 2,
            Self::Retry => hands,
            // Their keys have names of their own.
            Self::Modes | Self::Ring | Self::Cache => 1,
        };
        if keys == 0 { 1 } else { keys }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL
            .into_iter()
            .find(|workload| workload.name() == text);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no workload, wants one of {names}")
        })
    }
}
