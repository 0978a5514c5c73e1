//! `lockring-sim sim --seeds A..B`: run seeds, tell what they find.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use lockring::planted;
use lockring_sim::panics;
use lockring_sim::run::{Verdict, run};

#[derive(Debug, Parser)]
#[command(about = "Whole lockring clusters in one thread, in virtual time, from one seed")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run seeds, one after the other
    Sim {
        /// Which, as FROM..TO, without TO
        #[arg(long, value_parser = range)]
        seeds: std::ops::Range<u64>,
        /// Stop at the first that finds something
        #[arg(long)]
        first: bool,
        /// Tell each seed's trace, to compare two runs
        #[arg(long)]
        traces: bool,
    },
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("say FROM..TO")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    let Verb::Sim {
        seeds,
        first,
        traces,
    } = Arguments::parse().verb;
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let plant = match std::env::var(planted::VARIABLE).as_deref() {
        Err(_) | Ok("none") => None,
        Ok(name) => match planted::choose(name) {
            Ok(()) => Some(name.to_owned()),
            Err(error) => {
                say(&error.to_string());
                return ExitCode::from(2);
            }
        },
    };
    let valid = panics::kept(move || all(seeds, first, traces, plant.as_deref()));
    ExitCode::from(u8::from(!valid))
}

/// Runs the seeds. Answers whether nothing was found.
fn all(seeds: std::ops::Range<u64>, first: bool, traces: bool, plant: Option<&str>) -> bool {
    let began = Instant::now();
    let mut sums = Sums::default();
    for seed in seeds.clone() {
        let verdict = run(seed);
        sums.add(&verdict);
        if traces {
            say(&format!("TRACE {seed} {:016x}", verdict.trace));
        }
        if !verdict.is_valid() {
            tell(&verdict, plant, began);
            if first {
                return false;
            }
        }
        if sums.runs.is_multiple_of(10) {
            say(&sums.line(began));
        }
    }
    say(&sums.line(began));
    sums.failed == 0
}

#[derive(Debug, Default)]
struct Sums {
    runs: u64,
    failed: u64,
    answered: u64,
    virtual_ms: u64,
    live_ms_max: u64,
    agree_ms_max: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Sums {
    fn add(&mut self, verdict: &Verdict) {
        self.runs += 1;
        self.failed += u64::from(!verdict.is_valid());
        self.answered += verdict.answered;
        self.virtual_ms += verdict.lasted_ms;
        self.live_ms_max = self.live_ms_max.max(verdict.live_ms.unwrap_or(0));
        self.agree_ms_max = self.agree_ms_max.max(verdict.agree_ms.unwrap_or(0));
        for (what, count) in &verdict.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    fn line(&self, began: Instant) -> String {
        let faults: u64 = self.counts.values().sum();
        let counts = self
            .counts
            .iter()
            .map(|(what, count)| format!("{what} {count}"));
        let counts: Vec<String> = counts.collect();
        format!(
            "{} runs in {} s ({} s of virtual time), {} with violations; {} calls answered, \
             {faults} faults; a majority served after {} ms at most, all agreed after {} ms at \
             most\n  {}",
            self.runs,
            began.elapsed().as_secs(),
            self.virtual_ms / 1_000,
            self.failed,
            self.answered,
            self.live_ms_max,
            self.agree_ms_max,
            counts.join(", "),
        )
    }
}

fn tell(verdict: &Verdict, plant: Option<&str>, began: Instant) {
    let seed = verdict.seed;
    say(&format!(
        "seed {seed}, after {:.1} s: {} violations, with {}",
        began.elapsed().as_secs_f64(),
        verdict.violations.len(),
        verdict.faults()
    ));
    for violation in verdict.violations.iter().take(5) {
        say(&format!("  {violation}"));
    }
    say(&verdict.reproduce(plant));
}

/// A line for whoever started this; a reader that went away is no failure.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
