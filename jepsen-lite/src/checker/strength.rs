//! Whether a run was strong enough to say anything.
//!
//! A run in which nothing happened breaks nothing. So each workload must have got something done,
//! and under each kind of fault that was asked for, the fault must have taken hold and calls must
//! have been answered while it did.

use super::{Property, Verdict};
use crate::history::History;
use crate::nemesis::{Fault, Status};

/// Acknowledged calls of a workload below which nothing is said of it.
const CALLS_MIN: usize = 20;
/// Acknowledged calls, of all workloads, in all windows of one kind of fault.
const CALLS_UNDER_FAULT_MIN: usize = 3;

/// What is known of one kind of fault in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its kind.
    pub kind: String,
    /// How often it was tried.
    pub planned: usize,
    /// How often it took hold.
    pub installed: usize,
    /// How often it could not be, and why the last time.
    pub skipped: usize,
    /// The last reason why not.
    pub why: String,
    /// Calls acknowledged in its windows.
    pub calls: usize,
}

/// One row for each kind of fault that was planned.
#[must_use]
pub fn grid(history: &History, faults: &[Fault], kinds: &[String]) -> Vec<Row> {
    let acknowledged: Vec<u64> = history
        .calls()
        .iter()
        .filter(|call| call.is_ok())
        .map(|call| call.stop)
        .collect();
    let row = |kind: &String| {
        let of_kind: Vec<&Fault> = faults.iter().filter(|fault| fault.kind == *kind).collect();
        let installed: Vec<&&Fault> = of_kind
            .iter()
            .filter(|fault| fault.status == Status::Installed)
            .collect();
        let why = of_kind.iter().rev().find_map(|fault| fault.status.why());
        let within = |at: &u64| {
            let mut windows = installed.iter();
            windows.any(|fault| (fault.from..=fault.until).contains(at))
        };
        Row {
            kind: kind.clone(),
            planned: of_kind.len(),
            installed: installed.len(),
            skipped: of_kind.len() - installed.len(),
            why: why.unwrap_or_default().to_owned(),
            calls: acknowledged.iter().filter(|at| within(at)).count(),
        }
    };
    kinds.iter().map(row).collect()
}

/// Whether the run was strong enough.
#[must_use]
pub fn check(
    history: &History,
    faults: &[Fault],
    kinds: &[String],
    workloads: &[String],
) -> Property {
    let mut weak = Vec::new();
    for workload in workloads {
        let calls = history.of(workload).calls();
        let done = calls.iter().filter(|call| call.is_ok()).count();
        if done < CALLS_MIN {
            weak.push(format!("{workload}: only {done} calls were acknowledged"));
        }
    }
    for row in grid(history, faults, kinds) {
        if row.installed == 0 {
            weak.push(format!("{} never took hold: {}", row.kind, row.why));
        } else if row.calls < CALLS_UNDER_FAULT_MIN {
            weak.push(format!("{}: {} calls in its windows", row.kind, row.calls));
        }
    }
    Property {
        name: "strong-enough".to_owned(),
        workload: String::new(),
        promise: "every workload got something done, and calls were answered under every kind of \
                  fault that was asked for"
            .to_owned(),
        verdict: if weak.is_empty() {
            Verdict::Valid
        } else {
            Verdict::Unknown
        },
        looked_at: faults.len() as u64,
        found: weak.join("; "),
        counterexample: Vec::new(),
    }
}
