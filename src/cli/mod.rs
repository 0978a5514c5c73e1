//! The command line: one file per verb.
//!
//! What a verb found out goes to standard output, as a table for people or with `--json` for
//! programs; everything else goes to standard error. The exit codes are in [`exit`] and in
//! `lockring --help`.
mod bench;
mod completions;
mod dev;
mod endpoints;
mod exit;
mod print;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done
  1  it failed; the message says how
  2  the command line or the configuration is wrong
  3  the lock is held by another, or the wait for it ended
  4  refused: the session is gone, the fence is stale, no such thing, not allowed
  5  no node could serve it in time; it may or may not have happened
`lockring exec` ends with the code of its command, and has its own from 120 up: see its --help.";

/// A Raft-backed lock service: fenced leases over HTTP.
///
/// Try it: `lockring dev` starts three nodes on this machine.
#[derive(Debug, Parser)]
#[command(name = "lockring", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run one node
    Serve(serve::Serve),
    /// Run a whole cluster on this machine, to try things with
    Dev(dev::Dev),

    /// Measure a cluster under load
    Bench(bench::Bench),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Serve(verb) => verb.run(),
        Verb::Dev(verb) => verb.run(),
        Verb::Bench(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
    };
    exit::code_of(done)
}

/// The command line as clap knows it, for completions and for tests.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
