//! Parked calls: callers that wait for a lock, between their place in the log and their answer.
//!
//! A place in a queue is replicated; the call that waits for it is not. The call takes a seat here
//! *before* its command is proposed, because the grant may be applied before the proposer runs
//! again, and what is told to an empty room is lost. News that is older than the place itself
//! (the same session may have held the same lock a moment ago) is told apart by its revision.
//!
//! A seat that may have missed news says so once, and its caller looks at the machine. So news is
//! only ever a shortcut: nothing depends on its arrival but time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockring_core::{Grant, GrantedAll, LockName, Refusal, SessionId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// News kept for a caller whose proposal has not returned yet; beyond it, the caller looks.
const TOLD_MAX: usize = 8;

type Seats = BTreeMap<(SessionId, Topic), Vec<Arc<Slot>>>;

/// What a session waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// One lock.
    Lock(LockName),
    /// Many locks at once. It may wait for several such sets: each has its ticket.
    Many,
}

/// All parked calls of this node.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    seats: Mutex<Seats>,
    parked: AtomicUsize,
}

/// What a parked call may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The lease is its session's.
    Granted { revision: u64, grant: Grant },
    /// All leases are its session's.
    GrantedAll {
        revision: u64,
        ticket: u64,
        all: GrantedAll,
    },
    /// The place is gone; `None` if the session gave it up itself.
    Ended {
        revision: u64,
        ticket: u64,
        refusal: Option<Refusal>,
    },
    /// Something may have been missed.
    Lost,
}

/// One parked call's seat; dropping it leaves.
#[derive(Debug)]
pub(super) struct Seat<'a> {
    waiting: &'a Waiting,
    key: (SessionId, Topic),
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    inbox: Mutex<Inbox>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    told: Vec<Told>,
    lost: bool,
}

impl Waiting {
    /// Takes a seat for news of what this session waits for.
    pub(super) fn sit(&self, session: SessionId, topic: Topic) -> Seat<'_> {
        let seat = Seat {
            waiting: self,
            key: (session, topic),
            slot: Arc::default(),
        };
        self.parked.fetch_add(1, Ordering::SeqCst);
        seat.enter();
        seat
    }

    /// How many calls are parked.
    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::SeqCst)
    }

    /// Tells all that sit there; `news` is made only if somebody does.
    pub(super) fn tell(&self, session: SessionId, topic: Topic, news: impl Fn() -> Told) {
        let seats = self.seats.lock();
        for slot in seats.get(&(session, topic)).into_iter().flatten() {
            slot.tell(news());
        }
    }

    /// Tells everybody that something may have been missed.
    pub(super) fn lose_all(&self) {
        let seats = self.seats.lock();
        for slot in seats.values().flatten() {
            slot.tell(Told::Lost);
        }
    }
}

impl Slot {
    fn tell(&self, news: Told) {
        let mut inbox = self.inbox.lock();
        if news == Told::Lost || inbox.told.len() == TOLD_MAX {
            inbox.lost = true;
        } else {
            inbox.told.push(news);
        }
        drop(inbox);
        self.bell.notify_one();
    }

    /// The first news that is newer than `since`.
    fn take(&self, since: u64) -> Option<Told> {
        let mut inbox = self.inbox.lock();
        inbox.told.retain(|told| match told {
            Told::Granted { revision, .. }
            | Told::GrantedAll { revision, .. }
            | Told::Ended { revision, .. } => *revision > since,
            Told::Lost => true,
        });
        if !inbox.told.is_empty() {
            return Some(inbox.told.remove(0));
        }
        std::mem::take(&mut inbox.lost).then_some(Told::Lost)
    }
}

impl Seat<'_> {
    /// Waits for news that is newer than `since`. Cancel-safe: news stays until it is taken.
    pub(super) async fn news(&self, since: u64) -> Told {
        loop {
            if let Some(told) = self.slot.take(since) {
                return told;
            }
            self.slot.bell.notified().await;
        }
    }

    /// Moves to another session's seat, when a replay told which session really waits. What was
    /// told there before is lost, so the caller has to look.
    pub(super) fn move_to(&mut self, session: SessionId) {
        if self.key.0 != session {
            self.leave();
            self.key.0 = session;
            self.enter();
            self.slot.tell(Told::Lost);
        }
    }

    fn enter(&self) {
        let mut seats = self.waiting.seats.lock();
        let here = seats.entry(self.key.clone()).or_default();
        here.push(Arc::clone(&self.slot));
    }

    fn leave(&self) {
        let mut seats = self.waiting.seats.lock();
        if let Some(here) = seats.get_mut(&self.key) {
            here.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
            if here.is_empty() {
                seats.remove(&self.key);
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave();
        self.waiting.parked.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use lockring_core::{ClusterTime, Fence, Mode};

    use super::*;

    fn session(number: u128) -> SessionId {
        SessionId::from_bits(number)
    }

    fn topic() -> Topic {
        Topic::Lock(LockName::parse("l").unwrap())
    }

    fn granted(revision: u64) -> Told {
        Told::Granted {
            revision,
            grant: Grant {
                session: session(1),
                mode: Mode::Exclusive,
                hold_until: None,
                fence: Fence::claimed(revision),
                expires_at: ClusterTime(0),
            },
        }
    }

    #[tokio::test]
    async fn news_of_an_earlier_place_is_not_taken_for_this_one() {
        let (waiting, lock) = (Waiting::default(), topic());
        let seat = waiting.sit(session(1), lock.clone());
        for revision in [4, 7, 9] {
            waiting.tell(session(1), lock.clone(), || granted(revision));
        }
        waiting.tell(session(2), lock.clone(), || granted(8));
        assert_eq!(seat.news(5).await, granted(7));
        assert_eq!(seat.news(5).await, granted(9));
    }

    #[tokio::test]
    async fn what_overflows_is_looked_for() {
        let (waiting, lock) = (Waiting::default(), topic());
        let seat = waiting.sit(session(1), lock.clone());
        for revision in 0..=TOLD_MAX as u64 {
            waiting.tell(session(1), lock.clone(), || granted(revision));
        }
        assert_eq!(seat.news(TOLD_MAX as u64).await, Told::Lost);
    }

    #[tokio::test]
    async fn a_seat_that_moves_has_to_look_and_hears_at_its_new_place() {
        let (waiting, lock) = (Waiting::default(), topic());
        let mut seat = waiting.sit(session(1), lock.clone());
        seat.move_to(session(1));
        seat.move_to(session(2));
        assert_eq!(seat.news(0).await, Told::Lost);
        waiting.tell(session(1), lock.clone(), || granted(3));
        waiting.tell(session(2), lock.clone(), || granted(4));
        assert_eq!(seat.news(0).await, granted(4));
    }

    #[tokio::test]
    async fn everybody_is_told_of_a_loss_and_nobody_who_left_is_kept() {
        let (waiting, lock) = (Waiting::default(), topic());
        let first = waiting.sit(session(1), lock.clone());
        let second = waiting.sit(session(1), lock.clone());
        waiting.lose_all();
        assert_eq!(first.news(0).await, Told::Lost);
        assert_eq!(second.news(0).await, Told::Lost);
        drop(first);
        assert_eq!((waiting.parked(), waiting.seats.lock().len()), (1, 1));
        drop(second);
        assert_eq!((waiting.parked(), waiting.seats.lock().len()), (0, 0));
    }
}
