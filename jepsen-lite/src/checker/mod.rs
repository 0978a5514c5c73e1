//! Checkers: each looks at a history for one way in which a promise may be broken.
//!
//! A checker is wrong in one of two ways. If it passes over what it should see, it is worthless;
//! that is what the hand-written histories in `tests.rs` and the planted bugs are for. If it
//! complains of what is allowed, it is worse; so each claims only what follows from times that
//! the caller took itself, and an answer that was not read decides nothing.

mod cached;
mod durable;
mod early;
mod fences;
mod fresh;
mod holds;
pub mod leases;
mod linear;
mod modes;
mod once;
mod order;
mod regrant;
mod rings;
mod sets;
pub mod sharing;
mod strangers;
mod stream;
pub mod strength;
#[cfg(test)]
mod tests;
pub(crate) mod told;
mod undead;

use serde::{Deserialize, Serialize};

use crate::history::{Event, History};
use crate::workload::Workload;

pub(crate) use cached::answered;
pub use linear::{Outcome, Register, Timed, linearize};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing was found.
    Valid,
    /// Too little was seen to say anything.
    Unknown,
    /// It is broken.
    Invalid,
}

/// One property of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Of which workload; empty for all together.
    pub workload: String,
    /// The promise, in a sentence.
    pub promise: String,
    /// What came of it.
    pub verdict: Verdict,
    /// How many cases were looked at.
    pub looked_at: u64,
    /// What was found, in a sentence; empty for nothing.
    pub found: String,
    /// The events of the first case that breaks it.
    pub counterexample: Vec<Event>,
}

/// What a checker found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many cases were looked at.
    pub looked_at: u64,
    /// The cases that break the property, each with its events.
    pub broken: Vec<(String, Vec<Event>)>,
    /// Why nothing can be said, if nothing can.
    pub unsure: Option<String>,
}

impl Findings {
    /// One more case that breaks the property.
    pub fn breaks<'a>(
        &mut self,
        what: String,
        calls: impl IntoIterator<Item = &'a crate::history::Call>,
    ) {
        let events = calls.into_iter().flat_map(|call| call.events.clone());
        self.broken.push((what, events.collect()));
    }
}

/// One way to look at a history.
pub trait Checker {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it holds the history against, in a sentence.
    fn promise(&self) -> &'static str;
    /// Looks.
    fn check(&self, history: &History) -> Findings;
}

/// What all workloads have to keep together.
#[must_use]
pub fn for_all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(fences::Rise),
        Box::new(fresh::Fresh),
        Box::new(durable::SyncedFirst),
        Box::new(durable::DamageRefused),
        Box::new(told::HistoriesFit),
    ]
}

/// What a workload has to keep.
#[must_use]
pub fn for_workload(workload: Workload) -> Vec<Box<dyn Checker>> {
    match workload {
        Workload::Lock => vec![
            Box::new(holds::Disjoint),
            Box::new(early::NothingLost),
            Box::new(undead::NothingReturns),
            Box::new(strangers::OwnLeasesOnly),
        ],
        Workload::FencedSet => vec![Box::new(sets::NothingLost)],
        Workload::UnfencedSet => vec![Box::new(sets::SomethingLost)],
        Workload::Register => vec![Box::new(linear::Linearizable::default())],
        Workload::Lease => vec![
            Box::new(holds::Disjoint),
            Box::new(early::NothingLost),
            Box::new(undead::NothingReturns),
            Box::new(regrant::InTime),
        ],
        Workload::Queue => vec![
            Box::new(order::FirstComeFirstServed),
            Box::new(holds::Disjoint),
            Box::new(early::NothingLost),
            Box::new(undead::NothingReturns),
        ],
        Workload::Retry => vec![
            Box::new(once::OneEffect),
            Box::new(early::NothingLost),
            Box::new(undead::NothingReturns),
        ],
        Workload::Modes => vec![
            Box::new(modes::Compatible),
            Box::new(modes::AllOrNothing),
            Box::new(modes::NoDeadlock),
            Box::new(early::NothingLost),
            Box::new(undead::NothingReturns),
        ],
        Workload::Watch => vec![
            Box::new(stream::Whole),
            Box::new(holds::Disjoint),
            Box::new(early::NothingLost),
        ],
        Workload::Ring => vec![
            Box::new(rings::EpochsRise),
            Box::new(rings::JoinsShow),
            Box::new(rings::OneOwner),
            Box::new(rings::AsPlanned),
        ],
        Workload::Cache => vec![
            Box::new(cached::NeverOlder),
            Box::new(cached::AnswersDisjoint),
            Box::new(cached::OneLoad),
        ],
    }
}

/// Every property that this history can be held against.
#[must_use]
pub fn check(history: &History) -> Vec<Property> {
    let mut properties: Vec<Property> = for_all()
        .iter()
        .map(|checker| judge(checker.as_ref(), "", history))
        .collect();
    for name in history.workloads() {
        let Ok(workload) = name.parse() else { continue };
        // What the tool itself did concerns every workload.
        let events = history.events.iter();
        let events = events.filter(|event| event.workload == name || event.workload.is_empty());
        let part = History::new(events.cloned().collect());
        let checkers = for_workload(workload);
        properties.extend(
            checkers
                .iter()
                .map(|checker| judge(checker.as_ref(), &name, &part)),
        );
    }
    properties
}

fn judge(checker: &dyn Checker, workload: &str, history: &History) -> Property {
    let findings = checker.check(history);
    let (verdict, found) = match (findings.broken.first(), findings.unsure) {
        (Some((what, _)), _) => {
            let more = findings.broken.len() - 1;
            let more = if more > 0 {
                format!(" (and {more} more)")
            } else {
                String::new()
            };
            (Verdict::Invalid, format!("{what}{more}"))
        }
        (None, Some(why)) => (Verdict::Unknown, why),
        (None, None) => (Verdict::Valid, String::new()),
    };
    let first = findings.broken.into_iter().next();
    Property {
        name: checker.name().to_owned(),
        workload: workload.to_owned(),
        promise: checker.promise().to_owned(),
        verdict,
        looked_at: findings.looked_at,
        found,
        counterexample: first.map(|(_, events)| events).unwrap_or_default(),
    }
}
