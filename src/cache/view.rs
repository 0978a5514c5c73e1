//! What a member believes of the ring: one immutable picture for each epoch.
//!
//! A picture answers three questions. Whose is a slot? Under which epoch? And, by the two clocks
//! that it carries, may this member still answer for its own slots, and may the picture as a whole
//! still be told to others?
//!
//! *Changing the picture.* Requests are answered in batches, and each batch holds the picture's
//! lock for reading from its first request until its answers have been checked against the clock
//! for the last time. Whoever puts up a new picture takes the lock for writing, so by then every
//! batch under the old one is done, and none begins under it again. That is what makes it safe to
//! tell the cluster that a slot is released as soon as the new picture hangs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::slot::SLOTS;
use super::topology::Topology;

/// The clocks of a picture.
pub(crate) trait Standing: fmt::Debug + Send + Sync {
    /// How long this member may go on to answer for its slots.
    fn serves_for(&self) -> Duration;
    /// How long the picture may be told to others.
    fn vouched_for(&self) -> Duration;
}

/// A member as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where its clients connect.
    pub(crate) resp: String,
    /// Where other members do.
    pub(crate) peer: String,
    /// The name under which clients know it: 40 hexadecimal digits.
    pub(crate) id: String,
}

/// The table of the ring, as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) epoch: u64,
    pub(crate) members: Vec<Member>,
    /// Of each slot: the member that owns it, by place in `members`; while it moves, the new one.
    pub(crate) owner: Vec<Option<u16>>,
    /// Of each slot: while it moves, the member that has not released it yet.
    pub(crate) from: Vec<Option<u16>>,
    /// Of each slot: the epoch of its last change of owner.
    pub(crate) slot_epoch: Vec<u64>,
    /// Where members listen to others that are not in the table because their sessions have ended.
    pub(crate) lost: Vec<String>,
}

/// Whose a slot is, as this member sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Ours. While warm, what is not here may still be at the owner before us.
    Here {
        is_warm: bool,
    },
    /// Ours as soon as the owner before us has released it.
    Coming,
    /// Another member's, by its place in the table.
    At(u16),
    Nowhere,
}

const HERE: u16 = u16::MAX;
const HERE_WARM: u16 = u16::MAX - 1;
const COMING: u16 = u16::MAX - 2;
const NOWHERE: u16 = u16::MAX - 3;
/// Members in one table.
const MEMBERS_MAX: usize = NOWHERE as usize;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct View {
    table: Arc<Table>,
    /// This member's place in the table, if it is in it.
    me: Option<u16>,
    my_id: String,
    /// Of each slot: a [`Place`] in two bytes, so that all of them stay in the nearest cache.
    places: Box<[u16]>,
    topology: Arc<Topology>,
    standing: Arc<dyn Standing>,
}

/// No right to anything.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Standing for Nothing {
    fn serves_for(&self) -> Duration {
        Duration::ZERO
    }

    fn vouched_for(&self) -> Duration {
        Duration::ZERO
    }
}

impl View {
    /// Before anything is known.
    pub(crate) fn blank(my_id: String) -> Self {
        let table = Table {
            owner: vec![None; SLOTS],
            from: vec![None; SLOTS],
            slot_epoch: vec![0; SLOTS],
            ..Table::default()
        };
        Self::new(Arc::new(table), None, my_id, Arc::new(Nothing), |_| false)
    }

    /// The picture that a table makes for the member at `me`.
    pub(crate) fn new(
        table: Arc<Table>,
        me: Option<u16>,
        my_id: String,
        standing: Arc<dyn Standing>,
        is_warm: impl Fn(usize) -> bool,
    ) -> Self {
        assert!(
            table.members.len() < MEMBERS_MAX,
            "{} members",
            table.members.len()
        );
        let place = |slot: usize| match (table.owner[slot], table.from[slot]) {
            (None, _) => NOWHERE,
            (owner, Some(_)) if owner == me => COMING,
            (owner, None) if owner == me && is_warm(slot) => HERE_WARM,
            (owner, None) if owner == me => HERE,
            (Some(other), _) => other,
        };
        Self {
            places: (0..SLOTS).map(place).collect(),
            topology: Arc::new(Topology::of(&table, me)),
            table,
            me,
            my_id,
            standing,
        }
    }

    /// The same picture by other clocks, or with other slots warm.
    pub(crate) fn renewed(
        &self,
        standing: Arc<dyn Standing>,
        is_warm: impl Fn(usize) -> bool,
    ) -> Self {
        let place = |slot: usize| match self.places[slot] {
            HERE | HERE_WARM if is_warm(slot) => HERE_WARM,
            HERE | HERE_WARM => HERE,
            other => other,
        };
        Self {
            places: (0..SLOTS).map(place).collect(),
            topology: self.topology.clone(),
            table: self.table.clone(),
            me: self.me,
            my_id: self.my_id.clone(),
            standing,
        }
    }

    /// Whether other slots are warm by now.
    pub(crate) fn is_warm_otherwise(&self, is_warm: impl Fn(usize) -> bool) -> bool {
        let mut places = self.places.iter().enumerate();
        places.any(|(slot, place)| match *place {
            HERE => is_warm(slot),
            HERE_WARM => !is_warm(slot),
            _ => false,
        })
    }

    pub(crate) fn place(&self, slot: u16) -> Place {
        match self.places[usize::from(slot)] {
            HERE => Place::Here { is_warm: false },
            HERE_WARM => Place::Here { is_warm: true },
            COMING => Place::Coming,
            NOWHERE => Place::Nowhere,
            other => Place::At(other),
        }
    }

    pub(crate) fn epoch_of(&self, slot: u16) -> u64 {
        self.table.slot_epoch[usize::from(slot)]
    }

    pub(crate) fn epoch_if_mine(&self, slot: u16) -> Option<u64> {
        matches!(self.place(slot), Place::Here { .. }).then(|| self.epoch_of(slot))
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    pub(crate) fn standing(&self) -> &Arc<dyn Standing> {
        &self.standing
    }

    pub(crate) fn me(&self) -> Option<u16> {
        self.me
    }

    pub(crate) fn my_id(&self) -> String {
        self.my_id.clone()
    }

    pub(crate) fn member(&self, place: u16) -> &Member {
        &self.table.members[usize::from(place)]
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(crate) fn serves(&self) -> bool {
        !self.standing.serves_for().is_zero()
    }

    pub(crate) fn is_vouched(&self) -> bool {
        !self.standing.vouched_for().is_zero()
    }
}
