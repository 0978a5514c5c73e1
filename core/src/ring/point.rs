//! Points on the circle, by the specification `lr1`.
//!
//! *What it is.* Classic consistent hashing. Each member has 160 points for each unit of its
//! weight:
//!
//! ```text
//! d = SHA1("lr1" 00 ring 00 member 00 be_u32(k))     for k in 0 … 80·weight
//! two points a digest: be_u64(d[0..8]), be_u64(d[8..16])
//! ```
//! The position of a slot is `slot << 50`; its owner is the member of the first point at or after
//! it, around the circle. Points are ordered by (point, member).
//!
//! *Why these points.* They are a function of that member alone. Weighted ketama gives each member
//! a share of a fixed number of points, so that whoever joins moves everybody's points; here a
//! join takes keys from others and moves none between two of them.
//!
//! *What is kept.* All that slots can see of a member is its first point in each slot's reach, so
//! no more than that is kept, whatever the weight: the order in which a walk around the circle
//! meets members for the first time is the same.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use super::{NOBODY, Seat};
use crate::name::{MemberName, RingName, Weight};
use crate::slot::{SLOT_SHIFT, SLOTS};

/// Digests for one unit of weight; each makes two points.
const DIGESTS_PER_UNIT: u32 = 80;

/// One member's points, the first of each slot's reach, rising.
pub(super) type Points = Arc<[u64]>;

/// The points of a member.
pub(super) fn points(ring: &RingName, member: &MemberName, weight: Weight) -> Points {
    let mut head = Sha1::new();
    head.update(b"lr1\0");
    head.update(ring.as_str().as_bytes());
    head.update([0]);
    head.update(member.as_str().as_bytes());
    head.update([0]);
    let digests = DIGESTS_PER_UNIT * u32::from(weight.units());
    let mut points = Vec::with_capacity(2 * digests as usize);
    for k in 0..digests {
        let mut hasher = head.clone();
        hasher.update(k.to_be_bytes());
        let digest = hasher.finalize();
        for half in [&digest[0..8], &digest[8..16]] {
            let half = half.try_into().expect("half of sixteen bytes is eight");
            points.push(u64::from_be_bytes(half));
        }
    }
    points.sort_unstable();
    points.dedup_by_key(|point| *point >> SLOT_SHIFT);
    points.into()
}

/// The owner of every slot: whose point is the first at or after it. The members must come in the
/// order of their names.
///
/// Nothing has to be sorted for it: the first point in a slot's reach is its owner's, and where
/// there is none, the owner is the next slot's.
pub(super) fn owners<'a>(members: impl Iterator<Item = (Seat, &'a Points)>) -> Vec<Seat> {
    let mut first = vec![(u64::MAX, NOBODY); SLOTS];
    for (seat, of) in members {
        for point in of.iter() {
            let slot = usize::try_from(*point >> SLOT_SHIFT).expect("a point's first 14 bits");
            // Of two members at one point the first by name has it.
            if first[slot].1 == NOBODY || *point < first[slot].0 {
                first[slot] = (*point, seat);
            }
        }
    }
    let lowest = first.iter().find(|(_, seat)| *seat != NOBODY);
    let mut next = lowest.map_or(NOBODY, |(_, seat)| *seat);
    let mut owners = vec![NOBODY; SLOTS];
    for (owner, (_, seat)) in owners.iter_mut().zip(&first).rev() {
        if *seat != NOBODY {
            next = *seat;
        }
        *owner = next;
    }
    owners
}

/// Everybody's points, in the order of (point, member).
#[derive(Debug, Default)]
pub(super) struct Circle {
    points: Vec<(u64, Seat)>,
}

impl Circle {
    /// The circle of these members, which must come in the order of their names.
    pub(super) fn new<'a>(members: impl Iterator<Item = (Seat, &'a Points)>) -> Self {
        let mut points: Vec<(u64, Seat)> = Vec::new();
        for (seat, of) in members {
            points.extend(of.iter().map(|point| (*point, seat)));
        }
        // Stable, so that two members at one point stay in the order of their names.
        points.sort_by_key(|(point, _)| *point);
        Self { points }
    }

    /// Once around the circle from a slot: a member a point.
    pub(super) fn walk(&self, slot: usize) -> impl Iterator<Item = Seat> {
        let position = (slot as u64) << SLOT_SHIFT;
        let start = self.points.partition_point(|(point, _)| *point < position);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|(_, seat)| *seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(member: &str, weight: u64) -> Points {
        points(
            &RingName::parse("r").unwrap(),
            &MemberName::parse(member).unwrap(),
            Weight::parse(weight).unwrap(),
        )
    }

    #[test]
    fn weight_adds_points_and_moves_none() {
        let (light, heavy) = (of("a", 1), of("a", 3));
        assert!(light.len() <= 160 && heavy.len() > light.len());
        // A heavier member's first point of a reach may be an earlier one, never a later.
        for point in light.iter() {
            let first = heavy
                .iter()
                .find(|p| *p >> SLOT_SHIFT == point >> SLOT_SHIFT);
            assert!(first.is_some_and(|first| first <= point));
        }
    }

    #[test]
    fn an_empty_circle_has_no_owners_and_a_lone_member_has_all() {
        assert!(owners([].into_iter()).iter().all(|o| *o == NOBODY));
        let alone = of("a", 1);
        let circle = Circle::new([(7, &alone)].into_iter());
        assert!(owners([(7, &alone)].into_iter()).iter().all(|o| *o == 7));
        assert_eq!(circle.walk(16_383).count(), alone.len());
    }

    #[test]
    fn the_owner_is_whom_a_walk_meets_first() {
        let names: Vec<_> = (0..20).map(|n| alloc::format!("m{n:02}")).collect();
        let points: Vec<_> = names.iter().map(|name| of(name, 1)).collect();
        let rows = || (0..).zip(&points);
        let (circle, owners) = (Circle::new(rows()), owners(rows()));
        for (slot, owner) in owners.into_iter().enumerate() {
            assert_eq!(circle.walk(slot).next(), Some(owner), "slot {slot}");
        }
    }
}
