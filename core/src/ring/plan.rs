//! The exact plan: everybody within one slot of its share, by the fewest possible moves.
//!
//! *Quota.* A member of weight `w` is due `16384·w/W` slots. It gets the floor of that, and the
//! seats that are left over go one each, first to members that have more than their floor already
//! (each saves a move), then to the largest fractions. A member whose share is whole gets none.
//!
//! *Moves.* Only what somebody has above its quota is shed, only what somebody lacks is filled.
//! So no plan that meets these quotas moves fewer slots, and no quotas within one slot of the
//! shares do either.
//!
//! *Ranges.* Which slots are shed is free, so the plan sheds the largest whole run that fits, else
//! the tail of the smallest run; and it gives a free run to a neighbour that lacks slots, else to
//! the member that it fits best. That keeps the table in few runs over thousands of changes.
//!
//! It is total: no members, one member, and members that come and go all at once are answered
//! with a plan. Integers only.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::Seat;
use super::slots::NOBODY;
use crate::slot::SLOTS;

/// A member as the plan sees it: its seat and its weight. They come in the order of the names.
pub(super) type Share = (Seat, u64);

/// A run of slots: where it begins and ends; the end is not of it.
#[derive(Clone, Copy, Debug)]
struct Run {
    begin: usize,
    end: usize,
}

impl Run {
    const fn len(self) -> usize {
        self.end - self.begin
    }
}

/// Who gets each slot, from who has it now. Slots of seats that are not among `shares` are free.
pub(super) fn exact(base: &[Seat], shares: &[Share]) -> Vec<Seat> {
    if shares.is_empty() {
        return vec![NOBODY; SLOTS];
    }
    let mut table = base.to_vec();
    let mut has: BTreeMap<Seat, usize> = shares.iter().map(|(seat, _)| (*seat, 0)).collect();
    for (owner, runs) in runs_by_owner(base) {
        for run in runs {
            match has.get_mut(&owner) {
                Some(slots) => *slots += run.len(),
                None => table[run.begin..run.end].fill(NOBODY),
            }
        }
    }
    let quotas = quotas(shares, &has);
    shed(&mut table, &has, &quotas);
    let mut lacks = quotas;
    lacks.retain(|seat, quota| {
        *quota = quota.saturating_sub(has[seat]);
        *quota > 0
    });
    fill(&mut table, &mut lacks);
    table
}

/// How many slots each member is to have.
fn quotas(shares: &[Share], has: &BTreeMap<Seat, usize>) -> BTreeMap<Seat, usize> {
    let total: u64 = shares.iter().map(|(_, weight)| weight).sum();
    let mut quotas = BTreeMap::new();
    let mut fractions = Vec::with_capacity(shares.len());
    let mut left = SLOTS;
    for (order, (seat, weight)) in shares.iter().enumerate() {
        let due = SLOTS as u64 * weight;
        let floor = usize::try_from(due / total).expect("a share is at most every slot");
        quotas.insert(*seat, floor);
        left -= floor;
        if !due.is_multiple_of(total) {
            let has_more = has[seat] > floor;
            fractions.push((!has_more, u64::MAX - due % total, order, *seat));
        }
    }
    fractions.sort_unstable();
    assert!(left <= fractions.len(), "each fraction is less than a slot");
    for (.., seat) in &fractions[..left] {
        *quotas.get_mut(seat).expect("every share has a quota") += 1;
    }
    quotas
}

/// Frees what members have above their quotas.
fn shed(table: &mut [Seat], has: &BTreeMap<Seat, usize>, quotas: &BTreeMap<Seat, usize>) {
    let mut runs = runs_by_owner(table);
    for (seat, quota) in quotas {
        let mut surplus = has[seat].saturating_sub(*quota);
        let Some(runs) = runs.get_mut(seat) else {
            continue;
        };
        runs.sort_unstable_by_key(|run| (run.len(), run.begin));
        while surplus > 0 {
            let fitting = runs.partition_point(|run| run.len() <= surplus);
            let freed = match fitting.checked_sub(1) {
                Some(largest) => runs.remove(largest),
                None => {
                    let smallest = &mut runs[0];
                    smallest.end -= surplus;
                    let begin = smallest.end;
                    let end = begin + surplus;
                    Run { begin, end }
                }
            };
            surplus -= freed.len();
            table[freed.begin..freed.end].fill(NOBODY);
        }
    }
}

/// Gives every free slot to somebody who lacks one.
fn fill(table: &mut [Seat], lacks: &mut BTreeMap<Seat, usize>) {
    let free = runs_by_owner(table).remove(&NOBODY).unwrap_or_default();
    for mut run in free {
        while run.len() > 0 {
            let before = run.begin.checked_sub(1).map(|slot| table[slot]);
            let after = table.get(run.end).copied();
            let lacking = |seat: &Seat| lacks.contains_key(seat);
            let (seat, at_end) = match (before.filter(lacking), after.filter(lacking)) {
                (Some(seat), _) => (seat, false),
                (None, Some(seat)) => (seat, true),
                (None, None) => (best_fit(lacks, run.len()), false),
            };
            let lack = lacks.get_mut(&seat).expect("it lacks slots");
            let given = run.len().min(*lack);
            *lack -= given;
            if *lack == 0 {
                lacks.remove(&seat);
            }
            if at_end {
                table[run.end - given..run.end].fill(seat);
                run.end -= given;
            } else {
                table[run.begin..run.begin + given].fill(seat);
                run.begin += given;
            }
        }
    }
    assert!(lacks.is_empty(), "quotas add up to every slot");
}

/// The member that lacks at least `len` slots and the fewest of those, else the most of all.
fn best_fit(lacks: &BTreeMap<Seat, usize>, len: usize) -> Seat {
    let fitting = lacks.iter().filter(|(_, lack)| **lack >= len);
    let best = fitting
        .min_by_key(|(_, lack)| **lack)
        .or_else(|| lacks.iter().max_by_key(|(_, lack)| **lack));
    *best.expect("a free slot is lacking somewhere").0
}

fn runs_by_owner(table: &[Seat]) -> BTreeMap<Seat, Vec<Run>> {
    let mut runs: BTreeMap<Seat, Vec<Run>> = BTreeMap::new();
    let mut begin = 0;
    while begin < table.len() {
        let owner = table[begin];
        let same = table[begin..].iter().take_while(|o| **o == owner).count();
        let end = begin + same;
        runs.entry(owner).or_default().push(Run { begin, end });
        begin = end;
    }
    runs
}
