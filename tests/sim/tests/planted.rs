//! Who tests the tester: with a planted bug, one of the first seeds finds it.
//!
//! Each is a process of its own, for a bug is planted in all of a process. Without a plant the
//! same seeds find nothing: that is what `seeds.rs` says.

use std::process::Command;

/// So many seeds are tried, from one on that is known to be good; most bugs need one or two.
const SEEDS: u32 = 30;

/// Answers what was told of the first run that found something.
fn found(plant: &str, first: u32) -> String {
    let seeds = format!("{first}..{}", first + SEEDS);
    let ran = Command::new(env!("CARGO_BIN_EXE_lockring-sim"))
        .args(["sim", "--first", "--seeds", &seeds])
        .env("LOCKRING_PLANT", plant)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{plant} is not found: {told}");
    let again = format!("REPRODUCE LOCKRING_PLANT={plant} cargo run -p lockring-sim");
    assert!(told.contains(&again), "{told}");
    told
}

fn finds(plant: &str, first: u32, rules: &[&str]) {
    let told = found(plant, first);
    let named = rules.iter().any(|rule| told.contains(rule));
    assert!(named, "{plant} breaks none of {rules:?}: {told}");
}

#[test]
fn a_fence_that_nobody_checks_is_found() {
    finds("no-fence-check", 0, &["only a holder releases"]);
}

#[test]
fn a_release_by_anybody_is_found() {
    let rules = ["only a holder releases", "certain holds are disjoint"];
    finds("no-owner-check", 0, &rules);
}

#[test]
fn a_fence_from_the_wall_clock_is_found() {
    finds("wall-clock-fence", 0, &["fences rise", "the audit passes"]);
}

#[test]
fn forgotten_answers_are_found() {
    let rules = ["one request, one outcome", "replicas agree"];
    finds("replays-not-in-snapshot", 1, &rules);
}

#[test]
fn an_anchor_of_another_term_is_found() {
    let rules = ["no lease ends early", "certain holds are disjoint"];
    finds("kept-anchor", 0, &rules);
}

#[test]
fn a_promise_before_the_flush_is_found() {
    let rules = [
        "nothing acknowledged is lost",
        "replicas agree",
        "fences rise",
        "no panic",
        "linearizable",
    ];
    finds("ack-before-sync", 0, &rules);
}

#[test]
fn damage_that_is_taken_for_a_torn_write_is_found() {
    finds("corrupt-suffix-cut", 7, &["damage is refused"]);
}

#[test]
fn a_lock_for_a_waiter_whose_wait_is_over_is_found() {
    finds("grant-to-expired", 11, &["no grant to the dead"]);
}

#[test]
fn a_deposed_leader_that_answers_reads_is_found() {
    finds("stale-leader-read", 3, &["linearizable"]);
}

#[test]
fn a_table_that_changes_under_its_number_is_found() {
    let rules = ["epochs rise", "an epoch has one table"];
    finds("ring-epoch-not-bumped", 2, &rules);
}

#[test]
fn two_owners_of_a_slot_that_moves_are_found() {
    let rules = ["one member serves a slot", "the audit passes"];
    finds("two-owners-in-a-move", 2, &rules);
}

#[test]
fn a_bug_that_nobody_knows_is_no_run() {
    let ran = Command::new(env!("CARGO_BIN_EXE_lockring-sim"))
        .args(["sim", "--seeds", "0..1"])
        .env("LOCKRING_PLANT", "off-by-one")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2));
}
