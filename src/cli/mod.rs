//! The command line: one file per verb.
//!
//! What a verb found out goes to standard output, as a table for people or with `--json` for
//! programs; everything else goes to standard error. The exit codes are in [`exit`] and in
//! `lockring --help`.
mod acquire;
mod bench;
mod r#break;
mod cache;
mod cluster;
mod completions;
mod dev;
mod election;
mod endpoints;
mod exec;
mod exit;
mod happening;
mod history;
mod locks;
mod modes;
mod moment;
mod print;
mod release;
mod revoke;
mod ring;
mod serve;
mod session;
mod span;
mod transfer;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use endpoints::run_calls;

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
    /// Run one cache node: Redis's protocol, slots from a ring
    Cache(Box<cache::Cache>),

    /// Take a lock
    Acquire(acquire::Acquire),
    /// Give a lock back
    Release(release::Release),
    /// Run a command while holding a lock
    Exec(exec::Exec),
    /// Give a lease to another session
    Transfer(transfer::Transfer),
    /// Campaign in an election, see who leads, ask the leader to resign
    Election(election::Election),
    /// See which locks are in use, by whom, and who waits
    Locks(locks::Locks),
    /// Watch what happens to locks and sessions
    Watch(watch::Watch),
    /// See what happened to a lock, and why
    History(history::History),
    /// Ask the holders of a lock to give it up
    Revoke(revoke::Revoke),
    /// End the leases of a lock now, as an operator
    Break(r#break::Break),
    /// Open, renew, see and close sessions
    Session(session::Session),
    /// See and change rings: who owns which key
    Ring(ring::Ring),
    /// See and change the cluster
    Cluster(cluster::Cluster),
    /// Measure a cluster under load
    Bench(bench::Bench),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// What `exec` runs its command through
    #[command(hide = true)]
    ExecChild(exec::ExecChild),
    /// What watches over the command of `exec`
    #[command(hide = true)]
    ExecGuardian(exec::ExecGuardian),
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To the caller of `exec` a 2 would be its command's.
            let is_exec = std::env::args_os()
                .nth(1)
                .is_some_and(|verb| verb == "exec");
            if is_exec && error.use_stderr() {
                let _ = error.print();
                return ExitCode::from(exec::USAGE);
            }
            error.exit()
        }
    };
    let done = match cli.verb {
        Verb::Serve(verb) => verb.run(),
        Verb::Dev(verb) => verb.run(),
        Verb::Cache(verb) => verb.run(),
        Verb::Acquire(verb) => run_calls(verb.run()),
        Verb::Release(verb) => run_calls(verb.run()),
        Verb::Exec(verb) => verb.run(),
        Verb::Transfer(verb) => run_calls(verb.run()),
        Verb::Election(verb) => run_calls(verb.run()),
        Verb::Locks(verb) => run_calls(verb.run()),
        Verb::Watch(verb) => run_calls(verb.run()),
        Verb::History(verb) => run_calls(verb.run()),
        Verb::Revoke(verb) => run_calls(verb.run()),
        Verb::Break(verb) => run_calls(verb.run()),
        Verb::Session(verb) => run_calls(verb.run()),
        Verb::Ring(verb) => run_calls(verb.run()),
        Verb::Cluster(verb) => run_calls(verb.run()),
        Verb::Bench(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
        Verb::ExecChild(verb) => verb.run(),
        Verb::ExecGuardian(verb) => verb.run(),
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

    #[test]
    fn every_verb_shows_an_example_in_its_help() {
        for verb in super::command().get_subcommands() {
            if verb.is_hide_set() {
                continue;
            }
            let after = verb.get_after_help().map(ToString::to_string);
            let after = after.unwrap_or_default();
            let example = format!("\n  lockring {}", verb.get_name());
            assert!(after.contains("Example"), "{} has none", verb.get_name());
            assert!(after.contains(&example), "{after}");
        }
    }
}
