//! Rings: which member owns which key, decided once and known to all.
//!
//! *The mechanism.* `key → hash → slot (0…16383) → table → member`. The table is data in the
//! replicated machine, under an epoch. So every client looks up offline, every observer of an
//! epoch sees the same owner, and movement and balance are numbers and not hopes.
//!
//! *Two choices*, independent of each other: how a key becomes a slot (`RingHash`) and how slots
//! become members (`Placement`).
//!
//! *Members* are bound to sessions ([`member`]). *Who may serve a slot, and when that may change*
//! is told in [`ownership`]; *when nothing moves*, in [`storm`]. A table that a client can hold is
//! a [`RingTable`].
//!
//! It does not watch members (sessions do), does not know what a member does with its slots, and
//! does not replicate anything between members: a preference list says whom to ask next.

mod audit;
mod forecast;
mod journal;
mod member;
mod ownership;
mod plan;
mod point;
mod prefer;
mod roster;
mod slots;
mod spec;
mod storm;
mod table;
#[cfg(test)]
mod tests;
mod view;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::command::RingOp;
use crate::event::{RingChange, RingEvent};
use crate::limits;
use crate::name::{MemberName, RingName, SessionId};
use crate::outcome::{Limit, Refusal, RingOutcome, RingRefusal};
use crate::planted::{self, Plant};
use crate::time::ClusterTime;
use journal::{Journal, Owners};
use member::Member;
use roster::Join;
use slots::{NOBODY, Slots};
use storm::Hold;

pub use forecast::{PlanChange, PlanError, RingPlan};
pub use journal::{RingDiff, RingMove};
pub use member::MemberState;
pub(crate) use roster::Loss;
pub use spec::RingSpec;
pub use table::{Moving, RingTable, TableError, TableParts};
pub use view::{Balance, MemberView, RingState, RingView};

/// A member's number in one ring.
pub(crate) type Seat = u16;

/// One ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ring {
    pub(crate) name: RingName,
    pub(crate) spec: RingSpec,
    /// The number of its last change.
    pub(crate) epoch: u64,
    pub(crate) members: BTreeMap<Seat, Member>,
    pub(crate) slots: Slots,
    pub(crate) hold: Hold,
    pub(crate) journal: Journal,
    /// Whether the plan has not followed the members yet.
    pub(crate) replan: bool,
    /// What the epoch under way has changed; empty between applies.
    #[serde(skip)]
    changes: Vec<RingChange>,
}

impl Ring {
    fn new(name: RingName) -> Self {
        Self {
            name,
            spec: RingSpec::default(),
            epoch: 0,
            members: BTreeMap::new(),
            slots: Slots::new(),
            hold: Hold::default(),
            journal: Journal::default(),
            replan: false,
            changes: Vec::new(),
        }
    }

    pub(crate) fn seat_of(&self, name: &MemberName) -> Option<Seat> {
        let found = self.members.iter().find(|(_, member)| member.name == *name);
        found.map(|(seat, _)| *seat)
    }

    /// Ends an epoch: settles, and if anything has changed since the last one, numbers it, notes
    /// what moved, and returns what the world is to be told.
    fn finish(&mut self, before: &Self, clock: ClusterTime) -> Option<RingEvent> {
        self.settle(clock);
        if self.changes.is_empty() {
            return None;
        }
        self.epoch += u64::from(!planted::is(Plant::EpochNotBumped));
        if before.slots.owner != self.slots.owner {
            let (epoch, was, is) = (self.epoch, before.owners(), self.owners());
            let mut journal = self.journal.clone();
            journal.note(epoch, &was, &is);
            self.journal = journal;
        }
        Some(RingEvent {
            ring: self.name.clone(),
            epoch: self.epoch,
            changes: core::mem::take(&mut self.changes),
        })
    }

    fn owners(&self) -> Owners<'_> {
        self.named(&self.slots.owner)
    }

    /// Whose each slot is, by name.
    fn named(&self, owners: &[Seat]) -> Owners<'_> {
        let seats = self.members.keys().next_back().map_or(0, |seat| seat + 1);
        let mut names = vec![None; usize::from(seats)];
        for (seat, member) in &self.members {
            names[usize::from(*seat)] = Some(&member.name);
        }
        let name = |seat: &Seat| names.get(usize::from(*seat)).copied().flatten();
        owners.iter().map(name).collect()
    }

    fn configure(&mut self, spec: RingSpec) -> Result<(), RingRefusal> {
        if spec.hash != self.spec.hash && !self.members.is_empty() {
            let hash = self.spec.hash;
            return Err(RingRefusal::HashInUse { hash });
        }
        if spec != self.spec || self.epoch == 0 {
            self.replan |= spec.placement != self.spec.placement;
            self.spec = spec;
            self.changes.push(RingChange::Configured);
        }
        Ok(())
    }

    fn freeze(&mut self, reason: &str) {
        if self.hold.frozen.as_deref() != Some(reason) {
            self.hold.frozen = Some(reason.into());
            self.changes.push(RingChange::Frozen(reason.into()));
        }
    }

    fn unfreeze(&mut self, reason: &str) {
        if !self.hold.is_on() {
            return;
        }
        self.hold = Hold::default();
        self.replan = true;
        self.changes.push(RingChange::Unfrozen(reason.into()));
    }
}

/// All rings. Each is shared with snapshots until it changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<RingName, Arc<Ring>>,
    /// Members by session; follows from the rows.
    by_session: BTreeMap<(SessionId, RingName), u32>,
}

/// What a call, a loss or an alarm came to.
pub(crate) struct Turned {
    pub(crate) outcome: RingOutcome,
    pub(crate) event: Option<RingEvent>,
}

impl Table {
    /// The table that these rows make; what follows from them is made again.
    pub(crate) fn rebuild(rows: BTreeMap<RingName, Ring>) -> Self {
        let mut table = Self::default();
        for (name, mut ring) in rows {
            for member in ring.members.values_mut() {
                member.points = point::points(&name, &member.name, member.weight);
            }
            table.bind(&ring);
            table.rows.insert(name, Arc::new(ring));
        }
        table
    }

    fn bind(&mut self, ring: &Ring) {
        for member in ring.members.values().filter(|member| member.is_alive()) {
            let key = (member.session, ring.name.clone());
            *self.by_session.entry(key).or_default() += 1;
        }
    }

    fn unbind(&mut self, ring: &Ring) {
        for member in ring.members.values().filter(|member| member.is_alive()) {
            self.by_session.remove(&(member.session, ring.name.clone()));
        }
    }

    pub(crate) fn get(&self, ring: &RingName) -> Option<&Ring> {
        self.rows.get(ring).map(Arc::as_ref)
    }

    /// How many of a ring's members a session is, for the audit.
    pub(crate) fn bound(&self, session: SessionId, ring: &RingName) -> u32 {
        let key = (session, ring.clone());
        self.by_session.get(&key).copied().unwrap_or_default()
    }

    /// How many pairs of session and ring there are, for the audit.
    pub(crate) fn bound_len(&self) -> usize {
        self.by_session.len()
    }

    /// The rings that a session has members on.
    pub(crate) fn rings_of(&self, session: SessionId) -> Vec<RingName> {
        self.by_session
            .range((session, RingName::floor())..)
            .take_while(|((of, _), _)| *of == session)
            .map(|((_, ring), _)| ring.clone())
            .collect()
    }

    /// Changes one ring and ends its epoch. A ring that a refused call would have changed is as it
    /// was.
    fn change<R>(
        &mut self,
        name: &RingName,
        clock: ClusterTime,
        change: impl FnOnce(&mut Ring) -> Result<R, Refusal>,
    ) -> Result<(R, Option<RingEvent>), Refusal> {
        let no_ring = Refusal::Ring(RingRefusal::NoRing);
        let before = self.rows.get(name).cloned().ok_or(no_ring)?;
        let mut ring = Ring::clone(&before);
        let done = change(&mut ring)?;
        let event = ring.finish(&before, clock);
        self.unbind(&before);
        self.bind(&ring);
        self.rows.insert(name.clone(), Arc::new(ring));
        Ok((done, event))
    }

    /// Does what a call asks.
    pub(crate) fn run(&mut self, op: &RingOp, clock: ClusterTime) -> Result<Turned, Refusal> {
        let name = op.ring();
        if let RingOp::Configure { .. } = op
            && !self.rows.contains_key(name)
        {
            if self.rows.len() >= limits::RINGS_MAX {
                let limit = Limit::Rings;
                return Err(Refusal::Limit { limit });
            }
            self.rows
                .insert(name.clone(), Arc::new(Ring::new(name.clone())));
        }
        let (released, event) = self.change(name, clock, |ring| ask(ring, op))?;
        let epoch = self.rows[name].epoch;
        let outcome = RingOutcome { epoch, released };
        Ok(Turned { outcome, event })
    }

    /// A session has ended: its members on this ring are lost.
    pub(crate) fn lose(
        &mut self,
        session: SessionId,
        name: &RingName,
        loss: Loss,
    ) -> Option<RingEvent> {
        let lost = self.change(name, loss.at, |ring| {
            let seats: Vec<Seat> = ring
                .members
                .iter()
                .filter(|(_, member)| member.is_alive() && member.session == session)
                .map(|(seat, _)| *seat)
                .collect();
            for seat in seats {
                ring.lose(seat, loss);
            }
            Ok(())
        });
        lost.ok().and_then(|((), event)| event)
    }

    /// What time alone changes on a ring is due.
    pub(crate) fn wake(&mut self, name: &RingName, clock: ClusterTime) -> Option<RingEvent> {
        let woken = self.change(name, clock, |_| Ok(()));
        woken.ok().and_then(|((), event)| event)
    }

    /// Leaves out epochs, for a cluster that is restored from a backup: what it told after the
    /// backup is forgotten, and its members may have seen those epochs.
    pub(crate) fn skip_epochs(&mut self, epochs: u64) {
        for ring in self.rows.values_mut() {
            Arc::make_mut(ring).epoch += epochs;
        }
    }
}

/// Does on one ring what a call asks; answers how many slots it released.
fn ask(ring: &mut Ring, op: &RingOp) -> Result<u32, Refusal> {
    let done = match op {
        RingOp::Configure {
            ring: _,
            hash,
            placement,
            replicas,
            reassign_delay_ms,
        } => ring.configure(RingSpec {
            hash: hash.unwrap_or(ring.spec.hash),
            placement: placement.unwrap_or(ring.spec.placement),
            replicas: replicas.map_or(ring.spec.replicas, clamp_replicas),
            reassign_delay_ms: reassign_delay_ms.map_or(ring.spec.reassign_delay_ms, |delay_ms| {
                delay_ms.min(limits::REASSIGN_DELAY_MS_MAX)
            }),
        }),
        RingOp::Join {
            ring: _,
            member,
            session,
            weight,
            zone,
            addresses,
        } => {
            ring.join(&Join {
                member,
                session: *session,
                weight: *weight,
                zone,
                addresses,
            })?;
            Ok(())
        }
        RingOp::Drain {
            ring: _,
            member,
            incarnation,
        } => ring.drain(member, *incarnation, false),
        RingOp::Leave {
            ring: _,
            member,
            incarnation,
        } => ring.drain(member, *incarnation, true),
        RingOp::Release {
            ring: _,
            member,
            session,
            ranges,
            epoch,
        } => {
            let released = ring.release(member, *session, ranges, *epoch);
            return released.map_err(Refusal::Ring);
        }
        RingOp::Freeze { ring: _, reason } => {
            ring.freeze(reason);
            Ok(())
        }
        RingOp::Unfreeze { ring: _, reason } => {
            ring.unfreeze(reason);
            Ok(())
        }
    };
    done.map(|()| 0).map_err(Refusal::Ring)
}

fn clamp_replicas(replicas: u8) -> u8 {
    replicas.clamp(1, limits::REPLICAS_MAX as u8)
}
