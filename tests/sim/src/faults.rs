//! The nemesis: what goes wrong, when, by the seed.
//!
//! **Swarm.** Each seed turns a part of the kinds on and leaves the others off: faults that are
//! always all there mask each other.
//!
//! **The atlas.** A fault must be one that the promises cover, or its result says nothing. A disk
//! whose contents are lost or damaged makes its node *at risk*; no other disk is lost until that
//! node has been replaced and has caught up, so no entry ever loses its last copy. Power cuts and
//! failed flushes lose only what nobody was told is safe, and are not counted.

use lockring::storage::disk::Tear;
use lockring_core::NodeId;

use crate::dice::Dice;
use crate::disk::{Rot, rot};
use crate::kinds::{KINDS, Kind, name};
use crate::net::address;
use crate::node::{LOG_DIR, Node};
use crate::seesaw::Seesaw;
use crate::world::World;

/// How much faster or slower than the world a clock may run, in millionths. Holders allow for one
/// in a hundred between two clocks.
const RATE_OFF: u64 = 4_500;

/// What goes wrong in one run.
#[derive(Debug)]
pub struct Nemesis {
    dice: Dice,
    /// Which kinds are on.
    pub kinds: Vec<Kind>,
    links_heal_at_ms: u64,
    flapping: Option<(Vec<(NodeId, NodeId)>, u64)>,
    slow_until_ms: u64,
    seesaw: Option<Seesaw>,
    next_ms: u64,
}

impl Nemesis {
    /// The nemesis of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::of(seed, "nemesis");
        let odds = dice.between(250_000, 700_000);
        let kinds = KINDS.into_iter().filter(|_| dice.hits(odds)).collect();
        Self::of(seed, kinds)
    }

    /// One with these kinds.
    #[must_use]
    pub fn of(seed: u64, kinds: Vec<Kind>) -> Self {
        Self {
            dice: Dice::of(seed, "faults"),
            kinds,
            links_heal_at_ms: 0,
            flapping: None,
            slow_until_ms: 0,
            seesaw: None,
            next_ms: 1_500,
        }
    }

    fn is_on(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// What is so from the beginning.
    pub fn begin(&mut self, world: &mut World) {
        if self.is_on(Kind::Delay) {
            let most = self.dice.between(3, 40);
            world.net.set_latency(1, most);
        }
        if self.is_on(Kind::Rates) {
            for node in &mut world.nodes {
                let off = self.dice.between(0, 2 * RATE_OFF);
                node.rate = 1_000_000 - RATE_OFF + off;
            }
        }
        if self.is_on(Kind::LostAnswers) {
            world.answers_lost = 100_000;
        }
    }

    /// Does harm, if it is time.
    pub fn act(&mut self, world: &mut World) {
        self.go_on(world);
        if world.now_ms < self.next_ms || self.kinds.is_empty() {
            return;
        }
        self.next_ms = world.now_ms + self.dice.between(20, 900);
        let kind = *self.dice.pick(&self.kinds);
        self.harm(kind, world);
    }

    /// Faults that end, or go on, by themselves.
    fn go_on(&mut self, world: &mut World) {
        let now_ms = world.now_ms;
        if self.links_heal_at_ms == now_ms {
            world.net.cut_only([]);
            self.flapping = None;
        }
        if let Some((links, every_ms)) = &self.flapping {
            let whole = (now_ms / every_ms).is_multiple_of(2);
            world
                .net
                .cut_only(if whole { Vec::new() } else { links.clone() });
        }
        if self.slow_until_ms == now_ms {
            world.net.speed_up();
            for node in &world.nodes {
                node.sync_ms_max
                    .store(2, std::sync::atomic::Ordering::Relaxed);
            }
        }
        if self.seesaw.as_mut().is_some_and(|it| it.swing(world)) {
            self.seesaw = None;
        }
        if now_ms.is_multiple_of(250) {
            bring_back(world);
        }
    }

    fn harm(&mut self, kind: Kind, world: &mut World) {
        let Some(at) = self.victim(world) else { return };
        let now_ms = world.now_ms;
        match kind {
            Kind::Delay | Kind::Rates | Kind::LostAnswers => return,
            Kind::SlowLink => {
                let from = world.nodes[at].id;
                let ids = ids(world);
                let to = *self.dice.pick(&ids);
                world.net.slow_down(from, to, self.dice.between(50, 1_500));
                self.slow_until_ms = now_ms + self.dice.between(200, 3_000);
            }
            Kind::Break => world.net.break_some(self.dice.between(100_000, 900_000)),
            Kind::Partition => self.part(world, at),
            Kind::Kill => {
                let all = self.dice.hits(150_000);
                for victim in 0..world.nodes.len() {
                    if (victim == at || all) && world.nodes[victim].life.is_some() {
                        world.kill(victim, self.dice.between(10, 2_000));
                    }
                }
            }
            Kind::PowerCut => self.cut_power(world, at),
            Kind::Pause => {
                world.nodes[at].paused_until_ms = now_ms + self.dice.between(20, 4_000);
            }
            Kind::Stutter => {
                let at = world.leader().unwrap_or(at);
                world.nodes[at].paused_until_ms = now_ms + self.dice.between(20, 280);
                // Once is not enough to be noticed.
                self.next_ms = now_ms + self.dice.between(20, 400);
            }
            Kind::Seesaw => {
                self.flapping = None;
                let seesaw = Seesaw::begin(world, &mut self.dice);
                self.next_ms = now_ms + seesaw.lasts_ms() + self.dice.between(0, 500);
                self.seesaw = Some(seesaw);
            }
            Kind::SlowSync => {
                let most = self.dice.between(20, 1_000);
                let slow = &world.nodes[at].sync_ms_max;
                slow.store(most, std::sync::atomic::Ordering::Relaxed);
                self.slow_until_ms = now_ms + self.dice.between(200, 3_000);
            }
            Kind::FullDisk | Kind::FailedSync => self.fail_disk(kind, &mut world.nodes[at]),
            Kind::Rot => self.rot(world, at),
            Kind::WallJumps => {
                let by = self.dice.between(0, 20_000_000) as i64 - 10_000_000;
                let off = &world.nodes[at].wall_off;
                off.store(by, std::sync::atomic::Ordering::Relaxed);
            }
            Kind::Members => self.change_members(world),
        }
        world.count(name(kind));
    }

    /// A node that runs; often the one that leads.
    fn victim(&mut self, world: &World) -> Option<usize> {
        let up: Vec<usize> = (0..world.nodes.len())
            .filter(|at| world.nodes[*at].life.is_some())
            .collect();
        if up.is_empty() {
            return None;
        }
        match world.leader() {
            Some(leader) if self.dice.coin() => Some(leader),
            _ => Some(*self.dice.pick(&up)),
        }
    }

    fn part(&mut self, world: &mut World, at: usize) {
        let ids = ids(world);
        let alone = world.nodes[at].id;
        let links = match self.dice.between(0, 6) {
            0 => halves(&ids, &mut self.dice),
            1 => apart(&ids, |one, other| one == alone || other == alone),
            // It hears, and is not heard; or the other way round.
            2 => apart(&ids, |from, _| from == alone),
            3 => apart(&ids, |_, to| to == alone),
            // Two halves, and one node that sees both.
            4 => apart(&ids, |one, other| {
                one != alone && other != alone && (one < alone) != (other < alone)
            }),
            // Each sees its neighbours, so majorities differ.
            5 => apart(&ids, |one, other| {
                let count = ids.len() as u64;
                let distance = one.abs_diff(other);
                distance.min(count - distance) > count / 4
            }),
            _ => {
                let links = halves(&ids, &mut self.dice);
                self.flapping = Some((links.clone(), self.dice.between(20, 400)));
                links
            }
        };
        world.net.cut_only(links);
        self.links_heal_at_ms = world.now_ms + self.dice.between(100, 4_000);
    }

    fn cut_power(&mut self, world: &mut World, at: usize) {
        let all = self.dice.hits(200_000);
        for victim in 0..world.nodes.len() {
            let Some(life) = &world.nodes[victim].life else {
                continue;
            };
            if victim == at || all {
                let tear = match self.dice.between(0, 3) {
                    0 => Tear::Nothing,
                    1 => Tear::Prefix(self.dice.between(0, 600) as usize),
                    2 => Tear::Everything,
                    _ => Tear::Sectors(self.dice.number() as u64),
                };
                life.disk.cut_power_after(self.dice.between(0, 12), tear);
            }
        }
    }

    fn fail_disk(&mut self, kind: Kind, node: &mut Node) {
        let Some(life) = &node.life else { return };
        node.disk_fault = true;
        match kind {
            Kind::FullDisk => life.disk.leave_free(self.dice.between(0, 20_000)),
            _ => life.disk.fail_sync_after(self.dice.between(0, 20)),
        }
    }

    fn rot(&mut self, world: &mut World, at: usize) {
        let whole = world.nodes[at].id as usize <= world.founders().len();
        if world.at_risk.is_some() || !whole || !is_settled(world) {
            return;
        }
        world.kill(at, self.dice.between(100, 800));
        let node = &world.nodes[at];
        match rot(&node.disk, LOG_DIR.as_ref(), &mut self.dice) {
            Rot::Nothing | Rot::Harmless => {}
            Rot::Refused => world.at_risk = Some(node.id),
            Rot::Believed(what) => {
                let id = node.id;
                world.violations.push(format!(
                    "damage is refused: node {id} takes its damaged log for another one: {what}"
                ));
            }
        }
    }

    fn change_members(&mut self, world: &mut World) {
        let Some(leader) = world.leader() else { return };
        if world.at_risk.is_some() {
            return;
        }
        let founders = world.founders().len();
        let spare = self.dice.pick(&ids(world)[founders..]).to_owned();
        let by = world.nodes[leader].life.as_ref().expect("it leads");
        let (replica, choice) = (by.replica.clone(), self.dice.between(0, 2));
        let member = replica.status().members.iter().any(|it| it.id == spare);
        let at = spare as usize - 1;
        by.runtime.spawn(async move {
            // Whether it happens is not what is tested; that all survives it is.
            let _ = match choice {
                0 => replica.transfer(None).await.map(drop),
                _ if member => replica.remove(spare).await,
                _ => replica.join(spare, api(spare), address(spare)).await,
            };
        });
        if choice > 0 && !member && world.nodes[at].life.is_none() {
            if world.nodes[at].lives > 0 {
                world.nodes[at].wipe(&mut world.dice);
            }
            world.nodes[at].back_at_ms = Some(world.now_ms);
        }
    }
}

fn api(id: NodeId) -> String {
    format!("http://node-{id}")
}

pub(crate) fn ids(world: &World) -> Vec<NodeId> {
    world.nodes.iter().map(|node| node.id).collect()
}

fn halves(ids: &[NodeId], dice: &mut Dice) -> Vec<(NodeId, NodeId)> {
    let side: Vec<bool> = ids.iter().map(|_| dice.coin()).collect();
    apart(ids, |one, other| {
        side[one as usize - 1] != side[other as usize - 1]
    })
}

/// The links for which this is true.
pub(crate) fn apart(ids: &[NodeId], cut: impl Fn(NodeId, NodeId) -> bool) -> Vec<(NodeId, NodeId)> {
    let links = ids
        .iter()
        .flat_map(|one| ids.iter().map(move |other| (*one, *other)));
    links
        .filter(|(one, other)| one != other && cut(*one, *other))
        .collect()
}

/// Whether every founder is known to be a voter that has nearly everything.
fn is_settled(world: &World) -> bool {
    let Some(leader) = world.leader() else {
        return false;
    };
    let life = world.nodes[leader].life.as_ref().expect("it leads");
    let status = life.replica.status();
    world.founders().all(|at| {
        let id = world.nodes[at].id;
        let row = status.members.iter().find(|row| row.id == id);
        row.is_some_and(|row| row.role != lockring::service::MemberRole::Learner)
    })
}

/// Has the node whose disk was lost brought in again, and forgets it when it has all.
pub fn bring_back(world: &mut World) {
    let (Some(lost), Some(leader)) = (world.at_risk, world.leader()) else {
        return;
    };
    let at = lost as usize - 1;
    let node = &world.nodes[at];
    // Damage that changed nothing was not refused, and the node goes on as it was.
    let Some(life) = &node.life else { return };
    let by = world.nodes[leader].life.as_ref().expect("it leads");
    let standing = life.replica.standing().borrow().clone();
    let caught_up = by.replica.view(|it| it.revision()) == life.replica.view(|it| it.revision());
    let leads = leader == at;
    let status = by.replica.status();
    // Halfway through the change, the others alone have to agree too.
    let voter = !status.changing
        && status
            .members
            .iter()
            .any(|row| row.id == lost && row.role != lockring::service::MemberRole::Learner);
    if standing == lockring::consensus::Standing::Member && voter && (caught_up || leads) {
        world.at_risk = None;
        world.count("brought back");
        return;
    }
    if leads {
        return;
    }
    let replica = by.replica.clone();
    by.runtime.spawn(async move {
        let _ = replica.join(lost, api(lost), address(lost)).await;
    });
}
