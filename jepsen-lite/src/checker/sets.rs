//! Elements that were added to a set outside, and are or are not there in the end.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Checker, Findings};
use crate::history::{Call, History};

/// With fences checked, every acknowledged element is there.
pub(super) struct NothingLost;

/// Without, some are not: else the run was too weak to show why fences exist.
pub(super) struct SomethingLost;

struct Sets {
    added: Vec<Call>,
    refused: Vec<Call>,
    finals: HashMap<String, HashSet<String>>,
}

impl Sets {
    fn of(history: &History) -> Self {
        let calls = history.calls();
        let mut finals = HashMap::new();
        for call in calls
            .iter()
            .filter(|call| call.f == "final" && call.is_ok())
        {
            let elements = call.value.as_ref().and_then(Value::as_array);
            let elements = elements
                .into_iter()
                .flatten()
                .map(Value::to_string)
                .collect();
            finals.insert(call.key().to_owned(), elements);
        }
        let adds: Vec<Call> = calls.into_iter().filter(|call| call.f == "add").collect();
        let (added, rest): (Vec<_>, Vec<_>) = adds.into_iter().partition(Call::is_ok);
        let refused = rest
            .into_iter()
            .filter(|call| call.end == crate::history::End::Fail);
        Self {
            added,
            refused: refused.collect(),
            finals,
        }
    }

    fn has(&self, call: &Call) -> bool {
        let element = call
            .asked
            .as_ref()
            .map(Value::to_string)
            .unwrap_or_default();
        let set = self.finals.get(call.key());
        set.is_some_and(|set| set.contains(&element))
    }

    fn lost(&self) -> Vec<&Call> {
        self.added.iter().filter(|call| !self.has(call)).collect()
    }

    fn unsure(&self) -> Option<String> {
        if self.finals.is_empty() {
            return Some("the sets were not read in the end".to_owned());
        }
        self.added
            .is_empty()
            .then(|| "nothing was added".to_owned())
    }
}

impl Checker for NothingLost {
    fn name(&self) -> &'static str {
        "no-update-is-lost"
    }

    fn promise(&self) -> &'static str {
        "of a set that checks fences no acknowledged element is lost, and no refused one appears"
    }

    fn check(&self, history: &History) -> Findings {
        let sets = Sets::of(history);
        let mut findings = Findings {
            looked_at: (sets.added.len() + sets.refused.len()) as u64,
            unsure: sets.unsure(),
            ..Findings::default()
        };
        if findings.unsure.is_some() {
            return findings;
        }
        for call in sets.lost() {
            let what = format!("{}: an acknowledged element is lost", call.key());
            findings.breaks(what, [call]);
        }
        for call in sets.refused.iter().filter(|call| sets.has(call)) {
            let what = format!(
                "{}: an element is there whose write was refused",
                call.key()
            );
            findings.breaks(what, [call]);
        }
        findings
    }
}

impl Checker for SomethingLost {
    fn name(&self) -> &'static str {
        "updates-are-lost-without-fences"
    }

    fn promise(&self) -> &'static str {
        "a set that does not check fences loses acknowledged elements when holders are paused past \
         their TTL; if it did not, the run was too weak to say anything of the set that does"
    }

    fn check(&self, history: &History) -> Findings {
        let sets = Sets::of(history);
        let lost = sets.lost().len() as u64;
        let weak = (lost == 0).then(|| {
            let added = sets.added.len();
            format!("of {added} elements none was lost: no holder was paused at the right moment")
        });
        Findings {
            looked_at: sets.added.len() as u64,
            unsure: sets.unsure().or(weak),
            ..Findings::default()
        }
    }
}
