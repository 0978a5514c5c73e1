//! One lease as its holder knows it: its fence, its own end besides the session's, and its cause.
//!
//! A lease ends with its session, and most do only then. But one may end alone: its longest hold
//! is over, an operator breaks it, it is given to another session, or the session asks for the
//! lock in another mode and so has a new lease. The first is counted here, like a session's life;
//! the others are news from the cluster, which come when they come. So what is sure of `lost` is
//! sure of expiry and of the longest hold; a lease that is *broken* is another's at once, and its
//! fence is what protects the resource until the news is here.

use std::time::{Duration, Instant};

use lockring_core::Fence;
use tokio::sync::watch;

use crate::countdown::{BootTime, Countdown};
use crate::error::LostCause;
use crate::wire::Mode;

/// What all guards of one lease have in common.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) fence: Fence,
    pub(crate) mode: Mode,
    /// Counts the longest hold, if there is one; it is ended with the lease.
    countdown: Countdown,
    /// Why it ended by itself, if it did.
    cause: watch::Sender<Option<LostCause>>,
    /// That it was asked back, if it was.
    revocation: watch::Sender<Option<Revocation>>,
}

/// That somebody wants a lock back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// In the words of whoever asks.
    pub reason: String,
    /// When the lease is taken, if it is still held by then.
    pub deadline: Instant,
}

impl Lease {
    /// A lease that ends with its session, or at `hold_end`.
    pub(crate) fn new(fence: Fence, mode: Mode, hold_end: Option<BootTime>) -> Self {
        Self {
            fence,
            mode,
            countdown: Countdown::until(hold_end.unwrap_or(BootTime::NEVER)),
            cause: watch::Sender::new(None),
            revocation: watch::Sender::new(None),
        }
    }

    /// It is over; the first cause stays.
    pub(crate) fn end(&self, cause: LostCause) {
        self.cause.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                // Under the lock of the cause: nobody sees the one without the other.
                self.countdown.finish();
                *known = Some(cause);
            }
            first
        });
    }

    /// For how long it lasts by itself; its session may end before.
    pub(crate) fn remaining(&self, now: BootTime) -> Duration {
        self.countdown.remaining(now)
    }

    /// Why it is over, if it is.
    pub(crate) fn cause(&self) -> Option<LostCause> {
        let known = self.cause.borrow();
        known.clone().or_else(|| {
            let over = self.remaining(BootTime::now()).is_zero();
            over.then_some(LostCause::MaxHold)
        })
    }

    /// Waits until it is over by itself, and says why.
    pub(crate) async fn ended(&self) -> LostCause {
        let mut causes = self.cause.subscribe();
        loop {
            if let Some(cause) = self.cause() {
                self.end(cause);
            }
            if let Some(cause) = causes.borrow_and_update().clone() {
                return cause;
            }
            tokio::select! {
                biased;
                changed = causes.changed() => changed.expect("the sender is in self"),
                () = self.countdown.run_out() => {}
            }
        }
    }

    /// Somebody wants it back.
    pub(crate) fn ask_back(&self, revocation: Revocation) {
        self.revocation.send_replace(Some(revocation));
    }

    /// Waits until somebody wants it back.
    pub(crate) async fn asked_back(&self) -> Revocation {
        let mut revocations = self.revocation.subscribe();
        let asked = revocations.wait_for(Option::is_some).await;
        let asked = asked.expect("the sender is in self");
        asked.clone().expect("it waited for that")
    }
}
