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
//! A caller that stops asking without having heard an answer may have got the lease, or have turned
//! the one that there was into another (that is what asking in another mode does). It leaves the
//! lock *unsure*: somebody has to look, and release what nobody stands for. Until a lease has been
//! found others may ask; then it is theirs to stand for, and the look has become void.
//!
//! Nothing here does I/O or waits; the session does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lockring_core::Fence;

use crate::error::LostCause;
use crate::lease::Lease;

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
    lease: Option<Arc<Lease>>,
    guards: usize,
    asking: usize,
    unsure: bool,
    ending: Option<Ending>,
}

impl Row {
    fn is(&self, fence: Fence) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.fence == fence)
    }

    /// The lease that it has is over, and its guards stand for nothing.
    fn end_lease(&mut self, cause: LostCause) {
        if let Some(lease) = self.lease.take() {
            lease.end(cause);
        }
        self.guards = 0;
    }
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
    /// Whether the session has to do with no lock at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

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

    /// It was granted, and a guard stands for it. The lease is the one that the session's other
    /// guards have, if it has the same fence.
    pub(crate) fn granted(&mut self, lock: &str, lease: Lease) -> Arc<Lease> {
        let row = self.row(lock);
        row.asking -= 1;
        if !row.is(lease.fence) {
            row.end_lease(LostCause::Replaced);
        }
        row.guards += 1;
        row.lease.get_or_insert_with(|| Arc::new(lease)).clone()
    }

    /// The cluster says that a lease is over.
    pub(crate) fn ended(&mut self, lock: &str, fence: Fence, cause: LostCause) {
        let Some(row) = self.rows.get_mut(lock).filter(|row| row.is(fence)) else {
            return;
        };
        row.end_lease(cause);
        if row.asking == 0 && row.ending.is_none() {
            self.rows.remove(lock);
        }
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

    /// The lease of a lock that guards stand for.
    pub(crate) fn lease(&self, lock: &str) -> Option<Arc<Lease>> {
        let row = self.rows.get(lock).filter(|row| row.guards > 0)?;
        row.lease.clone()
    }

    /// All leases that guards stand for.
    pub(crate) fn leases(&self) -> Vec<(String, Fence)> {
        let held = self.rows.iter().filter(|(_, row)| row.guards > 0);
        let lease = |(lock, row): (&String, &Row)| Some((lock.clone(), row.lease.as_ref()?.fence));
        held.filter_map(lease).collect()
    }

    /// A look found a lease. `true`: nobody stands for it, and it is going to be released, if
    /// nobody has asked since. `false`: it is the one that is known.
    pub(crate) fn found(&mut self, lock: &str, look: u64, fence: Fence) -> bool {
        if !self.stands(lock, look) {
            return true;
        }
        let row = self.row(lock);
        if row.is(fence) && row.guards > 0 {
            return false;
        }
        // Another than was known is what came of the call that left.
        row.unsure = row.is(fence);
        row.end_lease(LostCause::Replaced);
        row.ending = Some(Ending::Release(fence));
        self.releases.push_back((lock.to_owned(), fence));
        true
    }

    /// Whether nobody has asked for the lock since this look was called for.
    pub(crate) fn stands(&self, lock: &str, look: u64) -> bool {
        self.rows
            .get(lock)
            .is_some_and(|row| row.ending == Some(Ending::Look(look)))
    }

    /// The ending is done; a later one is left as it is.
    pub(crate) fn settle(&mut self, lock: &str, ending: Ending) {
        let Some(row) = self.rows.get_mut(lock) else {
            return;
        };
        if row.ending != Some(ending) {
            return;
        }
        row.ending = None;
        match ending {
            Ending::Release(fence) => {
                if row.is(fence) {
                    row.end_lease(LostCause::Released);
                }
            }
            Ending::Look(_) => row.unsure = false,
        }
        self.end_unwanted(lock);
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
            Some(row) if row.is(fence) && row.guards > 0 => {
                row.guards -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Finds out what is left to be done for a lock about which something has changed.
    fn end_unwanted(&mut self, lock: &str) {
        let Some(row) = self.rows.get_mut(lock) else {
            return;
        };
        if row.asking > 0 {
            return;
        }
        if row.unsure {
            self.looks_begun += 1;
            row.ending = Some(Ending::Look(self.looks_begun));
            self.looks.push_back((lock.to_owned(), self.looks_begun));
        } else if row.guards > 0 {
            // Whoever has one of them lets it go.
        } else if let Some(lease) = &row.lease {
            row.ending = Some(Ending::Release(lease.fence));
            self.releases.push_back((lock.to_owned(), lease.fence));
        } else {
            self.rows.remove(lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Mode;

    const F3: Fence = Fence::claimed(3);
    const F4: Fence = Fence::claimed(4);

    fn grant(ledger: &mut Ledger, fence: Fence) -> Arc<Lease> {
        ledger.granted("db", Lease::new(fence, Mode::Exclusive, None))
    }

    fn release(fence: Fence) -> Option<(String, Fence)> {
        Some(("db".to_owned(), fence))
    }

    #[test]
    fn the_last_guard_releases_and_until_then_nobody_asks() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db") && ledger.ask("db"));
        grant(&mut ledger, F3);
        grant(&mut ledger, F3);
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
        grant(&mut ledger, F3);
        assert!(ledger.ask("db"));
        ledger.dropped("db", F3);
        assert_eq!(ledger.take_release(), None);
        grant(&mut ledger, F3);
        assert!(ledger.release("db", F3));
    }

    #[test]
    fn an_asker_that_is_refused_leaves_what_a_dropped_guard_left_it() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        grant(&mut ledger, F3);
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
    fn a_lease_in_another_mode_ends_the_guards_of_the_one_before() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db") && ledger.ask("db"));
        let before = grant(&mut ledger, F3);
        assert_eq!(before.cause(), None);
        let after = grant(&mut ledger, F4);
        assert_eq!(before.cause(), Some(LostCause::Replaced));
        assert_eq!(after.cause(), None);
    }

    #[test]
    fn an_upgrade_that_nobody_waited_for_is_found_and_released() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        let shared = grant(&mut ledger, F3);
        assert!(ledger.ask("db"));
        ledger.unanswered("db");
        let (_, look) = ledger.take_look().unwrap();
        assert!(!ledger.found("db", look, F3), "not yet");
        assert!(ledger.found("db", look, F4));
        assert_eq!(shared.cause(), Some(LostCause::Replaced));
        assert_eq!(ledger.take_release(), release(F4));
        ledger.settle("db", Ending::Release(F4));
        assert!(ledger.rows.is_empty());
    }

    #[test]
    fn a_guard_dropped_while_an_upgrade_may_still_come_is_released_and_looked_after() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        grant(&mut ledger, F3);
        assert!(ledger.ask("db"));
        ledger.unanswered("db");
        assert!(ledger.release("db", F3));
        ledger.settle("db", Ending::Release(F3));
        let look = std::iter::from_fn(|| ledger.take_look()).last();
        let (_, look) = look.unwrap();
        assert!(ledger.stands("db", look));
        assert!(ledger.found("db", look, F4));
        assert_eq!(ledger.take_release(), release(F4));
    }

    #[test]
    fn a_lease_that_others_ended_is_not_released() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db"));
        let lease = grant(&mut ledger, F3);
        ledger.ended("db", F4, LostCause::MaxHold);
        assert_eq!(lease.cause(), None, "it was another's");
        ledger.ended("db", F3, LostCause::MaxHold);
        assert_eq!(lease.cause(), Some(LostCause::MaxHold));
        assert!(!ledger.release("db", F3) && ledger.rows.is_empty());
    }

    #[test]
    fn a_guard_of_an_earlier_lease_releases_nothing() {
        let mut ledger = Ledger::default();
        assert!(ledger.ask("db") && ledger.ask("db"));
        grant(&mut ledger, F3);
        grant(&mut ledger, F4);
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
