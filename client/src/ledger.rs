//! What a session's guards stand for, so that a release never meets an acquire of the same lock.
//!
//! A lease belongs to the session, not to the guard: acquiring again what the session already
//! holds returns the same lease under the same fence. That makes repetitions safe, and it makes
//! careless releases dangerous: drop a guard, acquire the lock again at once, and if the release
//! in the background arrives second it ends the lease that the new guard stands for, under a
//! fence that matches. So for each lock the ledger counts who stands for it and who is asking:
//!
//! - a lease is released when the last guard goes **and** nobody of this session is asking for it;
//! - while it is being released, nobody may ask.
//!
//! A caller that stops asking without having heard an answer may have got the lease. It leaves the
//! lock *unsure*: somebody has to look, and release what nobody stands for.
//!
//! Nothing here does I/O or waits; the session does.

use std::collections::{BTreeMap, VecDeque};

use lockring_core::Fence;

/// What is left to be done for a lock that nobody of the session wants any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Release the lease.
    Release(Fence),
    /// Look whether there is one, and release it.
    Unsure,
}

/// One lock that the session has to do with.
#[derive(Debug, Default)]
struct Row {
    fence: Option<Fence>,
    guards: usize,
    asking: usize,
    unsure: bool,
    ending: Option<Ending>,
}

/// Every lock that the session has to do with: bounded by its leases and its calls under way.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: BTreeMap<String, Row>,
    /// Locks whose ending nobody has taken up.
    left: VecDeque<String>,
}

impl Ledger {
    /// Somebody wants to ask for the lock. `false`: not before its ending is settled.
    pub(crate) fn ask(&mut self, lock: &str) -> bool {
        let row = self.row(lock);
        if row.ending.is_some() {
            return false;
        }
        row.asking += 1;
        true
    }

    /// It was granted, and a guard stands for it.
    pub(crate) fn granted(&mut self, lock: &str, fence: Fence) {
        let row = self.row(lock);
        row.asking -= 1;
        // Another fence is another lease: guards of the one before stand for nothing.
        if row.fence != Some(fence) {
            row.guards = 0;
        }
        row.fence = Some(fence);
        row.guards += 1;
        row.unsure = false;
    }

    /// It was refused.
    pub(crate) fn refused(&mut self, lock: &str) {
        self.row(lock).asking -= 1;
        self.end_unwanted(lock);
    }

    /// Whoever asked will not hear the answer.
    pub(crate) fn unanswered(&mut self, lock: &str) {
        let row = self.row(lock);
        row.asking -= 1;
        row.unsure = true;
        self.end_unwanted(lock);
    }

    /// A guard is gone.
    pub(crate) fn dropped(&mut self, lock: &str, fence: Fence) {
        if self.let_go(lock, fence) {
            self.end_unwanted(lock);
        }
    }

    /// A guard is to be released by its holder, who does it itself if this is `true`. Else others
    /// still want the lease, or it is another's already, and nothing needs to be done.
    pub(crate) fn release(&mut self, lock: &str, fence: Fence) -> bool {
        if !self.let_go(lock, fence) {
            return false;
        }
        let row = self.row(lock);
        if row.guards > 0 || row.asking > 0 {
            return false;
        }
        row.ending = Some(Ending::Release(fence));
        true
    }

    /// The next ending to take up.
    pub(crate) fn take(&mut self) -> Option<(String, Ending)> {
        let lock = self.left.pop_front()?;
        let ending = self.row(&lock).ending.expect("what is left has an ending");
        Some((lock, ending))
    }

    /// Whoever had taken the ending up could not bring it to its end.
    pub(crate) fn give_back(&mut self, lock: &str) {
        self.left.push_back(lock.to_owned());
    }

    /// The ending is done: the lock may be asked for again.
    pub(crate) fn settle(&mut self, lock: &str) {
        self.rows.remove(lock);
    }

    fn row(&mut self, lock: &str) -> &mut Row {
        if !self.rows.contains_key(lock) {
            self.rows.insert(lock.to_owned(), Row::default());
        }
        self.rows.get_mut(lock).expect("it was just put in")
    }

    /// `false` for a guard whose lease is not the current one.
    fn let_go(&mut self, lock: &str, fence: Fence) -> bool {
        match self.rows.get_mut(lock) {
            Some(row) if row.fence == Some(fence) && row.guards > 0 => {
                row.guards -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    fn end_unwanted(&mut self, lock: &str) {
        let row = self.row(lock);
        if row.guards > 0 || row.asking > 0 {
            return;
        }
        let ending = match row.fence {
            Some(fence) => Ending::Release(fence),
            None if row.unsure => Ending::Unsure,
            None => {
                self.rows.remove(lock);
                return;
            }
        };
        row.ending = Some(ending);
        self.left.push_back(lock.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F3: Fence = Fence::claimed(3);
    const F4: Fence = Fence::claimed(4);

    fn release(fence: Fence) -> Option<(String, Ending)> {
        Some(("db".to_owned(), Ending::Release(fence)))
    }

    #[test]
    fn the_last_guard_releases_and_until_then_nobody_asks() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db") && ledger.ask("db"));
        ledger.granted("db", F3);
        ledger.granted("db", F3);
        ledger.dropped("db", F3);
        assert_eq!(ledger.take(), None);
        ledger.dropped("db", F3);
        assert!(!ledger.ask("db"));
        assert_eq!(ledger.take(), release(F3));
        assert!(!ledger.ask("db"));
        ledger.settle("db");
        assert!(ledger.ask("db"));
    }

    #[test]
    fn a_guard_dropped_while_another_asks_leaves_the_lease_to_the_asker() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.granted("db", F3);
        assert!(ledger.ask("db"));
        ledger.dropped("db", F3);
        assert_eq!(ledger.take(), None);
        ledger.granted("db", F3);
        assert!(ledger.release("db", F3));
    }

    #[test]
    fn an_asker_that_is_refused_leaves_what_a_dropped_guard_left_it() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.granted("db", F3);
        assert!(ledger.ask("db"));
        assert!(!ledger.release("db", F3));
        ledger.refused("db");
        assert_eq!(ledger.take(), release(F3));
    }

    #[test]
    fn an_asker_that_hears_nothing_leaves_somebody_to_look() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.unanswered("db");
        assert_eq!(ledger.take(), Some(("db".to_owned(), Ending::Unsure)));
        assert!(!ledger.ask("db"));
        ledger.give_back("db");
        assert_eq!(ledger.take(), Some(("db".to_owned(), Ending::Unsure)));
        ledger.settle("db");
        assert!(ledger.rows.is_empty());
    }

    #[test]
    fn a_guard_of_an_earlier_lease_releases_nothing() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db") && ledger.ask("db"));
        ledger.granted("db", F3);
        ledger.granted("db", F4);
        ledger.dropped("db", F3);
        assert!(!ledger.release("db", F3));
        assert_eq!(ledger.take(), None);
        assert!(ledger.release("db", F4));
    }

    #[test]
    fn a_refused_lock_is_forgotten() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.refused("db");
        assert!(ledger.rows.is_empty() && ledger.left.is_empty());
    }
}
