//! What all handles of one session hold together, and what they share with its keeper.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::client::Client;
use crate::countdown::{BootTime, Countdown};
use crate::error::{Error, LostCause};
use crate::keeper;
use crate::lease::Lease;
use crate::ledger::{Ending, Ledger};
use crate::session::State;
use crate::wire::{Closed, ErrorCode, GoneCause};

/// What the session's handles and its keeper share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) ttl: Duration,
    pub(crate) countdown: Countdown,
    pub(crate) state: watch::Sender<State>,
    /// The last handle is gone, or the session is to be closed.
    pub(crate) unwanted: Notify,
    ledger: Mutex<Ledger>,
    /// A lease was granted, so that there is something to be told about.
    pub(crate) leased: Notify,
    /// The newest revision up to which there is nothing to be told of; 0 while that is unknown.
    quiet_upto: AtomicU64,
    /// The ledger has a release that nobody has taken up.
    pub(crate) left: Notify,
    /// The ledger has a look that nobody has taken up.
    pub(crate) unsure: Notify,
    /// A release was settled, so that the lock may be asked for again.
    settled: watch::Sender<()>,
}

/// The one thing that all handles hold: when it goes, nobody wants the session any more.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keeper: Mutex<Option<JoinHandle<Result<Closed, Error>>>>,
}

impl Owner {
    /// Spawns the task that keeps the session alive.
    pub(crate) fn keep(shared: Arc<Shared>, sent: BootTime) -> Self {
        let running = shared.client.running();
        let kept = shared.clone();
        let span = tracing::debug_span!("session", session = shared.digits());
        let keep = async move {
            let closed = keeper::keep(kept, sent).await;
            drop(running);
            closed
        };
        let keeper = tokio::spawn(keep.instrument(span));
        Self {
            shared,
            keeper: Mutex::new(Some(keeper)),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.unwanted.notify_one();
    }
}

impl Shared {
    pub(crate) fn new(client: Client, id: String, ttl: Duration, countdown: Countdown) -> Self {
        Self {
            client,
            id,
            ttl,
            countdown,
            state: watch::Sender::new(State::Healthy),
            unwanted: Notify::new(),
            ledger: Mutex::new(Ledger::default()),
            leased: Notify::new(),
            quiet_upto: AtomicU64::new(0),
            left: Notify::new(),
            unsure: Notify::new(),
            settled: watch::Sender::new(()),
        }
    }

    /// The first digits of its id, which may be shown.
    pub(crate) fn digits(&self) -> &str {
        self.id.get(..8).unwrap_or("")
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No panic can leave the ledger half-changed: its methods do not call out.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision behind which everything is that the session has to be told.
    pub(crate) fn quiet_upto(&self) -> Option<u64> {
        let revision = self.quiet_upto.load(Ordering::Relaxed);
        (revision > 0).then_some(revision)
    }

    /// The session was seen at this revision. While nobody asks for a lock and none is held, what
    /// will have to be told can only be later: nobody has to read on from the session's beginning.
    pub(crate) fn seen_at(&self, revision: Option<u64>) {
        let ledger = self.ledger();
        if ledger.is_empty() {
            self.quiet_upto
                .fetch_max(revision.unwrap_or(0), Ordering::Relaxed);
        }
    }

    pub(crate) fn take_look(&self) -> Option<(String, u64)> {
        self.ledger().take_look()
    }

    pub(crate) fn settle(&self, lock: &str, ending: Ending) {
        self.ledger().settle(lock, ending);
        self.settled.send_replace(());
        self.unsure.notify_one();
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.countdown.remaining(BootTime::now())
    }

    /// The session is lost; the first cause stays.
    pub(crate) fn lose(&self, cause: LostCause) {
        let digits = self.digits();
        self.state.send_if_modified(|state| {
            let first = !matches!(state, State::Lost(_));
            if first {
                match cause {
                    LostCause::Closed => tracing::debug!(session = digits, "session closed"),
                    _ => tracing::warn!(session = digits, %cause, "session lost"),
                }
                // Under the lock of the state: nobody sees the one without the other.
                self.countdown.finish();
                *state = State::Lost(cause);
            }
            first
        });
    }

    /// Tells a state other than lost; nothing once it is lost.
    pub(crate) fn tell(&self, new: State) {
        self.state.send_if_modified(|state| {
            let changes = !matches!(state, State::Lost(_)) && *state != new;
            if changes {
                *state = new;
            }
            changes
        });
    }

    /// A renewal was not answered, or refused.
    pub(crate) fn at_risk(&self, error: &Error) {
        let left = self.remaining();
        tracing::info!(session = self.digits(), ?left, %error, "session not renewed");
        self.tell(State::AtRisk(std::time::Instant::now() + left));
    }

    /// Waits until it is lost. Whoever waits finds out by its own look at the clock, and does not
    /// rely on the keeper to be there first.
    pub(crate) async fn lost(&self) -> LostCause {
        let mut states = self.state.subscribe();
        loop {
            if let State::Lost(cause) = &*states.borrow_and_update() {
                return cause.clone();
            }
            tokio::select! {
                biased;
                changed = states.changed() => changed.expect("the sender is in self"),
                () = self.countdown.run_out() => self.lose(LostCause::Unreachable),
            }
        }
    }

    /// Why the session is gone, if that is what the error says.
    pub(crate) fn gone(&self, error: &Error) -> Option<LostCause> {
        let problem = error.problem()?;
        let gone = problem.code == ErrorCode::SessionGone;
        gone.then(|| LostCause::Gone {
            cause: problem.cause.unwrap_or(GoneCause::NeverExisted),
            reason: None,
        })
    }
}

/// A call under way that may bring leases; dropped without an answer, it leaves somebody to look.
pub(crate) struct Asking<'a> {
    shared: &'a Shared,
    locks: Vec<&'a str>,
    /// Whether nobody has to look: it was answered, or not even sent.
    decided: bool,
}

impl<'a> Asking<'a> {
    /// Waits until no release of any of these locks is under way.
    pub(crate) async fn begin(shared: &'a Shared, locks: Vec<&'a str>) -> Self {
        let mut settled = shared.settled.subscribe();
        let mut asking = Self {
            shared,
            locks: Vec::new(),
            decided: true,
        };
        for lock in locks {
            loop {
                settled.mark_unchanged();
                if shared.ledger().ask(lock) {
                    asking.locks.push(lock);
                    break;
                }
                settled.changed().await.expect("the sender is in shared");
            }
        }
        asking.decided = false;
        asking
    }

    /// A lease came of it.
    pub(crate) fn granted(&mut self, lock: &str, lease: Lease) -> Arc<Lease> {
        self.locks.retain(|asked| *asked != lock);
        let lease = self.shared.ledger().granted(lock, lease);
        self.shared.leased.notify_one();
        lease
    }

    /// Nothing came of it.
    pub(crate) fn refused(mut self) {
        self.decided = true;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        for lock in &self.locks {
            let mut ledger = self.shared.ledger();
            if self.decided {
                ledger.refused(lock);
            } else {
                ledger.unanswered(lock);
            }
        }
        self.shared.unsure.notify_one();
        self.shared.left.notify_one();
    }
}
