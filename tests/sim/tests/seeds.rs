//! A few seeds on each commit, and that a seed is a run.

use std::process::Command;
use std::time::{Duration, Instant};

use lockring_sim::panics::kept;
use lockring_sim::run::run;

/// So many seeds are run, or as many as fit into the time.
const SEEDS: u64 = 12;
const WITHIN: Duration = Duration::from_secs(60);

/// If this fails, no other seed means anything: a part of the cluster draws by lot, reads a real
/// clock, or runs on a thread of its own.
#[test]
fn a_seed_is_a_run() {
    kept(|| {
        for seed in [1, 5] {
            let (one, other) = (run(seed), run(seed));
            assert_eq!(one.trace, other.trace, "seed {seed} is two runs");
            assert_eq!(one.answered, other.answered);
            assert!(one.answered > 100, "seed {seed} says little");
        }
        assert_ne!(run(2).trace, run(3).trace);
    });
}

/// Each commit has seeds of its own, so that in time many are run, and a failure on a commit can
/// be had again on it.
#[test]
fn seeds_of_this_commit_find_nothing() {
    let first = commit() % 1_000_000;
    kept(move || {
        let began = Instant::now();
        for seed in first..first + SEEDS {
            let verdict = run(seed);
            assert!(
                verdict.is_valid(),
                "seed {seed}, with {}: {:#?}\n{}",
                verdict.faults(),
                verdict.violations,
                verdict.reproduce(None)
            );
            if began.elapsed() > WITHIN {
                break;
            }
        }
    });
}

/// A number for the commit that is tested; always the same where there is none.
fn commit() -> u64 {
    let told = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let digits = told.unwrap_or_default();
    u64::from_str_radix(digits.get(..12).unwrap_or("0"), 16).unwrap_or(0)
}
