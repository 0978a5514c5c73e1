//! Cluster time: arithmetic on milliseconds that run only while a leader leads. No clock here.
//!
//! The leader stamps each entry; [`crate::Machine`] takes time from nowhere else. Because every
//! leader starts again from the machine's own clock, cluster time never runs faster than real
//! time, and so no lease ends before its TTL has really passed since its command was stamped.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;

/// A point in cluster time, in milliseconds since the cluster's first entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ClusterTime(pub u64);

impl ClusterTime {
    /// This much later; saturates at the end of time, 584 million years on.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is not earlier.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A deadline is a stamp plus a length; what is due at it goes when the clock reaches it.
pub type Deadline = ClusterTime;

/// The time that a leader wrote on an entry, and the term in which it wrote it.
///
/// A stamp counts only in its own term: an entry whose term is another's was stamped by a leader
/// that has been deposed since, from an anchor that is no longer the cluster's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The term of the leader that stamped.
    pub term: u64,
    /// Cluster time at the stamping.
    pub at: ClusterTime,
    /// The leader's wall clock in milliseconds since 1970: for people to read, never compared.
    pub wall_ms: u64,
}

/// How long a session lives without a renewal: 500 ms to one hour, never rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Ttl(u64);

/// A TTL outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlError {
    /// What was asked for, in milliseconds.
    pub ttl_ms: u64,
}

impl fmt::Display for TtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (limits::TTL_MS_MIN, limits::TTL_MS_MAX);
        write!(f, "is {} ms, from {min} to {max}", self.ttl_ms)
    }
}

impl core::error::Error for TtlError {}

impl TryFrom<u64> for Ttl {
    type Error = TtlError;
    fn try_from(ttl_ms: u64) -> Result<Self, TtlError> {
        Self::parse(ttl_ms)
    }
}

impl Ttl {
    /// A TTL of this many milliseconds.
    ///
    /// # Errors
    /// [`TtlError`] outside 500…3 600 000 ms. (A cluster's configuration may narrow this further;
    /// that is checked at the doors.)
    pub const fn parse(ttl_ms: u64) -> Result<Self, TtlError> {
        if ttl_ms < limits::TTL_MS_MIN || ttl_ms > limits::TTL_MS_MAX {
            return Err(TtlError { ttl_ms });
        }
        Ok(Self(ttl_ms))
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// The length as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}
