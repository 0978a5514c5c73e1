//! `jepsen-lite report`: writes the report of a run again.

use std::path::PathBuf;

use super::say;
use crate::history::History;
use crate::report;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The directory of a run
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let results = report::read_results(&args.dir)?;
    let history = History::read(&args.dir.join("history.jsonl"))?;
    report::write(&args.dir, &history, &results)?;
    say(&args.dir.join("report.html").display().to_string());
    Ok(0)
}
