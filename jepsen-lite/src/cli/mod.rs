//! The command line: one file a verb.
//!
//! Exit codes are the point of a tool that runs in CI: 0 no violation found, 1 a property is
//! violated, 2 nothing can be said, 3 the tool itself failed, wrong usage included. They are never
//! mixed up: only a judged run can exit with 0, 1 or 2.

mod check;
mod export;
mod host;
mod nemeses;
mod plant;
mod recovery;
mod report;
mod run;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::checker::{Property, Verdict};
use crate::resource::{self, Checking};
use crate::worker;

/// The tool failed; nothing is said of the cluster.
const FAILED: u8 = 3;

#[derive(Parser)]
#[command(name = "jepsen-lite", version, about = "Fault injection for lockring")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a cluster under faults, and judge what its users saw
    Run(run::Args),
    /// Run after run with other seeds, until the time is over or one fails
    Soak(soak::Args),
    /// Judge a history again
    Check(check::Args),
    /// Write the report of a run again, from its history and results
    Report(report::Args),
    /// Write a history in another tool's format
    Export(export::Args),
    /// Find the bugs that a build has planted on purpose
    Plant(plant::Args),
    /// Run copies of your own program against a faulty cluster
    Host(host::Args),
    /// Measure how soon a cluster serves after its leader's death and after a partition
    Recovery(recovery::Args),
    /// List what can be done to a cluster
    Nemeses,
    /// Call the cluster as one of the users of a run
    #[command(hide = true)]
    Worker {
        /// What to do, as the run says it
        spec: String,
    },
    /// Serve the values of a run's cache
    #[command(hide = true)]
    Origin,
    /// Serve the outside resource of a run
    #[command(hide = true)]
    Resource {
        /// Let everybody through
        #[arg(long)]
        no_fences: bool,
    },
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures; there is nowhere to say that saying failed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    match run(cli.verb) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("jepsen-lite failed: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match verb {
        Verb::Run(args) => runtime.block_on(run::run(args)),
        Verb::Soak(args) => runtime.block_on(soak::run(args)),
        Verb::Plant(args) => runtime.block_on(plant::run(args)),
        Verb::Host(args) => runtime.block_on(host::run(args)),
        Verb::Recovery(args) => runtime.block_on(recovery::run(args)),
        Verb::Check(args) => check::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Export(args) => export::run(&args),
        Verb::Nemeses => {
            nemeses::run();
            Ok(0)
        }
        Verb::Worker { spec } => {
            runtime.block_on(worker::work(serde_json::from_str(&spec)?))?;
            // A read of standard input that is still under way must not hold up the end.
            runtime.shutdown_background();
            Ok(0)
        }
        Verb::Origin => {
            runtime.block_on(resource::serve_origin(say_address))?;
            Ok(0)
        }
        Verb::Resource { no_fences } => {
            let checking = if no_fences {
                Checking::Nothing
            } else {
                Checking::Fences
            };
            runtime.block_on(resource::serve(checking, say_address))?;
            Ok(0)
        }
    }
}

fn say_address(address: std::net::SocketAddr) -> anyhow::Result<()> {
    say(&address.to_string());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the tool is asked for")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "this is where people look for it")]
fn complain(text: &str) {
    eprintln!("{text}");
}

/// The properties, one a line, and what breaks them.
fn say_properties(properties: &[Property]) {
    for property in properties {
        let sign = match property.verdict {
            Verdict::Valid => "ok     ",
            Verdict::Invalid => "BROKEN ",
            Verdict::Unknown => "unknown",
        };
        let workload = match property.workload.as_str() {
            "" => String::new(),
            workload => format!("{workload}: "),
        };
        let (name, seen) = (&property.name, property.looked_at);
        say(&format!(
            "{sign} {workload}{name} ({seen} looked at) {}",
            property.found
        ));
        if property.verdict == Verdict::Invalid {
            for event in property.counterexample.iter().take(12) {
                let line = serde_json::to_string(event).unwrap_or_default();
                say(&format!("          {line}"));
            }
        }
    }
}

/// `500ms`, `30s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("`{text}` is no time, wants one like 500ms, 30s, 5m, 1h");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let ms = ms
        .and_then(|ms: u64| ms.checked_mul(number))
        .ok_or_else(wrong)?;
    Ok(Duration::from_millis(ms))
}

/// The lockring binary beside this one, where a build puts both.
fn binary_beside() -> PathBuf {
    let beside = std::env::current_exe().ok();
    let beside = beside.and_then(|path| Some(path.parent()?.join("lockring")));
    beside.unwrap_or_else(|| PathBuf::from("lockring"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_fits_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "5d", "-1s", "99999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
