//! `jepsen-lite check`: judges a history that was written before.

use std::path::PathBuf;

use super::say_properties;
use crate::checker::{self, Verdict};
use crate::history::History;
use crate::run;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A history of JSON lines
    history: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let history = History::read(&args.history)?;
    let properties = checker::check(&history);
    say_properties(&properties);
    Ok(match run::worst(&properties) {
        Verdict::Invalid => 1,
        // An empty history breaks nothing, and says nothing.
        Verdict::Valid if !history.events.is_empty() => 0,
        Verdict::Valid | Verdict::Unknown => 2,
    })
}
