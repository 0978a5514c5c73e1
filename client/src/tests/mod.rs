//! The client against a world whose time is made up: `lost` comes before the next grant.
//!
//! A real cluster cannot show this often: every loss takes a TTL, and what goes wrong, goes wrong
//! in rare orders of delays. So here the cluster is lockring's own machine with a model of its door
//! and its leader ([`cluster`]), the network is a list of what arrives when ([`world`]), and each
//! client is the real one, on a runtime of its own whose clock the world moves. A client is paused
//! by not running it while time goes on, suspended by moving only the clock that goes on in sleep,
//! and killed by dropping its runtime. Everything else follows from the seed.
//!
//! What is judged ([`judge`]), at every grant and at every write of a holder:
//!
//! - when another is granted the lock, no earlier holder's `is_valid` says yes, and each that runs
//!   has been told by `lost`;
//! - whoever goes on working because `lost` has not come has the newest fence there is.
//!
//! A last test lets the cluster's clock run fast, which must be found, or the rest shows nothing.

mod cluster;
mod door;
mod judge;
mod program;
mod world;

use std::cell::{Cell, RefCell};

use tokio::io::DuplexStream;

use world::{Found, World};

thread_local! {
    static NOW: Cell<Option<u64>> = const { Cell::new(None) };
    static CHANCE: RefCell<Option<Chance>> = const { RefCell::new(None) };
    static DIALLED: RefCell<Vec<DuplexStream>> = const { RefCell::new(Vec::new()) };
}

/// The boot-time clock of a simulation on this thread, if there is one.
pub(crate) fn simulated_nanos() -> Option<u64> {
    NOW.get()
}

/// Fills the bytes with the simulation's numbers; `false` without a simulation on this thread.
pub(crate) fn simulated_chance(bytes: &mut [u8]) -> bool {
    CHANCE.with_borrow_mut(|chance| {
        let Some(chance) = chance else { return false };
        for byte in bytes {
            *byte = chance.next().to_le_bytes()[0];
        }
        true
    })
}

/// A connection into the simulation on this thread, if there is one.
pub(crate) fn simulated_dial() -> Option<DuplexStream> {
    simulated_nanos()?;
    let (here, there) = tokio::io::duplex(64 * 1024);
    DIALLED.with_borrow_mut(|dialled| dialled.push(there));
    Some(here)
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` up to `most`, both included.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// So many times of a hundred.
    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// Runs the worlds of these seeds, and tells what they came to together. `LOCKRING_SEED=n` runs
/// that one alone.
fn run(seeds: std::ops::Range<u64>, clock_percent: u64) -> Found {
    let one = std::env::var("LOCKRING_SEED").ok();
    let one = one.map(|seed| seed.parse::<u64>().expect("LOCKRING_SEED is a number"));
    let seeds = one.map_or(seeds, |seed| seed..seed + 1);
    let mut found = Found::default();
    for seed in seeds {
        let world = World::run(seed, clock_percent);
        found.add(seed, world);
    }
    found
}

fn lost_comes_first(seeds: std::ops::Range<u64>) {
    let found = run(seeds.clone(), 100);
    let again = format!(
        "LOCKRING_SEED={} cargo test -p lockring-client --lib lost_comes_first",
        found.seeds.first().copied().unwrap_or(seeds.start)
    );
    assert!(found.violations.is_empty(), "{found:#?}\n{again}");
    // Without these nothing was tested.
    let single = seeds.clone().count() > 1 && std::env::var_os("LOCKRING_SEED").is_none();
    let rich = found.takeovers > 25 && found.failovers > 50 && found.pauses > 50;
    assert!(!single || rich && found.kills > 20, "{found:#?}");
}

#[test]
fn lost_comes_first_in_50_worlds() {
    lost_comes_first(0..50);
}

#[test]
fn lost_comes_first_in_50_further_worlds() {
    lost_comes_first(50..100);
}

#[test]
fn lost_comes_first_in_another_50_worlds() {
    lost_comes_first(100..150);
}

#[test]
fn lost_comes_first_in_the_last_50_worlds() {
    lost_comes_first(150..200);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    assert_eq!(World::run(7, 100), World::run(7, 100));
}

#[test]
fn a_cluster_whose_clock_runs_fast_is_found_out() {
    let found = run(0..20, 130);
    assert!(!found.violations.is_empty(), "{found:#?}");
}
