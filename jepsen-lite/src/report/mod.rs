//! What a run leaves behind for people and for machines.

mod html;
mod junit;
mod lanes;
mod latency;
mod plot;

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::Path;

use anyhow::Context;

use crate::history::History;
use crate::run::Results;

/// Writes everything that can be made from a history and its results.
///
/// # Errors
/// When it cannot be written.
pub fn write(out: &Path, history: &History, results: &Results) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(results)?;
    put(&out.join("results.json"), &json)?;
    put(&out.join("junit.xml"), junit::render(results).as_bytes())?;
    let html = html::render(history, results);
    put(&out.join("report.html"), html.as_bytes())
}

/// Reads the results of a run.
///
/// # Errors
/// When there are none.
pub fn read_results(out: &Path) -> anyhow::Result<Results> {
    let path = out.join("results.json");
    let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{} is not of this tool", path.display()))
}

/// A text as HTML and XML carry it.
pub(crate) fn html_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            // XML has no way to write the others.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A file that is there whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    let written = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
