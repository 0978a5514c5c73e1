//! What must hold of a run, each rule in words that a violation is told in.
//!
//! `log` looks at what happened, `answers` at whether what was told is what happened, `order` at
//! whether it could have been told in that order, `time` at whether leases lasted. None of them
//! knows how the cluster came to it.

mod answers;
mod log;
mod order;
mod time;

use crate::history::Call;
use crate::truth::Truth;

/// Every violation of a run.
#[must_use]
pub fn all(truth: &Truth, history: &[Call]) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(log::check(truth, history));
    found.extend(answers::check(truth, history));
    found.extend(order::check(truth, history));
    found.extend(time::check(truth, history));
    found
}
