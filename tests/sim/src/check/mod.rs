//! What must hold of a run, each rule in words that a violation is told in.
//!
//! `log` looks at what happened, `ends` at when leases ended there, `answers` at whether what was
//! told is what happened, `many` at waits and at what is granted together, `order` at whether it
//! could have been told in that order, `time` at whether leases lasted, `rings` at who served what,
//! and `stream` at what a reader of events was told. None of them knows how the cluster came to
//! it.

mod answers;
mod ends;
mod log;
mod many;
mod order;
mod rings;
mod stream;
mod time;
#[cfg(test)]
mod tests;

use crate::history::Call;
use crate::truth::Truth;

pub use rings::served;
pub use stream::heard;

/// Every violation of a run by what was asked, told and done.
#[must_use]
pub fn all(truth: &Truth, history: &[Call]) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(log::check(truth, history));
    found.extend(ends::check(truth, history));
    found.extend(answers::check(truth, history));
    found.extend(many::check(truth, history));
    found.extend(order::check(truth, history));
    found.extend(time::check(truth, history));
    found.extend(rings::check(truth, history));
    found
}
