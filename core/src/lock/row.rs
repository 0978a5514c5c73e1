//! A lock in use: held, queued for, or closed for a while after an abnormal loss.
//!
//! Nearly every lock in use is one lease and nothing else, so that is all that its row has. The
//! others have the whole: leases, queue, upgrader, delay, revocation. A row is whole exactly when
//! it has to be, so that the same state always is the same bytes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::slice;

use serde::{Deserialize, Serialize};

use super::{Lease, Queue, Waiter, as_count};
use crate::fence::Fence;
use crate::mode::Mode;
use crate::name::{Reason, SessionId};
use crate::time::Deadline;

/// A lock in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lock {
    /// One lease and nothing else.
    One(Lease),
    /// Anything else; shared with snapshots until it changes.
    Whole(Arc<Whole>),
}

/// All that a lock in use may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whole {
    /// Who holds it, in the order of the grants, which is that of the fences.
    pub(crate) leases: Vec<Lease>,
    /// The holder of a shared lease that waits to be the only one; it comes before the queue.
    pub(crate) upgrade: Option<Waiter>,
    /// Who waits.
    pub(crate) queue: Queue,
    /// Until when nobody is granted it.
    pub(crate) delayed_until: Option<Deadline>,
    /// Why and until when some of the leases were asked for.
    pub(crate) revocation: Option<Revocation>,
}

/// An operator's request to give a lock up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    /// When those leases end that are left of those that were asked for.
    pub(crate) deadline: Deadline,
    /// Why.
    pub(crate) reason: Reason,
}

impl Lock {
    /// Who holds it, in the order of the grants.
    pub(crate) fn leases(&self) -> &[Lease] {
        match self {
            Self::One(lease) => slice::from_ref(lease),
            Self::Whole(whole) => &whole.leases,
        }
    }

    /// The lease with this fence.
    pub(crate) fn lease(&self, fence: Fence) -> Option<&Lease> {
        let leases = self.leases();
        let at = leases.binary_search_by_key(&fence, |l| l.fence).ok()?;
        Some(&leases[at])
    }

    /// The fence of its newest lease.
    pub(crate) fn highest_fence(&self) -> Option<Fence> {
        self.leases().last().map(|lease| lease.fence)
    }

    fn whole(&self) -> Option<&Whole> {
        match self {
            Self::One(_) => None,
            Self::Whole(whole) => Some(whole),
        }
    }

    /// The holder that waits to be the only one.
    pub(crate) fn upgrade(&self) -> Option<&Waiter> {
        self.whole().and_then(|whole| whole.upgrade.as_ref())
    }

    /// Who waits, the upgrader apart.
    pub(crate) fn queue(&self) -> Option<&Queue> {
        self.whole().map(|whole| &whole.queue)
    }

    pub(crate) fn delayed_until(&self) -> Option<Deadline> {
        self.whole().and_then(|whole| whole.delayed_until)
    }

    pub(crate) fn revocation(&self) -> Option<&Revocation> {
        self.whole().and_then(|whole| whole.revocation.as_ref())
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        let upgrades = usize::from(self.upgrade().is_some());
        upgrades + self.queue().map_or(0, Queue::len)
    }

    /// Who waits, in the order in which they come to it.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        let queue = self.queue().into_iter().flat_map(Queue::iter);
        self.upgrade().into_iter().chain(queue)
    }

    /// Whose turn it is.
    pub(crate) fn next_waiter(&self) -> Option<&Waiter> {
        let first = || self.queue().and_then(Queue::first);
        self.upgrade().or_else(first)
    }

    /// The waiter with this ticket, and how many are before it.
    pub(crate) fn waiter(&self, ticket: u64) -> Option<(u32, &Waiter)> {
        match self.upgrade() {
            Some(waiter) if waiter.ticket == ticket => Some((0, waiter)),
            upgrade => {
                let (position, waiter) = self.queue()?.get(ticket)?;
                Some((position + as_count(usize::from(upgrade.is_some())), waiter))
            }
        }
    }

    /// How many permits there are in all, if it is in use with permits.
    pub(crate) fn permits(&self) -> Option<u32> {
        let of = |mode| match mode {
            Mode::Permits { of, .. } => Some(of),
            Mode::Exclusive | Mode::Shared => None,
        };
        let held = self.leases().first().and_then(|lease| of(lease.mode));
        held.or_else(|| self.waiters().find_map(|waiter| of(waiter.ask.mode)))
    }

    /// Whether its leases leave room for another in this mode, among `most` in all.
    pub(crate) fn has_room(&self, mode: Mode, most: usize) -> bool {
        let leases = self.leases();
        let Some(first) = leases.first() else {
            return true;
        };
        let fits = match (first.mode, mode) {
            (Mode::Shared, Mode::Shared) => true,
            (Mode::Permits { .. }, Mode::Permits { count, of }) => {
                u64::from(count) + permits_of(leases) <= u64::from(of)
            }
            _ => false,
        };
        fits && leases.len() < most
    }

    /// Whether it is closed after an abnormal loss, as it is until the end of that is handled.
    pub(crate) fn is_delayed(&self) -> bool {
        self.delayed_until().is_some()
    }

    /// Whether it can be granted to this waiter, were it its turn.
    pub(crate) fn admits(&self, waiter: &Waiter, most: usize) -> bool {
        if self.is_delayed() {
            return false;
        }
        if self.upgrade() == Some(waiter) {
            return self.is_held_only_by(waiter.session);
        }
        self.has_room(waiter.ask.mode, most)
    }

    /// Whether it can be granted at once to somebody who comes now.
    pub(crate) fn is_open(&self, mode: Mode, most: usize) -> bool {
        self.next_waiter().is_none() && !self.is_delayed() && self.has_room(mode, most)
    }

    pub(crate) fn is_held_only_by(&self, session: SessionId) -> bool {
        matches!(self.leases(), [only] if only.session == session)
    }

    /// Whether it is one lease alone where it could be, and not there at all where it need not be.
    pub(crate) fn is_lean(&self) -> bool {
        self.leases().iter().all(Lease::is_lean)
            && self
                .whole()
                .is_none_or(|whole| !whole.is_empty() && !whole.is_one())
    }
}

impl Whole {
    fn has_only_leases(&self) -> bool {
        self.upgrade.is_none()
            && self.queue.len() == 0
            && self.delayed_until.is_none()
            && self.revocation.is_none()
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.has_only_leases()
    }

    /// Whether it is one lease and nothing else.
    pub(crate) fn is_one(&self) -> bool {
        self.leases.len() == 1 && self.has_only_leases()
    }
}

/// The permits that these leases have together.
fn permits_of(leases: &[Lease]) -> u64 {
    let counts = leases.iter().map(|lease| match lease.mode {
        Mode::Permits { count, .. } => u64::from(count),
        Mode::Exclusive | Mode::Shared => 0,
    });
    counts.sum()
}
