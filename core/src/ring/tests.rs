//! The two placements over ten thousand random changes each, against what can be computed
//! independently. Those of the machine with rings are in `crate::tests`.

use std::collections::BTreeMap;
use std::format;
use std::vec::Vec;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Seat;
use super::plan::{self, Share};
use super::point::{Points, owners, points};
use super::slots::NOBODY;
use crate::name::{MemberName, RingName, Weight};
use crate::slot::SLOTS;

const STEPS: u64 = 10_000;

fn member(number: Seat) -> MemberName {
    MemberName::parse(&format!("member-{number:03}")).unwrap()
}

/// A change of who is there: joins more often while there are few.
fn change(chance: &mut StdRng, members: &mut BTreeMap<Seat, u64>, most: usize) -> Seat {
    let seat = chance.random_range(0..most as Seat);
    let weight = match chance.random_range(0..4) {
        0 => chance.random_range(1..=16),
        _ => 1,
    };
    if members.remove(&seat).is_none() || chance.random_bool(0.3) {
        members.insert(seat, weight);
    }
    seat
}

/// Who joins takes keys from others, who leaves gives keys to others, and nothing else moves.
#[test]
fn points_move_no_key_between_two_old_members() {
    let ring = RingName::parse("ring").unwrap();
    let mut made: BTreeMap<(Seat, u64), Points> = BTreeMap::new();
    let mut chance = StdRng::seed_from_u64(1);
    let mut members = BTreeMap::new();
    let mut before = owners([].into_iter());
    for step in 0..STEPS {
        let changed = change(&mut chance, &mut members, 12);
        for (seat, weight) in &members {
            made.entry((*seat, *weight))
                .or_insert_with(|| points(&ring, &member(*seat), Weight::parse(*weight).unwrap()));
        }
        let on_it = members.iter().map(|(s, w)| (*s, &made[&(*s, *w)]));
        let after = owners(on_it);
        for (slot, (was, is)) in before.iter().zip(&after).enumerate() {
            let nobody = *was == NOBODY || *is == NOBODY;
            let fine = was == is || *was == changed || *is == changed || nobody;
            assert!(fine, "step {step}: slot {slot} went from {was} to {is}");
        }
        before = after;
    }
}

/// How many slots each seat has.
fn count(table: &[Seat]) -> [usize; 64] {
    let mut has = [0; 64];
    for owner in table.iter().filter(|owner| **owner != NOBODY) {
        has[usize::from(*owner)] += 1;
    }
    has
}

/// The fewest moves that leave everybody within one slot of its exact share, found another way:
/// who has `h` of a share between `f` and `f + 1` sheds at least `h - f - 1`, or one more if all
/// the left-over seats are given to others; what is free moves in any case.
fn fewest(base: &[Seat], shares: &[Share]) -> usize {
    let total: u64 = shares.iter().map(|(_, weight)| weight).sum();
    let has = count(base);
    let (mut kept, mut left, mut could_keep_one_more) = (0, SLOTS, 0);
    for (seat, weight) in shares {
        let due = SLOTS as u64 * weight;
        let floor = (due / total) as usize;
        let has = has[usize::from(*seat)];
        left -= floor;
        kept += has.min(floor);
        could_keep_one_more += usize::from(!due.is_multiple_of(total) && has > floor);
    }
    SLOTS - kept - left.min(could_keep_one_more)
}

#[test]
fn exact_moves_no_slot_above_the_optimum_and_keeps_everybody_near_its_share() {
    let mut runs_peak = 0;
    for seed in 0..10 {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut members = BTreeMap::new();
        let mut base = std::vec![NOBODY; SLOTS];
        let most = if seed < 9 { 10 } else { 40 };
        for step in 0..STEPS / 10 {
            for _ in 0..chance.random_range(1..3) {
                change(&mut chance, &mut members, most);
            }
            let shares: Vec<Share> = members.iter().map(|(s, w)| (*s, *w)).collect();
            let after = plan::exact(&base, &shares);
            let place = format!("seed {seed} step {step}");
            if shares.is_empty() {
                assert!(after.iter().all(|owner| *owner == NOBODY), "{place}");
                base = after;
                continue;
            }
            let moved = base.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert_eq!(moved, fewest(&base, &shares), "{place}");
            let total: u64 = members.values().sum();
            let has = count(&after);
            for (seat, weight) in &members {
                let slots = has[usize::from(*seat)] as u64;
                let off = (slots * total).abs_diff(SLOTS as u64 * weight);
                assert!(off < total, "{place}: {seat} has {slots}");
            }
            assert_eq!(plan::exact(&after, &shares), after, "{place}: not at rest");
            if most == 10 {
                let runs = after.windows(2).filter(|pair| pair[0] != pair[1]).count() + 1;
                runs_peak = runs_peak.max(runs);
            }
            base = after;
        }
    }
    // Contiguous ranges over thousands of changes, not 16384 of them.
    assert!(runs_peak < 200, "{runs_peak} runs of at most ten members");
}
