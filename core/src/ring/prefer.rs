//! Preference lists: whom to ask for a slot, and whom next.
//!
//! The owner comes first. Then the walk goes on: around the circle of points, or over the runs
//! that follow in an exact table. Members already taken are skipped. Members in zones that the
//! list does not have yet come first, then the others, both in the order of the walk.
//!
//! A list that has fewer members than asked, or two of one zone where zones are in use, is
//! degraded: a zone or a member's loss would cost more than was asked for.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::member::Member;
use super::point::Circle;
use super::slots::NOBODY;
use super::{Ring, Seat};
use crate::command::Placement;
use crate::slot::runs;

/// Makes preference lists for one state of a ring.
#[derive(Debug)]
pub(super) struct Preferences<'a> {
    ring: &'a Ring,
    circle: Circle,
    /// The owners of the runs of an exact table, and which run each slot is in.
    runs: Vec<Seat>,
    run_of: Vec<usize>,
    zones: usize,
}

impl<'a> Preferences<'a> {
    pub(super) fn new(ring: &'a Ring) -> Self {
        let zones: BTreeMap<_, ()> = ring
            .members
            .values()
            .map(|member| (&member.zone, ()))
            .collect();
        let mut preferences = Self {
            ring,
            circle: Circle::default(),
            runs: Vec::new(),
            run_of: Vec::new(),
            zones: zones.len(),
        };
        match ring.spec.placement {
            Placement::Points => preferences.circle = ring.circle(),
            Placement::Exact => {
                for (number, (range, owner)) in
                    runs(|slot| ring.slots.owner[slot]).into_iter().enumerate()
                {
                    preferences.runs.push(owner);
                    preferences
                        .run_of
                        .resize(preferences.run_of.len() + range.slots(), number);
                }
            }
        }
        preferences
    }

    /// The list of one slot: at most `wanted` seats, the owner first; empty if nobody owns it.
    pub(super) fn list(&self, slot: usize, wanted: usize) -> Vec<Seat> {
        let owner = self.ring.slots.owner[slot];
        if owner == NOBODY || wanted == 0 {
            return Vec::new();
        }
        if wanted == 1 {
            return vec![owner];
        }
        match self.ring.spec.placement {
            Placement::Points => self.pick(owner, wanted, self.circle.walk(slot)),
            Placement::Exact => {
                let (before, after) = self.runs.split_at(self.run_of[slot]);
                self.pick(owner, wanted, after.iter().chain(before).copied())
            }
        }
    }

    fn pick(&self, owner: Seat, wanted: usize, walk: impl Iterator<Item = Seat>) -> Vec<Seat> {
        let zone = |seat: Seat| self.ring.members.get(&seat).map(|member| &member.zone);
        let (mut list, mut others) = (vec![owner], Vec::new());
        for seat in walk {
            if list.len() == wanted
                || (list.len() + others.len() >= wanted && list.len() >= self.zones)
            {
                break;
            }
            let planned = self.ring.members.get(&seat).is_some_and(Member::is_planned);
            if !planned || list.contains(&seat) || others.contains(&seat) {
                continue;
            }
            match list.iter().any(|taken| zone(*taken) == zone(seat)) {
                true => others.push(seat),
                false => list.push(seat),
            }
        }
        others.truncate(wanted - list.len());
        list.extend(others);
        list
    }

    /// Whether a list is less than was asked for.
    pub(super) fn is_degraded(&self, list: &[Seat], wanted: usize) -> bool {
        let zone = |seat: &Seat| self.ring.members.get(seat).map(|member| &member.zone);
        let zoned = list
            .iter()
            .any(|seat| zone(seat).is_some_and(|zone| !zone.as_str().is_empty()));
        let twice = list
            .iter()
            .enumerate()
            .any(|(at, seat)| list[..at].iter().any(|other| zone(other) == zone(seat)));
        list.len() < wanted || (zoned && twice)
    }
}
