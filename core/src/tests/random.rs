//! Seeded random logs, applied to the machine and to the naive one: every outcome and every event
//! must agree, and the audit must pass after every entry.
//!
//! The logs are nasty on purpose: few sessions, locks and request ids, so that everything meets
//! everything; small bounds, so that all are reached and overdue things are left over; clocks
//! that stand still, jump and go back; stamps of another term.

pub(super) mod log;

use std::format;
use std::string::String;

use rand::Rng;

use super::bytes;
use super::naive::Naive;
use crate::*;
use log::Log;

/// How many seeds one run takes, unless `SEEDS` says otherwise; and how many entries a seed.
const SEEDS: u64 = 120;
const ENTRIES: usize = 400;

pub(super) fn seeds() -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("SEED");
    let count = number("SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(1);
    first..first + count
}

pub(super) fn reproduce(seed: u64, test: &str) -> String {
    format!("REPRODUCE SEED={seed} cargo test -p lockring-core {test}")
}

#[test]
fn agrees_with_the_naive_machine() {
    for seed in seeds() {
        let mut log = Log::new(seed);
        let bounds = log.bounds();
        let mut naive = Naive::new(bounds);
        let mut machine = Machine::new();
        machine.bounds = bounds;
        for number in 0..ENTRIES {
            let (term, entry) = log.entry();
            let before = (machine.clock(), machine.mint.last());
            let applied = machine.apply(term, &entry);
            let expected = naive.apply(term, &entry);
            let story = || format!("entry {number}: {entry:#?}\n{}", reproduce(seed, "naive"));
            assert_eq!(applied, expected, "{}", story());
            assert_eq!(machine.revision(), naive.revision, "{}", story());
            assert_eq!(machine.audit(), Ok(()), "{}", story());
            let after = (machine.clock(), machine.mint.last());
            assert!(before.0 <= after.0, "I6: the clock fell; {}", story());
            assert!(before.1 <= after.1, "I2: fences fell; {}", story());
            assert_eq!(naive.stuck(), [], "a deadlock stands; {}", story());
            log.learn(&entry, &applied);
        }
    }
}

/// I9, and that a snapshot has everything: a machine thawed anywhere on the way goes on as the
/// one that applied all, and a third that got the same log writes the same bytes.
#[test]
fn snapshot_and_tail_equal_full_replay() {
    for seed in seeds().take(60) {
        let mut log = Log::new(seed);
        let bounds = log.bounds();
        let with_bounds = |mut machine: Machine| {
            machine.bounds = bounds;
            machine
        };
        let mut whole = with_bounds(Machine::new());
        let mut twin = with_bounds(Machine::new());
        let mut thawed = with_bounds(Machine::new());
        for number in 0..ENTRIES {
            let (term, entry) = log.entry();
            let applied = whole.apply(term, &entry);
            let story = || format!("entry {number}\n{}", reproduce(seed, "full_replay"));
            assert_eq!(thawed.apply(term, &entry), applied, "{}", story());
            assert_eq!(twin.apply(term, &entry), applied, "{}", story());
            assert_eq!(thawed.next_deadline(), whole.next_deadline(), "{}", story());
            if log.chance.random_bool(0.1) {
                let bytes_of_whole = bytes(&whole);
                assert_eq!(bytes(&thawed), bytes_of_whole, "I9: {}", story());
                assert_eq!(bytes(&twin), bytes_of_whole, "I9: {}", story());
                let digest = whole.freeze().digest();
                assert_eq!(thawed.freeze().digest(), digest, "I9: {}", story());
                thawed = with_bounds(Machine::thaw(&bytes_of_whole).unwrap());
                assert_eq!(thawed.counts(), whole.counts(), "{}", story());
            }
            log.learn(&entry, &applied);
        }
    }
}

/// The logs must reach every corner, else agreement on them says little.
#[test]
fn random_logs_reach_every_outcome() {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for seed in 1..60 {
        let mut log = Log::new(seed);
        let mut machine = Machine::new();
        machine.bounds = log.bounds();
        for _ in 0..ENTRIES {
            let (term, entry) = log.entry();
            let applied = machine.apply(term, &entry);
            for reply in &applied.replies {
                let mut kind = super::scripts::kind_of(&reply.outcome);
                if reply.replayed {
                    kind.insert_str(0, "replayed ");
                }
                *seen.entry(kind).or_default() += 1;
            }
            log.learn(&entry, &applied);
        }
    }
    for kind in [
        "opened",
        "renewed",
        "closed",
        "granted",
        "granted all",
        "value set",
        "transferred",
        "revoking",
        "broken",
        "queued",
        "released",
        "abandoned place",
        "abandoned lease",
        "abandoned leases",
        "abandoned nothing",
        "held",
        "deadlock",
        "limit_mismatch",
        "upgrade_conflict",
        "delayed",
        "session_gone",
        "fence_stale",
        "key_reused",
        "limit Sessions",
        "limit Locks",
        "limit WaitersPerLock",
        "limit LeasesPerSession",
        "limit HoldersPerLock",
        "limit Permits",
        "limit ValueBytes",
        "replayed opened",
        "replayed closed",
        "replayed granted",
        "replayed granted all",
        "replayed value set",
        "replayed transferred",
        "replayed revoking",
        "replayed broken",
        "replayed queued",
        "replayed released",
        "replayed held",
        "replayed wait_timeout",
        "replayed fence_stale",
    ] {
        let times = seen.get(kind).copied().unwrap_or(0);
        assert!(times > 0, "{kind} never came up: {seen:#?}");
    }
}
