//! The cache tier as its users have it: real processes, unmodified clients, faults.

#![expect(
    clippy::print_stdout,
    reason = "they print the figures that they measure"
)]

mod audit;
mod clients;
mod dev;
mod load;
mod moves;
mod node;
mod origin;
mod outage;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Where the clients are that are neither crates nor Debian's.
fn installed(what: &str) -> PathBuf {
    let at = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/cache-clients")
        .join(what);
    let how = "run tests/cache/clients/install";
    assert!(at.exists(), "{} is not installed: {how}", at.display());
    at
}

/// Runs a client's program to its end and answers what it printed.
async fn run(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .kill_on_drop(true);
    let output = command.stdin(Stdio::null()).output().await;
    let how = "run tests/cache/clients/install";
    let output = output.unwrap_or_else(|error| panic!("{}: {error}: {how}", program.display()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{}:\n{said}\n{complained}",
        program.display()
    );
    said
}
