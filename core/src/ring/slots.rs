//! What is known of each slot, by seat.
//!
//! A *seat* is a member's number in one ring: 16 bits stand for it in the tables. In a snapshot
//! the tables are runs, so that a ring of three members is a few bytes and not a hundred kilobytes.

use alloc::vec;
use alloc::vec::Vec;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Seat;
use crate::slot::{SLOTS, SlotRange, runs};

/// No member at all.
pub(crate) const NOBODY: Seat = Seat::MAX;

/// One value a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PerSlot<T>(pub(crate) Vec<T>);

impl<T: Copy> PerSlot<T> {
    pub(crate) fn all(value: T) -> Self {
        Self(vec![value; SLOTS])
    }
}

impl<T> core::ops::Deref for PerSlot<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> core::ops::DerefMut for PerSlot<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T: Copy + PartialEq + Serialize> Serialize for PerSlot<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let runs = runs(|slot| self.0[slot]);
        let rows: Vec<(u16, T)> = runs.into_iter().map(|(r, v)| (r.last(), v)).collect();
        rows.serialize(to)
    }
}

impl<'de, T: Copy + Deserialize<'de>> Deserialize<'de> for PerSlot<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let rows = Vec::<(u16, T)>::deserialize(from)?;
        let mut slots = Vec::with_capacity(SLOTS);
        for (last, value) in rows {
            let first = u16::try_from(slots.len()).map_err(D::Error::custom)?;
            let run = SlotRange::new(first, last).map_err(D::Error::custom)?;
            slots.resize(slots.len() + run.slots(), value);
        }
        if slots.len() != SLOTS {
            return Err(D::Error::custom("the runs do not cover every slot"));
        }
        Ok(Self(slots))
    }
}

/// The slot table of one ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slots {
    /// Who each slot belongs to; while it moves, whom it moves to.
    pub(crate) owner: PerSlot<Seat>,
    /// While it moves, who may still serve it; else nobody.
    pub(crate) from: PerSlot<Seat>,
    /// The ring's epoch at the last change of owner.
    pub(crate) epoch: PerSlot<u64>,
    /// Who the plan gives it to.
    pub(crate) target: PerSlot<Seat>,
    /// Which lost member it goes back to should that one return; else nobody.
    pub(crate) claim: PerSlot<Seat>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            owner: PerSlot::all(NOBODY),
            from: PerSlot::all(NOBODY),
            epoch: PerSlot::all(0),
            target: PerSlot::all(NOBODY),
            claim: PerSlot::all(NOBODY),
        }
    }

    /// Who may serve a slot, if alive: the one it moves from, else its owner.
    pub(crate) fn server(&self, slot: usize) -> Seat {
        match self.from[slot] {
            NOBODY => self.owner[slot],
            from => from,
        }
    }

    /// Whether any table names this seat.
    pub(crate) fn name(&self, seat: Seat) -> bool {
        let tables = [&self.owner, &self.from, &self.target, &self.claim];
        tables.iter().any(|table| table.contains(&seat))
    }
}
