//! What was asked and what was answered: the only ground on which anything is judged.
//!
//! A history is a file of JSON lines, one event each, described in `FORMAT.md`. A call is two
//! events of one process: `invoke` before its request is sent, and `ok`, `fail` or `info` after
//! its answer. `fail` means that it certainly had no effect, `info` that nobody knows; after an
//! `info` the process number retires, because the call may still take effect at any time, and
//! another number goes on in its place.
//!
//! Times are nanoseconds of the machine's monotonic clock since the run began. They are taken by
//! the process that calls, the first before it sends and the second after it has read, so a call
//! is never shorter in the history than it was, however the process was stopped in between.

pub mod edn;
pub mod porcupine;
mod calls;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use calls::{Call, End};

/// The number under which the tool's own doings are recorded.
pub const NEMESIS: i64 = -1;

/// What an event says about its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It begins.
    Invoke,
    /// It was done.
    Ok,
    /// It certainly had no effect.
    Fail,
    /// Nobody knows; also what the tool itself did.
    #[default]
    Info,
}

/// One line of a history. What has no sense for an event is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Nanoseconds since the run began.
    pub t: u64,
    /// Who.
    pub process: i64,
    /// What the event says.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Which function was called.
    pub f: String,
    /// As part of which workload.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload: String,
    /// The lock, or the key at the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The session, by its first eight digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The fence that was named or granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// The revision that the answer told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The TTL of the session that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What was written or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Why it failed, as a code of the contract, or what went wrong on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which node was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
}

/// All events of a run, in the order of their times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The events.
    pub events: Vec<Event>,
}

impl History {
    /// Events in any order; those of one process and one moment keep theirs.
    #[must_use]
    pub fn new(mut events: Vec<Event>) -> Self {
        events.sort_by_key(|event| event.t);
        Self { events }
    }

    /// Reads a file of JSON lines.
    ///
    /// # Errors
    /// When it cannot be read, or a line is no event; the line is named.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut events = Vec::new();
        for (nth, line) in BufReader::new(file).lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let event = serde_json::from_str(&line)
                .with_context(|| format!("{}:{} is no event", path.display(), nth + 1))?;
            events.push(event);
        }
        Ok(Self::new(events))
    }

    /// Writes it as a file of JSON lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut out = BufWriter::new(file);
        for event in &self.events {
            serde_json::to_writer(&mut out, event)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(out.get_ref().sync_all()?)
    }

    /// The names of the workloads that are in it.
    #[must_use]
    pub fn workloads(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for event in &self.events {
            if !event.workload.is_empty() && !names.contains(&event.workload) {
                names.push(event.workload.clone());
            }
        }
        names
    }

    /// The part of one workload.
    #[must_use]
    pub fn of(&self, workload: &str) -> Self {
        let events = self.events.iter();
        let events = events.filter(|event| event.workload == workload).cloned();
        Self {
            events: events.collect(),
        }
    }

    /// Each call of a client: its beginning and its end brought together.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        calls::pair(&self.events)
    }
}
