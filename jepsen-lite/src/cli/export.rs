//! `jepsen-lite export`: a history for referees that nobody here wrote.

use std::io::Write;
use std::path::PathBuf;

use crate::history::{History, edn, porcupine};

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Jepsen's
    Edn,
    /// Porcupine's operations, as JSON
    Porcupine,
}

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which
    #[arg(long)]
    format: Format,
    /// Only the part of this workload
    #[arg(long)]
    workload: Option<String>,
    /// A history of JSON lines
    history: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut history = History::read(&args.history)?;
    if let Some(workload) = &args.workload {
        history = history.of(workload);
    }
    let text = match args.format {
        Format::Edn => edn::export(&history),
        Format::Porcupine => porcupine::export(&history),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(0)
}
