//! When a peer hears of a commit.
//!
//! **Problem.** openraft sends a peer every entry as it comes, and after each commit, if there is
//! no newer entry, one more message that says only how far the commits go. With few callers at a
//! time that doubles the messages of every commit, and the system calls and wake-ups on all nodes
//! with them; and most of these messages are overtaken, for the next entry says the same.
//!
//! **Answer.** After it has sent entries, a log stream asks openraft for more only when the log
//! has grown, or after [`QUIET`], or at once if the peer *serves callers*: those wait for its
//! apply, so it hears of every commit without delay. A peer serves callers if it has lately
//! passed on a command, and for one commit if it has asked up to where a read must see.
//!
//! What it does not do: it holds back no entry, no heartbeat and no vote, and it answers for
//! nobody. A request that openraft has made is always sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::raft::Types;
use crate::clock;
use crate::watch;

/// The longest that a peer without callers is behind a commit.
const QUIET: Duration = Duration::from_millis(20);

/// A peer that has passed something on serves callers for so long: more than the longest that a
/// call is parked.
const SERVES_FOR: Duration = Duration::from_secs(40);

/// Whether a peer serves callers.
#[derive(Debug, Default)]
pub(super) struct Attention {
    until: Mutex<Option<Instant>>,
    once: AtomicBool,
    bell: Notify,
}

impl Attention {
    /// The peer was told up to where a read must see, and waits for no more than that.
    pub(super) fn pay_once(&self) {
        self.once.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// The peer has passed on a command, and may be asked by its caller to wait for what follows.
    pub(super) fn pay(&self) {
        *self.until.lock() = Some(clock::instant() + SERVES_FOR);
        self.bell.notify_one();
    }

    fn is_paid(&self) -> bool {
        self.once.swap(false, Ordering::AcqRel)
            || self
                .until
                .lock()
                .is_some_and(|until| clock::instant() < until)
    }
}

/// Tells one log stream when to ask for more.
#[derive(Debug)]
pub(super) struct Pace {
    /// The index after the log's last.
    end: watch::Receiver<u64>,
    attention: Arc<Attention>,
    /// The index after the last that was sent.
    sent_end: u64,
    /// Until when there is nothing to ask for, unless something happens.
    quiet_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(end: watch::Receiver<u64>, attention: Arc<Attention>) -> Self {
        Self {
            end,
            attention,
            sent_end: 0,
            quiet_until: None,
        }
    }

    /// Takes note of what was sent.
    pub(super) fn sent(&mut self, request: &AppendEntriesRequest<Types>) {
        self.quiet_until = match request.entries.last() {
            Some(last) => {
                self.sent_end = last.index() + 1;
                Some(clock::instant() + QUIET)
            }
            None => None,
        };
    }

    /// Waits until it is time to ask for more. Cancellation-safe: it only waits.
    pub(super) async fn ready(&mut self) {
        while let Some(until) = self.quiet_until {
            let grown = *self.end.borrow_and_update() > self.sent_end;
            if grown || self.attention.is_paid() {
                break;
            }
            tokio::select! {
                biased;
                changed = self.end.changed() => if changed.is_err() { break },
                () = self.attention.bell.notified() => {}
                () = sleep_until(until.into()) => break,
            }
        }
        self.quiet_until = None;
    }
}

#[cfg(test)]
mod tests {
    use openraft::entry::RaftEntry;
    use openraft::vote::RaftLeaderId;
    use openraft::{EntryPayload, Vote};
    use tokio::time::timeout;

    use super::super::raft::{LogEntry, LogId};
    use super::*;

    fn request(indexes: impl Iterator<Item = u64>) -> AppendEntriesRequest<Types> {
        let entry = |index| {
            let leader = openraft::alias::LeaderIdOf::<Types>::new(1, 1).to_committed();
            LogEntry::new(LogId::new(leader, index), EntryPayload::Blank)
        };
        AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: indexes.map(entry).collect(),
            leader_commit: None,
        }
    }

    fn pace() -> (watch::Sender<u64>, Arc<Attention>, Pace) {
        let (grow, end) = watch::channel(0);
        let attention = Arc::new(Attention::default());
        let pace = Pace::new(end, Arc::clone(&attention));
        (grow, attention, pace)
    }

    async fn is_ready(pace: &mut Pace) -> bool {
        timeout(Duration::ZERO, pace.ready()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_quiet_after_entries_until_the_log_grows() {
        let (grow, _attention, mut pace) = pace();
        assert!(is_ready(&mut pace).await, "nothing was sent yet");
        pace.sent(&request(1..3));
        assert!(!is_ready(&mut pace).await);
        grow.send_replace(3);
        assert!(
            !is_ready(&mut pace).await,
            "the log ends with what was sent"
        );
        grow.send_replace(4);
        assert!(is_ready(&mut pace).await);
        pace.sent(&request(0..0));
        assert!(is_ready(&mut pace).await, "only entries make it quiet");
    }

    #[tokio::test]
    async fn quiet_ends_by_itself() {
        let (_grow, _attention, mut pace) = pace();
        pace.sent(&request(1..2));
        let ready = timeout(Duration::from_secs(20), pace.ready()).await;
        assert!(ready.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_with_a_reader_is_told_once() {
        let (_grow, attention, mut pace) = pace();
        pace.sent(&request(1..2));
        attention.pay_once();
        assert!(is_ready(&mut pace).await);
        pace.sent(&request(2..3));
        assert!(!is_ready(&mut pace).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_with_callers_is_never_left_in_the_dark() {
        let (_grow, attention, mut pace) = pace();
        pace.sent(&request(1..2));
        assert!(!is_ready(&mut pace).await);
        attention.pay();
        assert!(is_ready(&mut pace).await);
        pace.sent(&request(2..3));
        assert!(is_ready(&mut pace).await);
    }
}
