//! Two of the planted bugs, found among real processes, and nothing without them. `plant` without
//! `--only` looks for all.

mod program;

use program::{exits_with, lockring, tool};

fn finds(bug: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut plant = tool();
    plant
        .args(["plant", "--only", bug, "--binary"])
        .arg(lockring());
    plant.arg("--out").arg(dir.path());
    let output = plant.output().unwrap();
    exits_with(&output, 0, &format!("found     {bug}"));
}

#[test]
fn a_release_that_is_believed_whatever_its_fence_is_found() {
    finds("no-fence-check");
}

#[test]
fn two_owners_of_a_slot_that_moves_are_found() {
    finds("two-owners-in-a-move");
}
