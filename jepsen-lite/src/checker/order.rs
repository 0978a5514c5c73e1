//! Queues are served in the order in which waiters came.
//!
//! That A came before B is certain when somebody had seen A in the queue before B asked.

use std::collections::HashMap;

use super::early::rows;
use super::{Checker, Findings};
use crate::history::{Call, History};

/// Nobody is served before somebody who was seen to wait before he asked.
pub(super) struct FirstComeFirstServed;

impl Checker for FirstComeFirstServed {
    fn name(&self) -> &'static str {
        "first-come-first-served"
    }

    fn promise(&self) -> &'static str {
        "who was seen in the queue before another asked is granted first, over failovers too"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let mut seen: HashMap<(&str, &str), &Call> = HashMap::new();
        for read in calls
            .iter()
            .filter(|call| call.f == "holders" && call.is_ok())
        {
            for row in rows(read, "queue") {
                let session = row["session"].as_str().unwrap_or_default();
                let first = seen.entry((read.key(), session)).or_insert(read);
                if read.stop < first.stop {
                    *first = read;
                }
            }
        }
        let mut granted: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in calls
            .iter()
            .filter(|call| call.f == "acquire" && call.is_ok())
        {
            granted.entry(call.key()).or_default().push(call);
        }
        let mut findings = Findings::default();
        for (key, grants) in granted {
            for first in &grants {
                let Some(read) = seen.get(&(key, first.session())) else {
                    continue;
                };
                for second in grants.iter().filter(|second| second.start >= read.stop) {
                    // The same session may ask again; that is another place.
                    if second.session() == first.session() || read.stop < first.start {
                        continue;
                    }
                    findings.looked_at += 1;
                    if second.fence < first.fence {
                        let what = format!(
                            "{key}: session {} was seen to wait, and {}, which asked later, was \
                             granted before it",
                            first.session(),
                            second.session()
                        );
                        findings.breaks(what, [*first, *read, *second]);
                    }
                }
            }
        }
        findings
    }
}
