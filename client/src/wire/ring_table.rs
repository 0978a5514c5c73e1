//! A ring's table as it travels, and its way to and from [`lockring_core::RingTable`].

use lockring_core::{MemberName, Moving, RingName, RingTable, SlotRange, TableParts};
use serde::{Deserialize, Serialize};

use super::rings::{MemberState, Placement, RingHash};

/// 200 to `GET /v1/rings/{ring}/table`, and part of the events of a watch.
///
/// ```
/// use lockring_client::wire::RingTableBody;
///
/// let body = r#"{"ring":"cache","hash":"crc16","epoch":4,
///   "ranges":[[0,8191,["a","b"]],[8192,16383,["b","a"]]],
///   "moving":[{"first":0,"last":9,"from":"b","to":"a"}],
///   "epochs":[[0,9,4],[10,16383,2]]}"#;
/// let body: RingTableBody = serde_json::from_str(body)?;
/// let table = body.table()?;
/// assert_eq!(table.owner(3).map(|member| member.as_str()), Some("a"));
/// assert_eq!(table.moving_from(3).map(|member| member.as_str()), Some("b"));
/// assert_eq!(table.slot_epoch(3), 4);
/// assert_eq!(RingTableBody::of(&table), body);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RingTableBody {
    /// Which ring's it is.
    pub ring: String,
    /// How a key becomes a slot.
    pub hash: RingHash,
    /// The number of the ring's change that made it.
    pub epoch: u64,
    /// `[first, last, [member, …]]`: whom to ask for these slots, the owner first. A moving range
    /// is listed under its new owner.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<serde_json::Value>>))]
    pub ranges: Vec<(u16, u16, Vec<String>)>,
    /// What moves. `from` may serve it until it has released it or its session has ended; only
    /// then may `to`.
    pub moving: Vec<MovingRange>,
    /// `[first, last, epoch]`: the fencing token of each slot, which rises with each change of
    /// its owner.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<u64>>))]
    pub epochs: Vec<(u16, u16, u64)>,
}

/// Slots on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MovingRange {
    /// The first of them.
    pub first: u16,
    /// The last of them.
    pub last: u16,
    /// Who may still serve them.
    pub from: String,
    /// Whose they are then; null if nobody is there to have them.
    pub to: Option<String>,
}

/// Why a table's body is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ring's table {0}")]
pub struct RingTableError(String);

fn wrong(why: impl std::fmt::Display) -> RingTableError {
    RingTableError(why.to_string())
}

impl RingTableBody {
    /// A whole table.
    #[must_use]
    pub fn of(table: &RingTable) -> Self {
        Self::of_parts(table, table.parts())
    }

    /// What makes a table out of an earlier one.
    #[must_use]
    pub fn since(table: &RingTable, earlier: &RingTable) -> Self {
        Self::of_parts(table, table.since(earlier))
    }

    fn of_parts(table: &RingTable, parts: TableParts) -> Self {
        let ranges = parts.lists.into_iter().map(|(range, list)| {
            let list = list.iter().map(|member| member.as_str().to_owned());
            (range.first(), range.last(), list.collect())
        });
        let moving = parts.moving.into_iter().map(|moving| MovingRange {
            first: moving.range.first(),
            last: moving.range.last(),
            from: moving.from.as_str().to_owned(),
            to: moving.to.map(|to| to.as_str().to_owned()),
        });
        let epochs = parts.epochs.into_iter();
        let epochs = epochs.map(|(range, epoch)| (range.first(), range.last(), epoch));
        Self {
            ring: table.ring().as_str().to_owned(),
            hash: table.hash().into(),
            epoch: table.epoch(),
            ranges: ranges.collect(),
            moving: moving.collect(),
            epochs: epochs.collect(),
        }
    }

    /// The table that this is the whole of.
    ///
    /// # Errors
    /// [`RingTableError`] when it leaves something out, or names what cannot be.
    pub fn table(&self) -> Result<RingTable, RingTableError> {
        let ring = RingName::parse(&self.ring).map_err(wrong)?;
        RingTable::new(ring, self.hash.into(), self.epoch, &self.parts()?).map_err(wrong)
    }

    /// The table that this makes out of an earlier one.
    ///
    /// # Errors
    /// [`RingTableError`] when it names what cannot be.
    pub fn change(&self, earlier: &RingTable) -> Result<RingTable, RingTableError> {
        let same = earlier.ring().as_str() == self.ring && earlier.hash() == self.hash.into();
        if !same {
            return Err(wrong("is of another ring"));
        }
        earlier.changed(self.epoch, &self.parts()?).map_err(wrong)
    }

    fn parts(&self) -> Result<TableParts, RingTableError> {
        let mut parts = TableParts::default();
        for (first, last, members) in &self.ranges {
            let range = SlotRange::new(*first, *last).map_err(wrong)?;
            let list: Result<_, _> = members.iter().map(|m| MemberName::parse(m)).collect();
            parts.lists.push((range, list.map_err(wrong)?));
        }
        for moving in &self.moving {
            let to = moving.to.as_deref().map(MemberName::parse);
            parts.moving.push(Moving {
                range: SlotRange::new(moving.first, moving.last).map_err(wrong)?,
                from: MemberName::parse(&moving.from).map_err(wrong)?,
                to: to.transpose().map_err(wrong)?,
            });
        }
        for (first, last, epoch) in &self.epochs {
            let range = SlotRange::new(*first, *last).map_err(wrong)?;
            parts.epochs.push((range, *epoch));
        }
        Ok(parts)
    }
}

impl From<lockring_core::RingHash> for RingHash {
    fn from(hash: lockring_core::RingHash) -> Self {
        match hash {
            lockring_core::RingHash::Sha1 => Self::Sha1,
            lockring_core::RingHash::Crc16 => Self::Crc16,
        }
    }
}

impl From<RingHash> for lockring_core::RingHash {
    fn from(hash: RingHash) -> Self {
        match hash {
            RingHash::Sha1 => Self::Sha1,
            RingHash::Crc16 => Self::Crc16,
        }
    }
}

impl From<lockring_core::Placement> for Placement {
    fn from(placement: lockring_core::Placement) -> Self {
        match placement {
            lockring_core::Placement::Points => Self::Points,
            lockring_core::Placement::Exact => Self::Exact,
        }
    }
}

impl From<Placement> for lockring_core::Placement {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Points => Self::Points,
            Placement::Exact => Self::Exact,
        }
    }
}

impl From<lockring_core::MemberState> for MemberState {
    fn from(state: lockring_core::MemberState) -> Self {
        use lockring_core::MemberState as Core;
        match state {
            Core::Joining => Self::Joining,
            Core::Ready => Self::Ready,
            Core::Active => Self::Active,
            Core::Draining => Self::Draining,
            Core::Down => Self::Down,
            Core::Removed => Self::Removed,
        }
    }
}
