//! How a ring's table came to be: enough of the past to say what moved between two epochs.
//!
//! For each epoch that changed an owner it keeps the runs of slots that changed, and whose they
//! were before. The newest 256 epochs are kept, as far as their runs fit their bound; from there
//! any table in between is found by undoing.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::limits::{RING_EPOCHS_KEPT, RING_RUNS_KEPT};
use crate::name::MemberName;
use crate::slot::{SlotRange, runs};

/// Slots that go from one owner to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingMove {
    /// Whose they were; nobody's, if the ring was empty.
    pub from: Option<MemberName>,
    /// Whose they are.
    pub to: Option<MemberName>,
    /// Which.
    pub ranges: Vec<SlotRange>,
}

/// What lies between two tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingDiff {
    /// How many slots have another owner.
    pub moved_slots: usize,
    /// Which, from whom and to whom, in the order of the names.
    pub moves: Vec<RingMove>,
}

/// One epoch's undoing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Undo {
    epoch: u64,
    runs: Arc<[(SlotRange, Option<MemberName>)]>,
}

/// The newest epochs, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// The oldest epoch whose table can be told.
    oldest: u64,
    undo: VecDeque<Undo>,
}

/// Whose each slot is, by name.
pub(super) type Owners<'a> = Vec<Option<&'a MemberName>>;

impl Journal {
    /// The epoch whose table the journal goes back to.
    pub(crate) const fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Notes that this epoch took these slots from these owners.
    pub(super) fn note(&mut self, epoch: u64, before: &Owners<'_>, after: &Owners<'_>) {
        let changed = runs(|slot| (before[slot] != after[slot]).then_some(before[slot]));
        let rows: Arc<[_]> = changed
            .into_iter()
            .filter_map(|(range, before)| Some((range, before?.cloned())))
            .collect();
        if rows.is_empty() {
            return;
        }
        self.undo.push_back(Undo { epoch, runs: rows });
        let mut kept: usize = self.undo.iter().map(|undo| undo.runs.len()).sum();
        while self.undo.len() > RING_EPOCHS_KEPT || kept > RING_RUNS_KEPT {
            let gone = self.undo.pop_front().expect("it holds too much");
            kept -= gone.runs.len();
            self.oldest = gone.epoch;
        }
    }

    /// The table of an epoch, from that of the newest; `None` if it is forgotten.
    fn at<'a>(&'a self, epoch: u64, newest: &Owners<'a>) -> Option<Owners<'a>> {
        if epoch < self.oldest {
            return None;
        }
        let mut owners = newest.clone();
        for undo in self.undo.iter().rev().take_while(|undo| undo.epoch > epoch) {
            for (range, before) in undo.runs.iter() {
                owners[range.indexes()].fill(before.as_ref());
            }
        }
        Some(owners)
    }

    /// What lies between the tables of two epochs.
    pub(super) fn diff<'a>(&'a self, from: u64, to: u64, newest: &Owners<'a>) -> Option<RingDiff> {
        Some(diff(&self.at(from, newest)?, &self.at(to, newest)?))
    }

    /// Whether it could have come from notes.
    pub(crate) fn audit(&self, epoch: u64) -> Result<(), &'static str> {
        let mut last = self.oldest;
        for undo in &self.undo {
            if undo.epoch <= last || undo.epoch > epoch || undo.runs.is_empty() {
                return Err("its past is out of order");
            }
            last = undo.epoch;
        }
        Ok(())
    }
}

/// What lies between two tables.
pub(super) fn diff(before: &Owners<'_>, after: &Owners<'_>) -> RingDiff {
    let mut moves: BTreeMap<(Option<MemberName>, Option<MemberName>), Vec<SlotRange>> =
        BTreeMap::new();
    let mut moved_slots = 0;
    for (range, moved) in runs(|slot| {
        let (from, to) = (before[slot], after[slot]);
        (from != to).then_some((from, to))
    }) {
        let Some((from, to)) = moved else { continue };
        moved_slots += range.slots();
        let key = (from.cloned(), to.cloned());
        moves.entry(key).or_default().push(range);
    }
    let moves = moves
        .into_iter()
        .map(|((from, to), ranges)| RingMove { from, to, ranges });
    RingDiff {
        moved_slots,
        moves: moves.collect(),
    }
}
