//! One run: begin, faults, a majority alone, all healed, and the scan.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use lockring::consensus::Timing;

use crate::check;
use crate::dice::Dice;
use crate::faults::{Nemesis, bring_back};
use crate::history::Told;
use crate::kinds::{Kind, name};
use crate::world::World;

/// A cluster must have begun by then, on a network on which all is well.
const BEGIN_MS_MAX: u64 = 10_000;
/// A healthy majority must serve by then, and all must agree by then after all is healed.
const LIVE_MS_MAX: u64 = 15_000;
const AGREE_MS_MAX: u64 = 40_000;

/// Names a file that the run's notes are written to, to see where two runs part.
const TRACE_FILE: &str = "LOCKRING_SIM_TRACE";

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Of the run.
    pub seed: u64,
    /// What was found to be wrong.
    pub violations: Vec<String>,
    /// Two runs of one seed have one number.
    pub trace: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that were not.
    pub unanswered: u64,
    /// Faults, by kind, and other things that were counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// Which kinds of faults were on.
    pub kinds: Vec<Kind>,
    /// From the first moment of a healthy majority to its first answered command.
    pub live_ms: Option<u64>,
    /// From healing to equal digests.
    pub agree_ms: Option<u64>,
    /// The world's time at the end.
    pub lasted_ms: u64,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64) -> Verdict {
    run_with(seed, Nemesis::new(seed))
}

/// Runs a seed with faults of a choice.
#[must_use]
pub fn run_with(seed: u64, mut nemesis: Nemesis) -> Verdict {
    let mut dice = Dice::of(seed, "run");
    let founders = if dice.hits(250_000) { 5 } else { 3 };
    let timing = Timing {
        snapshot_entries: dice.between(40, 400),
        kept_entries: dice.between(5, 100),
        snapshot_transfer_ms: 5_000,
        ..Timing::default()
    };
    let mut world = World::new(seed, founders, 1, timing);
    let holders = dice.between(3, 7) as usize;
    // A ring's table costs as much as a hundred calls, so every third run has one.
    let members = if dice.hits(330_000) {
        dice.between(2, 4) as usize
    } else {
        0
    };
    world.add_clients(holders, members, usize::from(dice.coin()));
    if let Some(path) = std::env::var_os(TRACE_FILE)
        && let Err(error) = world.trace.write_to(path.as_ref())
    {
        world
            .violations
            .push(format!("the trace can be written: {error}"));
    }
    let mut verdict = Verdict {
        seed,
        violations: Vec::new(),
        trace: 0,
        answered: 0,
        unanswered: 0,
        counts: BTreeMap::new(),
        kinds: nemesis.kinds.clone(),
        live_ms: None,
        agree_ms: None,
        lasted_ms: 0,
    };
    if !world.until(BEGIN_MS_MAX, |world| world.leader().is_some()) {
        world.violations.push("a cluster begins: no leader".into());
        return conclude(world, verdict);
    }
    nemesis.begin(&mut world);
    let faults_end_ms = world.now_ms + dice.between(6_000, 14_000);
    while world.now_ms < faults_end_ms && world.violations.is_empty() {
        nemesis.act(&mut world);
        world.tick();
    }
    if world.violations.is_empty() {
        verdict.live_ms = majority_serves(&mut world, &mut dice);
    }
    if world.violations.is_empty() {
        verdict.agree_ms = all_agree(&mut world);
    }
    conclude(world, verdict)
}

/// Takes every fault away from the network and from nodes that run.
fn heal_links(world: &mut World) {
    world.net.cut_only([]);
    world.net.speed_up();
    world.net.set_latency(1, 2);
    world.answers_lost = 0;
    for node in &mut world.nodes {
        node.sync_ms_max.store(2, Ordering::Relaxed);
        node.paused_until_ms = 0;
    }
}

/// A random majority is healthy, the rest is dead for ever: it must serve.
fn majority_serves(world: &mut World, dice: &mut Dice) -> Option<u64> {
    heal_links(world);
    let founders = world.founders().len();
    let mut dead: Vec<usize> = world
        .at_risk
        .map(|id| id as usize - 1)
        .into_iter()
        .collect();
    while dead.len() < (founders - 1) / 2 {
        let at = dice.between(0, founders as u64 - 1) as usize;
        if !dead.contains(&at) {
            dead.push(at);
        }
    }
    for at in 0..world.nodes.len() {
        if dead.contains(&at) {
            world.kill(at, u64::MAX / 4);
        } else if world.nodes[at].life.is_none() && world.nodes[at].lives > 0 {
            world.nodes[at].back_at_ms = Some(world.now_ms);
        }
    }
    let began_ms = world.now_ms;
    let served = world.until(LIVE_MS_MAX, |world| {
        let mut newest = world.history.iter().rev().take(400);
        newest.any(|call| {
            call.asked_ms >= began_ms
                && matches!(call.told, Told::Reply(_))
                && call.told_ms.is_some()
        })
    });
    if !served {
        world.violations.push(format!(
            "a healthy majority serves: nothing in {LIVE_MS_MAX} ms without {dead:?}"
        ));
        return None;
    }
    Some(world.now_ms - began_ms)
}

/// All is healed, and all replicas end up the same, with everything that was acknowledged.
fn all_agree(world: &mut World) -> Option<u64> {
    heal_links(world);
    for node in &mut world.nodes {
        if node.life.is_none() && node.lives > 0 {
            node.back_at_ms = Some(world.now_ms);
        }
    }
    let began_ms = world.now_ms;
    let members = |world: &World| -> Option<Vec<usize>> {
        let leader = world.leader()?;
        let status = world.nodes[leader].life.as_ref()?.replica.status();
        Some(
            status
                .members
                .iter()
                .map(|row| row.id as usize - 1)
                .collect(),
        )
    };
    // Clients go on for a while, so that there is something to agree on.
    world.until(1_000, |_| false);
    world.clients_act = false;
    let agreed = world.until(AGREE_MS_MAX, |world| {
        if world.now_ms.is_multiple_of(250) {
            bring_back(world);
        }
        if !world.now_ms.is_multiple_of(20) || world.at_risk.is_some() {
            return false;
        }
        let Some(members) = members(world) else {
            return false;
        };
        let digests = members.iter().map(|at| {
            let life = world.nodes[*at].life.as_ref()?;
            Some(life.replica.digest())
        });
        let digests: Option<Vec<(u64, u64)>> = digests.collect();
        digests.is_some_and(|all| {
            all.windows(2).all(|pair| pair[0] == pair[1]) && all[0].0 >= world.truth.newest
        })
    });
    if !agreed {
        let states = world.nodes.iter().map(|node| {
            let life = node.life.as_ref();
            let state =
                life.map(|life| (life.replica.digest(), life.replica.role().borrow().clone()));
            format!("node {}: {state:?}", node.id)
        });
        let states: Vec<String> = states.collect();
        world.violations.push(format!(
            "healed replicas agree: they do not after {AGREE_MS_MAX} ms: {}",
            states.join("; ")
        ));
        return None;
    }
    scan(world);
    Some(world.now_ms - began_ms)
}

/// What every replica holds is what the log of all events says.
fn scan(world: &mut World) {
    let holders = world.truth.holders_at(world.truth.newest);
    let mut found = Vec::new();
    for node in &world.nodes {
        let Some(life) = &node.life else { continue };
        let lag = life.replica.view(|machine| machine.revision()) < world.truth.newest;
        if lag {
            // It is no member any more.
            continue;
        }
        life.replica.view(|machine| {
            if let Err(why) = machine.audit() {
                found.push(format!("the audit passes: node {}: {why}", node.id));
            }
            let views = machine.locks("", None, 1_000);
            let rows = views.iter().flat_map(|view| {
                let lock = &view.lock;
                view.holders
                    .iter()
                    .map(move |holder| (lock.clone(), holder.fence.number()))
            });
            let mut rows: Vec<_> = rows.collect();
            let told = holders
                .iter()
                .flat_map(|(lock, held)| held.iter().map(move |held| (lock.clone(), held.fence)));
            let mut told: Vec<_> = told.collect();
            rows.sort_unstable();
            told.sort_unstable();
            if rows != told {
                found.push(format!(
                    "nothing acknowledged is lost: node {} holds {rows:?}, its log says {told:?}",
                    node.id
                ));
            }
        });
    }
    world.violations.extend(found);
}

fn conclude(mut world: World, mut verdict: Verdict) -> Verdict {
    verdict.violations.append(&mut world.violations);
    for client in &mut world.clients {
        client.end(world.now_ms);
    }
    let found = check::all(&world.truth, &world.history);
    verdict.violations.extend(found);
    verdict
        .violations
        .extend(check::served(&world.spans.lock()));
    for watcher in &world.watchers {
        let found = check::heard(&world.truth, &watcher.heard);
        verdict.violations.extend(found);
    }
    verdict.trace = world.trace.hash();
    verdict.counts = std::mem::take(&mut world.counts);
    let answered = |call: &&crate::history::Call| call.revision().is_some();
    verdict.answered = world.history.iter().filter(answered).count() as u64;
    verdict.unanswered = world.history.len() as u64 - verdict.answered;
    verdict.lasted_ms = world.now_ms;
    verdict
}

impl Verdict {
    /// Whether nothing was found to be wrong.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.violations.is_empty()
    }

    /// The line that has this run again.
    #[must_use]
    pub fn reproduce(&self, plant: Option<&str>) -> String {
        let (seed, next) = (self.seed, self.seed + 1);
        let (environment, feature) = match plant {
            None => (String::new(), ""),
            Some(plant) => {
                let variable = lockring::planted::VARIABLE;
                (format!("{variable}={plant} "), " --features planted")
            }
        };
        let run = format!("cargo run -p lockring-sim{feature}");
        format!("REPRODUCE {environment}{run} -- sim --seeds {seed}..{next}")
    }

    /// The names of the kinds of faults that were on.
    #[must_use]
    pub fn faults(&self) -> String {
        let names: Vec<&str> = self.kinds.iter().map(|kind| name(*kind)).collect();
        names.join(", ")
    }
}
