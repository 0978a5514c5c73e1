//! Rings: who is on them, whose each key is, and what would move.
//!
//! A slot is a number from 0 to 16383. Ranges of slots are written `[first, last]`, both ends
//! among them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Consistency;
use super::ring_table::RingTableBody;

/// How a key becomes a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RingHash {
    /// The first 14 bits of SHA-1(key).
    #[default]
    Sha1,
    /// CRC16(key or its `{tag}`) mod 16384, as Redis Cluster has it.
    Crc16,
}

/// How slots become members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Placement {
    /// Consistent hashing: a pure function of who is on the ring.
    #[default]
    Points,
    /// A plan that keeps everybody within one slot of its share by the fewest possible moves.
    Exact,
}

/// Body of `PUT /v1/rings/{ring}`: makes the ring, or changes what is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigureRing {
    /// `sha1` if not said; it can change only while the ring has no members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<RingHash>,
    /// `points` if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// How many members a preference list has, 1–16; 1 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u8>,
    /// How long a lost member's slots are kept for it; 10 000 if not said, at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reassign_delay_ms: Option<u64>,
}

/// A ring: 200 to `GET` and `PUT /v1/rings/{ring}`. Its `ETag` is the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ring {
    /// Its name.
    pub ring: String,
    /// The number of its last change.
    pub epoch: u64,
    /// How a key becomes a slot.
    pub hash: RingHash,
    /// How slots become members.
    pub placement: Placement,
    /// How many members a preference list has.
    pub replicas: u8,
    /// How long a lost member's slots are kept for it.
    pub reassign_delay_ms: u64,
    /// A number for who owns what, in hexadecimal digits: the same for all observers of an epoch.
    pub digest: String,
    /// Whether nothing moves for now: an operator froze the ring, or a storm braked it.
    pub frozen: bool,
    /// Why the operator froze it; absent for a storm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether some preference list has fewer members or zones than asked for.
    pub degraded: bool,
    /// Who is on it, in the order of the names.
    pub members: Vec<RingMember>,
    /// How many slots are moving.
    pub moving: u32,
    /// How evenly the slots are spread.
    pub balance: Balance,
}

/// How evenly slots are spread over the members that the plan counts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Balance {
    /// The most slots for a unit of weight over the mean; 1 is even, 0 is of an empty ring.
    pub max_over_mean: f64,
}

/// What a member is to its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MemberState {
    /// On the ring, not in the plan: the ring is frozen or braked.
    Joining,
    /// In the plan, and not yet owner of all that it gives it.
    Ready,
    /// Owner of all that the plan gives it.
    Active,
    /// Handing over what it has.
    Draining,
    /// Its session has ended; its slots are kept for it for a while.
    Down,
    /// Gone, and the ring is frozen or braked before its slots found new owners.
    Removed,
}

/// One member of a ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RingMember {
    /// Its name.
    pub member: String,
    /// What it is to the ring.
    pub state: MemberState,
    /// The first eight digits of the session whose life is its own.
    pub session: String,
    /// The epoch in which it joined; another one is another life of the member.
    pub incarnation: u64,
    /// Its weight.
    pub weight: u16,
    /// Where it is; empty if not said.
    pub zone: String,
    /// Where it is reached: what for, and the address.
    pub addresses: BTreeMap<String, String>,
    /// How many slots it owns.
    pub slots: u32,
    /// The part of the ring that its weight is due; 0 while the plan does not count on it.
    pub share: f64,
}

/// 200 to `GET /v1/rings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RingList {
    /// All rings, in the order of the names.
    pub rings: Vec<RingRow>,
}

/// One ring in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RingRow {
    /// Its name.
    pub ring: String,
    /// The number of its last change.
    pub epoch: u64,
}

/// Body of `PUT /v1/rings/{ring}/members/{member}`: brings a member onto the ring, or changes
/// what it is listed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinRing {
    /// The session whose life is the member's.
    pub session: String,
    /// 1–1024; 1 if not said. Twice the weight, twice the slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Where it is, at most 64 bytes. Preference lists spread over zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where it is reached: at most eight, each at most 256 bytes.
    #[serde(default)]
    pub addresses: BTreeMap<String, String>,
}

/// 200 to the calls that change a ring: it is as asked, and was so in this epoch at the latest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RingChanged {
    /// The ring's epoch after the call.
    pub epoch: u64,
}

/// Body of `POST /v1/rings/{ring}/release`: the member no longer serves these slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseSlots {
    /// Who.
    pub member: String,
    /// Its session, whole.
    pub session: String,
    /// Which slots, as `[first, last]`; those that do not move away from it are passed over.
    pub ranges: Vec<(u16, u16)>,
    /// The epoch of the table that it followed: a later move of a slot waits for another release.
    pub epoch: u64,
}

/// 200 to a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotsReleased {
    /// The ring's epoch after it.
    pub epoch: u64,
    /// How many slots it was for; 0 for a repetition.
    pub released: u32,
}

/// Query of `GET /v1/rings/{ring}/lookup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct LookupQuery {
    /// Whose key.
    pub key: String,
    /// How many members, 1–16; as many as the ring has replicas if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u8>,
    /// Linearizable if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Waits until the view reflects at least this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<u64>,
}

/// Of `POST …/members/{member}/drain` and `DELETE …/members/{member}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct MemberQuery {
    /// Which incarnation of the member is meant; whichever there is, if not said. One that names it
    /// is refused as `fence_stale` when the member has come back with another meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

/// Body of `POST /v1/rings/{ring}/lookup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lookup {
    /// Whose keys, at most 10 000.
    pub keys: Vec<String>,
    /// How many members each, 1–16; as many as the ring has replicas if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u8>,
}

/// 200 to a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assignments {
    /// The epoch that it is of.
    pub epoch: u64,
    /// One a key, in the order asked.
    pub assignments: Vec<Assignment>,
}

/// Whose one key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assignment {
    /// The key.
    pub key: String,
    /// Its slot.
    pub slot: u16,
    /// Whom to ask, the owner first; nobody if the ring is empty.
    pub members: Vec<String>,
}

/// Body of `POST /v1/rings/{ring}/plan`: a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanRing {
    /// What would change, one after the other; at most 1024.
    pub changes: Vec<PlanChange>,
}

/// One change of a dry run. Exactly one of `join`, `drain`, `leave` and `member` names whom it is
/// about; `weight` and `zone` go with `join`, `weight` with `member`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanChange {
    /// It joins, with `weight` (1 if not said) and `zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// It is drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
    /// It leaves, or is lost for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<String>,
    /// It has another `weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// See `join` and `member`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// See `join`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// 200 to a plan: what the changes would come to when all has moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Planned {
    /// The epoch that it begins from.
    pub epoch: u64,
    /// How many slots would move.
    pub moved_slots: u32,
    /// Which part of all.
    pub fraction: f64,
    /// From whom, to whom.
    pub moves: Vec<SlotMoves>,
    /// How even the plan in force is.
    pub balance_before: Balance,
    /// How even it would be.
    pub balance_after: Balance,
    /// The digest that the ring would have.
    pub digest: String,
}

/// Slots that go from one owner to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotMoves {
    /// Whose they were; null if nobody's.
    pub from: Option<String>,
    /// Whose they are then; null if nobody's.
    pub to: Option<String>,
    /// Which, as `[first, last]`.
    pub ranges: Vec<(u16, u16)>,
}

/// Query of `GET /v1/rings/{ring}/diff`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct DiffQuery {
    /// The epoch to begin at.
    pub from: u64,
    /// The epoch to end at; the newest if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// 200 to a diff: what moved between two epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RingDiff {
    /// The epoch that it begins at.
    pub from: u64,
    /// The epoch that it ends at.
    pub to: u64,
    /// How many slots have another owner.
    pub moved_slots: u32,
    /// Which part of all.
    pub fraction: f64,
    /// From whom, to whom.
    pub moves: Vec<SlotMoves>,
}

/// Body of `POST /v1/rings/{ring}/freeze` and `/unfreeze`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FreezeRing {
    /// Why, 1–256 bytes.
    pub reason: String,
}

/// Query of `GET /v1/rings/{ring}/watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct RingWatchQuery {
    /// The epoch of the table that is known. `Last-Event-ID` goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Data of the events of `GET /v1/rings/{ring}/watch`. Their id is the epoch.
///
/// The first is `table`, unless `Last-Event-ID` is the newest epoch; then a `change` for each
/// time the ring was seen changed. Changes that come fast may be told as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RingEvent {
    /// The epoch of the table that this changes; absent if the table is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The ring.
    pub ring: Ring,
    /// The table: whole, or the ranges and slot epochs that differ and all that moves.
    pub table: RingTableBody,
}

impl std::fmt::Display for RingHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "sha1",
            Self::Crc16 => "crc16",
        })
    }
}

impl std::fmt::Display for Placement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Points => "points",
            Self::Exact => "exact",
        })
    }
}

impl std::fmt::Display for MemberState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Removed => "removed",
        })
    }
}
