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
//! lock *unsure*: somebody has to look, and release what nobody stands for. Until a lease has been
//! found others may ask; then it is theirs to stand for, and the look has become void.
//!
//! Nothing here does I/O or waits; the session does.

use std::collections::{BTreeMap, VecDeque};

use lockring_core::Fence;

/// What is left to be done for a lock that nobody of the session wants any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Release the lease.
    Release(Fence),
    /// Look whether there is one, and release it. Numbered, to tell a look from the next.
    Look(u64),
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
    /// Leases to be released that nobody has taken up.
    releases: VecDeque<(String, Fence)>,
    /// Looks to be taken that nobody has taken up.
    looks: VecDeque<(String, u64)>,
    looks_begun: u64,
}

impl Ledger {
    /// Somebody wants to ask for the lock. `false`: not before its release is settled.
    pub(crate) fn ask(&mut self, lock: &str) -> bool {
        let row = self.row(lock);
        match row.ending {
            Some(Ending::Release(_)) => false,
            Some(Ending::Look(_)) | None => {
                row.ending = None;
                row.asking += 1;
                true
            }
        }
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

    /// Whoever was releasing the lease could not bring it to its end.
    pub(crate) fn give_back(&mut self, lock: &str, fence: Fence) {
        self.releases.push_back((lock.to_owned(), fence));
    }

    /// The next lease to release; it is to be settled.
    pub(crate) fn take_release(&mut self) -> Option<(String, Fence)> {
        self.releases.pop_front()
    }

    /// The next look to take; it is to be settled, or turned into a release.
    pub(crate) fn take_look(&mut self) -> Option<(String, u64)> {
        self.looks.pop_front()
    }

    /// A look found a lease. If nobody has asked since, it is to be released.
    pub(crate) fn found(&mut self, lock: &str, look: u64, fence: Fence) {
        if self.stands(lock, look) {
            self.row(lock).ending = Some(Ending::Release(fence));
            self.releases.push_back((lock.to_owned(), fence));
        }
    }

    /// Whether nobody has asked for the lock since this look was called for.
    pub(crate) fn stands(&self, lock: &str, look: u64) -> bool {
        self.rows
            .get(lock)
            .is_some_and(|row| row.ending == Some(Ending::Look(look)))
    }

    /// The ending is done; a later one is left as it is.
    pub(crate) fn settle(&mut self, lock: &str, ending: Ending) {
        if self
            .rows
            .get(lock)
            .is_some_and(|row| row.ending == Some(ending))
        {
            self.rows.remove(lock);
        }
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
        self.looks_begun += 1;
        let look = self.looks_begun;
        let row = self.row(lock);
        if row.guards > 0 || row.asking > 0 {
            return;
        }
        if let Some(fence) = row.fence {
            row.ending = Some(Ending::Release(fence));
            self.releases.push_back((lock.to_owned(), fence));
        } else if row.unsure {
            row.ending = Some(Ending::Look(look));
            self.looks.push_back((lock.to_owned(), look));
        } else {
            self.rows.remove(lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F3: Fence = Fence::claimed(3);
    const F4: Fence = Fence::claimed(4);

    fn release(fence: Fence) -> Option<(String, Fence)> {
        Some(("db".to_owned(), fence))
    }

    #[test]
    fn the_last_guard_releases_and_until_then_nobody_asks() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db") && ledger.ask("db"));
        ledger.granted("db", F3);
        ledger.granted("db", F3);
        ledger.dropped("db", F3);
        assert_eq!(ledger.take_release(), None);
        ledger.dropped("db", F3);
        assert!(!ledger.ask("db"));
        assert_eq!(ledger.take_release(), release(F3));
        assert!(!ledger.ask("db"));
        ledger.settle("db", Ending::Release(F3));
        assert!(ledger.ask("db"));
    }

    #[test]
    fn a_guard_dropped_while_another_asks_leaves_the_lease_to_the_asker() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.granted("db", F3);
        assert!(ledger.ask("db"));
        ledger.dropped("db", F3);
        assert_eq!(ledger.take_release(), None);
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
        assert_eq!(ledger.take_release(), release(F3));
    }

    #[test]
    fn an_asker_that_hears_nothing_leaves_somebody_to_look() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.unanswered("db");
        let (_, look) = ledger.take_look().unwrap();
        ledger.found("db", look, F3);
        assert!(
            !ledger.ask("db"),
            "the lease that was found is being released"
        );
        assert_eq!(ledger.take_release(), release(F3));
        ledger.settle("db", Ending::Release(F3));
        assert!(ledger.rows.is_empty());
    }

    #[test]
    fn a_look_that_was_overtaken_by_an_asker_ends_nothing() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.unanswered("db");
        let (_, look) = ledger.take_look().unwrap();
        assert!(ledger.ask("db"));
        ledger.found("db", look, F3);
        assert_eq!(ledger.take_release(), None);
        ledger.unanswered("db");
        let (_, next) = ledger.take_look().unwrap();
        ledger.settle("db", Ending::Look(look));
        assert!(!ledger.stands("db", look) && ledger.stands("db", next));
        ledger.settle("db", Ending::Look(next));
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
        assert_eq!(ledger.take_release(), None);
        assert!(ledger.release("db", F4));
    }

    #[test]
    fn a_refused_lock_is_forgotten() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        ledger.refused("db");
        assert!(ledger.rows.is_empty() && ledger.looks.is_empty());
    }
}
