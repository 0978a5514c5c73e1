//! The result of a run, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::process::Cost;
use super::storm::Storm;
use super::tally::{Percentiles, Tally};

/// The result of a run. Fields that the workload or the command line did not ask for are absent.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    workload: String,
    workers: u32,
    seconds: f64,
    operations: u64,
    ops_per_s: f64,
    acquire_us: Percentiles,
    errors: u64,
    /// `hot`: grants of the one lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    hand_overs_per_s: Option<f64>,
    /// CPU seconds of each server process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpu_s: Vec<f64>,
    /// CPU seconds of all of them, for a thousand operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_s_per_1000_ops: Option<f64>,
    /// Resident memory of each server process at the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resident_bytes: Vec<u64>,
    /// `fresh`: what it was at the start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resident_bytes_before: Vec<u64>,
    /// `hold`: how many leases are held at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    leases: Option<u64>,
    /// `hold`: by how much each server process grew, for each lease.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bytes_per_lease: Vec<f64>,
    /// `storm`: how it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    storm: Option<Storm>,
}

impl Report {
    pub(super) fn new(workload: String, workers: u32, took: Duration, tally: &Tally) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            workload,
            workers,
            seconds: rounded(seconds, 1000.0),
            operations: tally.operations(),
            ops_per_s: rounded(tally.operations() as f64 / seconds, 10.0),
            acquire_us: tally.percentiles(),
            errors: tally.errors(),
            hand_overs_per_s: None,
            cpu_s: Vec::new(),
            cpu_s_per_1000_ops: None,
            resident_bytes: Vec::new(),
            resident_bytes_before: Vec::new(),
            leases: None,
            bytes_per_lease: Vec::new(),
            storm: None,
        }
    }

    pub(super) fn add_hand_overs(&mut self, grants: u64) {
        self.hand_overs_per_s = Some(rounded(grants as f64 / self.seconds, 10.0));
    }

    pub(super) fn add_cpu(&mut self, before: &[Cost], after: &[Cost]) {
        let used = before.iter().zip(after);
        let used = used.map(|(before, after)| after.cpu_seconds - before.cpu_seconds);
        self.cpu_s = used.map(|seconds| rounded(seconds, 1000.0)).collect();
        self.resident_bytes = after.iter().map(|cost| cost.resident_bytes).collect();
        if !self.cpu_s.is_empty() && self.operations > 0 {
            let all: f64 = self.cpu_s.iter().sum();
            let thousands = self.operations as f64 / 1000.0;
            self.cpu_s_per_1000_ops = Some(rounded(all / thousands, 10_000.0));
        }
    }

    pub(super) fn add_storm(&mut self, storm: Storm) {
        self.storm = Some(storm);
    }

    pub(super) fn add_start(&mut self, before: &[Cost]) {
        self.resident_bytes_before = before.iter().map(|cost| cost.resident_bytes).collect();
    }

    pub(super) fn add_memory(&mut self, before: &[Cost], after: &[Cost], leases: u64) {
        self.leases = Some(leases);
        let grown = before.iter().zip(after);
        let grown =
            grown.map(|(before, after)| after.resident_bytes as f64 - before.resident_bytes as f64);
        let each = grown.map(|bytes| rounded(bytes / leases.max(1) as f64, 10.0));
        self.bytes_per_lease = each.collect();
    }
}

fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles {
            p50,
            p99,
            p999,
            max,
        } = self.acquire_us;
        writeln!(
            f,
            "{} with {} workers for {} s",
            self.workload, self.workers, self.seconds
        )?;
        writeln!(
            f,
            "  operations  {} = {}/s",
            self.operations, self.ops_per_s
        )?;
        let timed = if self.workload == "read" {
            "read"
        } else {
            "acquire"
        };
        writeln!(
            f,
            "  {timed:<10}  p50 {p50} us, p99 {p99} us, p99.9 {p999} us, max {max} us"
        )?;
        write!(f, "  errors      {}", self.errors)?;
        if let Some(rate) = self.hand_overs_per_s {
            write!(f, "\n  hand-overs  {rate}/s")?;
        }
        if let Some(cost) = self.cpu_s_per_1000_ops {
            write!(
                f,
                "\n  server CPU  {cost} s for 1000 operations; each {:?} s",
                self.cpu_s
            )?;
        }
        if !self.resident_bytes_before.is_empty() {
            let mib = |bytes: &[u64]| bytes.iter().map(|b| b >> 20).collect::<Vec<_>>();
            let (before, after) = (&self.resident_bytes_before, &self.resident_bytes);
            write!(
                f,
                "\n  memory      from {:?} to {:?} MiB",
                mib(before),
                mib(after)
            )?;
        }
        if let Some(leases) = self.leases {
            write!(f, "\n  leases      {leases} held")?;
            if !self.bytes_per_lease.is_empty() {
                write!(
                    f,
                    "; each node grew by {:?} bytes for each",
                    self.bytes_per_lease
                )?;
            }
        }
        match &self.storm {
            Some(storm) => write!(f, "\n{storm}"),
            None => Ok(()),
        }
    }
}
