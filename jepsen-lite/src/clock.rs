//! The time that all processes of a run share.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the machine's monotonic clock; equal in all processes.
#[must_use]
pub(crate) fn now() -> u64 {
    let at = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(at.tv_nsec).unwrap_or(0)
}

/// One millisecond in the unit of histories.
pub(crate) const MS: u64 = 1_000_000;
