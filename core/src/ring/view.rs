//! What readers of a ring are shown.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::forecast::{PlanChange, PlanError, RingPlan};
use super::journal::RingDiff;
use super::member::{Member, MemberState};
use super::prefer::Preferences;
use super::spec::RingSpec;
use super::table::{Moving, RingTable, TableParts};
use super::{Ring, Seat};
use crate::limits::REPLICAS_MAX;
use crate::name::SessionId;
use crate::name::{Addresses, MemberName, RingName, Weight, Zone};
use crate::slot::{SLOTS, runs};

/// One ring at one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingView {
    /// Its name.
    pub ring: RingName,
    /// The number of its last change.
    pub epoch: u64,
    /// What it is asked to be.
    pub spec: RingSpec,
    /// Why an operator froze it, if one did.
    pub frozen: Option<String>,
    /// Whether too much was lost together, and nothing is reassigned for now.
    pub braked: bool,
    /// Whether some preference list has fewer members or zones than asked for.
    pub degraded: bool,
    /// Who is on it, in the order of the names.
    pub members: Vec<MemberView>,
    /// Whose each slot is.
    pub table: RingTable,
    /// How evenly.
    pub balance: Balance,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub member: MemberName,
    /// What it is to the ring.
    pub state: MemberState,
    /// The session whose life is its own; show only its first digits.
    pub session: SessionId,
    /// The epoch in which it joined.
    pub incarnation: u64,
    /// Its weight.
    pub weight: Weight,
    /// Where it is.
    pub zone: Zone,
    /// Where it is reached.
    pub addresses: Addresses,
    /// How many slots it owns.
    pub slots: usize,
    /// Its share of the weight that the plan counts on, in millionths; 0 if the plan does not
    /// count on it.
    pub share_ppm: u32,
}

/// How evenly slots are spread over the members that the plan counts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// The most slots for a unit of weight over the mean, in thousandths; 0 without members.
    pub max_over_mean_milli: u64,
}

impl Balance {
    /// Of these weights and slots.
    pub(super) fn of(rows: impl Iterator<Item = (u64, usize)> + Clone) -> Self {
        let total: u64 = rows.clone().map(|(weight, _)| weight).sum();
        let most =
            rows.map(|(weight, slots)| slots as u64 * total * 1000 / (weight * SLOTS as u64));
        Self {
            max_over_mean_milli: most.max().unwrap_or_default(),
        }
    }
}

impl Ring {
    pub(crate) fn view(&self) -> RingView {
        let wanted = usize::from(self.spec.replicas);
        let preferences = Preferences::new(self);
        let lists: Vec<(_, Vec<Seat>)> = runs(|slot| preferences.list(slot, wanted));
        let degraded = lists
            .iter()
            .any(|(_, list)| preferences.is_degraded(list, wanted));
        let name = |seat: &Seat| self.members[seat].name.clone();
        let moving = runs(|slot| (self.slots.from[slot], self.slots.owner[slot]));
        let parts = TableParts {
            lists: lists
                .iter()
                .map(|(range, list)| (*range, list.iter().map(name).collect()))
                .collect(),
            moving: moving
                .into_iter()
                .filter_map(|(range, (from, to))| {
                    let from = self.members.get(&from)?.name.clone();
                    let to = self.members.get(&to).map(|to| to.name.clone());
                    Some(Moving { range, from, to })
                })
                .collect(),
            epochs: runs(|slot| self.slots.epoch[slot]),
        };
        let table = RingTable::new(self.name.clone(), self.spec.hash, self.epoch, &parts);
        let table = table.expect("a ring's tables cover every slot, and its members are few");
        RingView {
            ring: self.name.clone(),
            epoch: self.epoch,
            spec: self.spec,
            frozen: self.hold.frozen.clone(),
            braked: self.hold.braked.is_some(),
            degraded,
            members: self.member_views(&table),
            balance: self.balance(&self.slots.owner),
            table,
        }
    }

    fn member_views(&self, table: &RingTable) -> Vec<MemberView> {
        let planned = self.members.values().filter(|member| member.is_planned());
        let total: u64 = planned.map(|m| u64::from(m.weight.units())).sum();
        let mut views: Vec<MemberView> = self
            .members
            .values()
            .map(|member| {
                let weight = match member.is_planned() {
                    true => u64::from(member.weight.units()),
                    false => 0,
                };
                let share = (weight * 1_000_000).checked_div(total).unwrap_or_default();
                MemberView {
                    member: member.name.clone(),
                    state: member.state(),
                    session: member.session,
                    incarnation: member.incarnation,
                    weight: member.weight,
                    zone: member.zone.clone(),
                    addresses: member.addresses.clone(),
                    slots: table.slots_of(&member.name),
                    share_ppm: u32::try_from(share).expect("a share is at most a million"),
                }
            })
            .collect();
        views.sort_unstable_by(|a, b| a.member.cmp(&b.member));
        views
    }

    pub(super) fn balance(&self, owners: &[Seat]) -> Balance {
        let seats = self.members.keys().next_back().map_or(0, |seat| seat + 1);
        let mut slots = vec![0; usize::from(seats)];
        for owner in owners {
            if let Some(slots) = slots.get_mut(usize::from(*owner)) {
                *slots += 1;
            }
        }
        let rows = self
            .members
            .iter()
            .filter(|(_, member)| member.is_planned());
        Balance::of(rows.map(|(seat, member): (&Seat, &Member)| {
            (u64::from(member.weight.units()), slots[usize::from(*seat)])
        }))
    }

    /// Whom to ask for each of these slots, at most `wanted` members.
    fn lists(&self, slots: &[u16], wanted: usize) -> Vec<Vec<MemberName>> {
        let preferences = Preferences::new(self);
        let name = |seat: Seat| self.members[&seat].name.clone();
        slots
            .iter()
            .map(|slot| {
                let list = preferences.list(usize::from(*slot), wanted);
                list.into_iter().map(name).collect()
            })
            .collect()
    }
}

/// One ring as it was at one revision: shared with the machine, which goes on without it.
#[derive(Clone, Debug)]
pub struct RingState(Arc<Ring>);

impl RingState {
    pub(crate) const fn new(ring: Arc<Ring>) -> Self {
        Self(ring)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RingName {
        &self.0.name
    }

    /// The number of its last change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// All that readers are shown. It costs a few milliseconds for a ring of a hundred members.
    #[must_use]
    pub fn view(&self) -> RingView {
        self.0.view()
    }

    /// The slots of these keys, and whom to ask for each: at most `wanted` members, or as many as
    /// the ring has replicas.
    #[must_use]
    pub fn look_up(&self, keys: &[&[u8]], wanted: Option<usize>) -> Vec<(u16, Vec<MemberName>)> {
        let RingSpec { hash, replicas, .. } = self.0.spec;
        let slots: Vec<u16> = keys.iter().map(|key| hash.slot(key)).collect();
        let wanted = wanted.unwrap_or(usize::from(replicas)).min(REPLICAS_MAX);
        let lists = self.0.lists(&slots, wanted);
        slots.into_iter().zip(lists).collect()
    }

    /// A dry run: what changes of members would come to.
    ///
    /// # Errors
    /// [`PlanError`] when they cannot be made.
    pub fn plan(&self, changes: &[PlanChange]) -> Result<RingPlan, PlanError> {
        self.0.forecast(changes)
    }

    /// What moved between the tables of two epochs.
    ///
    /// # Errors
    /// The oldest epoch that is kept, if one of these is older.
    pub fn diff(&self, from: u64, to: u64) -> Result<RingDiff, u64> {
        let diff = self.0.journal.diff(from, to, &self.0.owners());
        diff.ok_or(self.0.journal.oldest())
    }
}
