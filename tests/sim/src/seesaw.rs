//! A leader that falls, and leads again within a second.
//!
//! It is cut off, or stands still, until another leads. Cut off, it believes for a while that it
//! leads, and answers. Standing still, it wakes up in a term that is over, and may stamp what was
//! asked of it meanwhile by a clock that went on, while the other leader's began where the log
//! ended. Then it is given the lead back, and what it stamped must not count any more. The longer
//! nobody leads in between, the further ahead it is, so the others are kept apart for a while.

use lockring_core::NodeId;

use crate::dice::Dice;
use crate::faults::{apart, ids};
use crate::world::World;

/// So long it takes at most until another leads and the lead is handed back.
const LASTS_MS: u64 = 2_600;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Seesaw {
    /// Who is to lead again.
    id: NodeId,
    begun_ms: u64,
    /// How long nobody hears anybody.
    apart_ms: u64,
    /// How long after another leads it is back.
    back_ms: u64,
    /// How long after that it is handed the lead.
    hand_ms: u64,
    /// Since when another leads.
    since_ms: Option<u64>,
}

impl Seesaw {
    /// Takes the leader away, if there is one, or the first node.
    pub(crate) fn begin(world: &mut World, dice: &mut Dice) -> Self {
        let at = world.leader().unwrap_or(0);
        let id = world.nodes[at].id;
        let stands = dice.coin();
        if stands {
            world.nodes[at].paused_until_ms = world.now_ms + LASTS_MS;
        }
        let links = apart(&ids(world), |one, other| stands || one == id || other == id);
        world.net.cut_only(links);
        Self {
            id,
            begun_ms: world.now_ms,
            apart_ms: if stands { dice.between(1, 1_000) } else { 0 },
            back_ms: dice.between(0, if stands { 20 } else { 800 }),
            hand_ms: dice.between(0, 250),
            since_ms: None,
        }
    }

    /// How long it takes at most.
    pub(crate) const fn lasts_ms(&self) -> u64 {
        LASTS_MS
    }

    /// A millisecond of it. Answers whether it is over.
    pub(crate) fn swing(&mut self, world: &mut World) -> bool {
        let now_ms = world.now_ms;
        let over = now_ms >= self.begun_ms + LASTS_MS;
        let leader = world.leader();
        let other = leader.filter(|at| world.nodes[*at].id != self.id);
        if self.since_ms.is_some() && leader.is_some() && other.is_none() {
            return true;
        }
        if self.since_ms.is_none() && other.is_some() {
            self.since_ms = Some(now_ms);
        }
        if now_ms == self.begun_ms + self.apart_ms {
            world.net.cut_only([]);
        }
        let since_ms = self.since_ms.unwrap_or(u64::MAX / 2);
        if over || now_ms == since_ms + self.back_ms {
            world.nodes[self.id as usize - 1].paused_until_ms = 0;
            world.net.cut_only([]);
        }
        let handed_ms = since_ms + self.back_ms + self.hand_ms;
        if let Some(leader) = other
            && now_ms > handed_ms
            && now_ms.is_multiple_of(5)
        {
            let (by, to) = (&world.nodes[leader], self.id);
            let life = by.life.as_ref().expect("it leads");
            let replica = life.replica.clone();
            life.runtime.spawn(async move {
                let _ = replica.transfer(Some(to)).await;
            });
        }
        over
    }
}
