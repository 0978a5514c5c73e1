//! One epoch's table, as a client holds it: lookups without a question to anybody.
//!
//! The server makes it from the ring's state; a client makes the same from what it was sent, whole
//! or by what has changed since a table that it has. Both are this type, so they cannot disagree.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::journal::{self, RingDiff};
use crate::digest::Digest;
use crate::name::{MemberName, RingName};
use crate::slot::{RingHash, SLOTS, SlotRange, runs};

/// An immutable table: whose each slot is, whom to ask next, and what moves.
///
/// ```
/// use lockring_core::{MemberName, RingHash, RingName, RingTable, SlotRange, TableParts};
///
/// let member = |name| MemberName::parse(name).expect("a good name");
/// let (low, high) = (SlotRange::new(0, 8191)?, SlotRange::new(8192, 16383)?);
/// let parts = TableParts {
///     lists: vec![(low, vec![member("a"), member("b")]), (high, vec![member("b"), member("a")])],
///     moving: vec![],
///     epochs: vec![(SlotRange::ALL, 4)],
/// };
/// let ring = RingName::parse("cache").expect("a good name");
/// let table = RingTable::new(ring, RingHash::Crc16, 4, &parts)?;
/// // CRC16("123456789") is 0x31c3, which is slot 12739.
/// assert_eq!(table.slot(b"123456789"), 12_739);
/// assert_eq!(table.owner(12_739), Some(&member("b")));
/// assert_eq!(table.list(12_739).map(MemberName::as_str).collect::<Vec<_>>(), ["b", "a"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RingTable {
    ring: RingName,
    hash: RingHash,
    epoch: u64,
    /// In the order of the names; the tables below name them by their place here.
    members: Vec<MemberName>,
    lists: Vec<Box<[u16]>>,
    list_of: Box<[u16]>,
    owner_of: Box<[u16]>,
    from_of: Box<[u16]>,
    epoch_of: Box<[u64]>,
}

const NOBODY: u16 = u16::MAX;

/// Slots on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// Which.
    pub range: SlotRange,
    /// Who may still serve them, until it has released them or its session has ended.
    pub from: MemberName,
    /// Whose they are then; nobody's, if nobody is there to have them.
    pub to: Option<MemberName>,
}

/// A table as it travels: by runs of slots. Of a whole table they cover every slot; of a change,
/// those that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableParts {
    /// Preference lists, the owner first; empty if nobody owns the slots.
    pub lists: Vec<(SlotRange, Vec<MemberName>)>,
    /// All that moves, also of a change.
    pub moving: Vec<Moving>,
    /// The slots' epochs.
    pub epochs: Vec<(SlotRange, u64)>,
}

/// Why parts are no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// Lists or epochs leave out a slot.
    Gap {
        /// The first one.
        slot: u16,
    },
    /// There are more members than a ring can have.
    Members,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { slot } => write!(f, "the table leaves out slot {slot}"),
            Self::Members => f.write_str("the table names too many members"),
        }
    }
}

impl core::error::Error for TableError {}

impl fmt::Debug for RingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingTable")
            .field("ring", &self.ring)
            .field("epoch", &self.epoch)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl RingTable {
    /// The table that these parts make.
    ///
    /// # Errors
    /// [`TableError`] when they leave out a slot.
    pub fn new(
        ring: RingName,
        hash: RingHash,
        epoch: u64,
        parts: &TableParts,
    ) -> Result<Self, TableError> {
        let mut lists: Vec<Option<&[MemberName]>> = vec![None; SLOTS];
        let mut epochs: Vec<Option<u64>> = vec![None; SLOTS];
        for (range, list) in &parts.lists {
            lists[range.indexes()].fill(Some(list));
        }
        for (range, epoch) in &parts.epochs {
            epochs[range.indexes()].fill(Some(*epoch));
        }
        let gap = |slot: usize| TableError::Gap { slot: slot as u16 };
        if let Some(slot) = lists.iter().position(Option::is_none) {
            return Err(gap(slot));
        }
        if let Some(slot) = epochs.iter().position(Option::is_none) {
            return Err(gap(slot));
        }
        let lists: Vec<&[MemberName]> = lists.into_iter().flatten().collect();
        let epochs: Vec<u64> = epochs.into_iter().flatten().collect();
        Self::of(ring, hash, epoch, &lists, &parts.moving, epochs)
    }

    /// The next table: this one, with what has changed.
    ///
    /// # Errors
    /// [`TableError::Members`] when it names too many.
    pub fn changed(&self, epoch: u64, parts: &TableParts) -> Result<Self, TableError> {
        let known: Vec<Vec<MemberName>> = self.lists.iter().map(|l| self.names(l)).collect();
        let mut lists: Vec<&[MemberName]> = self
            .list_of
            .iter()
            .map(|list| known[usize::from(*list)].as_slice())
            .collect();
        let mut epochs = self.epoch_of.to_vec();
        for (range, list) in &parts.lists {
            lists[range.indexes()].fill(list);
        }
        for (range, epoch) in &parts.epochs {
            epochs[range.indexes()].fill(*epoch);
        }
        let (ring, hash) = (self.ring.clone(), self.hash);
        Self::of(ring, hash, epoch, &lists, &parts.moving, epochs)
    }

    fn of(
        ring: RingName,
        hash: RingHash,
        epoch: u64,
        lists: &[&[MemberName]],
        moving: &[Moving],
        epochs: Vec<u64>,
    ) -> Result<Self, TableError> {
        let runs = runs(|slot| lists[slot]);
        let named = runs.iter().flat_map(|(_, list)| list.iter());
        let named = named.chain(moving.iter().map(|moving| &moving.from));
        let mut members: Vec<MemberName> = named.cloned().collect();
        members.sort_unstable();
        members.dedup();
        if members.len() >= usize::from(NOBODY) {
            return Err(TableError::Members);
        }
        let number = |name: &MemberName| {
            let found = members.binary_search(name).expect("every name is a member");
            found as u16
        };
        let mut table = Self {
            lists: Vec::new(),
            list_of: vec![0; SLOTS].into(),
            owner_of: vec![NOBODY; SLOTS].into(),
            from_of: vec![NOBODY; SLOTS].into(),
            epoch_of: epochs.into(),
            ring,
            hash,
            epoch,
            members: Vec::new(),
        };
        let mut known: BTreeMap<&[MemberName], u16> = BTreeMap::new();
        for (range, list) in runs {
            let list_of = *known.entry(list).or_insert_with(|| {
                table.lists.push(list.iter().map(number).collect());
                (table.lists.len() - 1) as u16
            });
            table.list_of[range.indexes()].fill(list_of);
            let owner = list.first().map_or(NOBODY, number);
            table.owner_of[range.indexes()].fill(owner);
        }
        for moving in moving {
            table.from_of[moving.range.indexes()].fill(number(&moving.from));
        }
        table.members = members;
        Ok(table)
    }

    /// Which ring's it is.
    #[must_use]
    pub const fn ring(&self) -> &RingName {
        &self.ring
    }

    /// How keys become slots.
    #[must_use]
    pub const fn hash(&self) -> RingHash {
        self.hash
    }

    /// The number of the ring's change that made it.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every member that it names, in the order of the names.
    #[must_use]
    pub fn members(&self) -> &[MemberName] {
        &self.members
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot(&self, key: &[u8]) -> u16 {
        self.hash.slot(key)
    }

    /// Whose a slot is; while it moves, whom it moves to.
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<&MemberName> {
        let owner = *self.owner_of.get(usize::from(slot))?;
        self.members.get(usize::from(owner))
    }

    /// Who may still serve a slot that moves; `None` if it does not move.
    #[must_use]
    pub fn moving_from(&self, slot: u16) -> Option<&MemberName> {
        let from = *self.from_of.get(usize::from(slot))?;
        self.members.get(usize::from(from))
    }

    /// Whom to ask for a slot, the owner first.
    pub fn list(&self, slot: u16) -> impl Iterator<Item = &MemberName> {
        let list = self.list_of.get(usize::from(slot));
        let list = list.and_then(|list| self.lists.get(usize::from(*list)));
        list.into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|member| self.members.get(usize::from(*member)))
    }

    /// The fencing token of a slot: it rises with each change of owner.
    #[must_use]
    pub fn slot_epoch(&self, slot: u16) -> u64 {
        self.epoch_of
            .get(usize::from(slot))
            .copied()
            .unwrap_or_default()
    }

    /// The runs of slots that have one owner and move alike, in order.
    #[must_use]
    pub fn runs(&self) -> Vec<(SlotRange, Option<&MemberName>, Option<&MemberName>)> {
        let runs = runs(|slot| (self.owner_of[slot], self.from_of[slot]));
        let name = |of: u16| self.members.get(usize::from(of));
        runs.into_iter()
            .map(|(range, (owner, from))| (range, name(owner), name(from)))
            .collect()
    }

    /// How many slots a member owns.
    #[must_use]
    pub fn slots_of(&self, member: &MemberName) -> usize {
        match self.members.binary_search(member) {
            Ok(number) => {
                let number = number as u16;
                self.owner_of.iter().filter(|o| **o == number).count()
            }
            Err(_) => 0,
        }
    }

    /// The whole table as it travels.
    #[must_use]
    pub fn parts(&self) -> TableParts {
        let lists = runs(|slot| self.list_of[slot]);
        let epochs = runs(|slot| self.epoch_of[slot]);
        TableParts {
            lists: lists
                .into_iter()
                .map(|(range, list)| (range, self.names(&self.lists[usize::from(list)])))
                .collect(),
            moving: self.moving(),
            epochs,
        }
    }

    /// What makes this table out of an earlier one of the same ring.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> TableParts {
        let old: Vec<Vec<MemberName>> = earlier.lists.iter().map(|l| earlier.names(l)).collect();
        let new: Vec<Vec<MemberName>> = self.lists.iter().map(|l| self.names(l)).collect();
        let lists = runs(|slot| {
            let was = &old[usize::from(earlier.list_of[slot])];
            let is = &new[usize::from(self.list_of[slot])];
            (was != is).then_some(is)
        });
        let epochs = runs(|slot| {
            let (was, is) = (earlier.epoch_of[slot], self.epoch_of[slot]);
            (was != is).then_some(is)
        });
        TableParts {
            lists: lists
                .into_iter()
                .filter_map(|(range, list)| Some((range, list?.clone())))
                .collect(),
            moving: self.moving(),
            epochs: epochs
                .into_iter()
                .filter_map(|(range, epoch)| Some((range, epoch?)))
                .collect(),
        }
    }

    /// What moves.
    #[must_use]
    pub fn moving(&self) -> Vec<Moving> {
        let runs = self.runs().into_iter();
        let moving = runs.filter_map(|(range, to, from)| {
            let (from, to) = (from?.clone(), to.cloned());
            Some(Moving { range, from, to })
        });
        moving.collect()
    }

    /// Which slots have another owner than in another table of the same ring.
    #[must_use]
    pub fn diff(&self, earlier: &Self) -> RingDiff {
        journal::diff(&earlier.owners(), &self.owners())
    }

    fn owners(&self) -> Vec<Option<&MemberName>> {
        let name = |owner: &u16| self.members.get(usize::from(*owner));
        self.owner_of.iter().map(name).collect()
    }

    fn names(&self, list: &[u16]) -> Vec<MemberName> {
        let name = |member: &u16| self.members[usize::from(*member)].clone();
        list.iter().map(name).collect()
    }

    /// One number for who owns what: equal for all observers of an epoch, and what a plan foretold.
    /// It finds divergence; it is not cryptographic.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest(&self.owners())
    }
}

/// See [`RingTable::digest`].
pub(super) fn digest(owners: &[Option<&MemberName>]) -> u64 {
    let mut digest = Digest::new();
    for (range, owner) in runs(|slot| owners[slot]) {
        digest.write_number(u64::from(range.first()));
        digest.write_text(owner.map_or("", MemberName::as_str));
    }
    digest.finish()
}
