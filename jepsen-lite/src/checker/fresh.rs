//! A linearizable read reflects everything that was acknowledged before it was asked.
//!
//! Every answer names the revision that it is of, so this is a sort and a sweep: a read's
//! revision is at least the highest that had been told to anybody when the read began.

use super::{Checker, Findings};
use crate::history::{Call, History};

/// No read is older than what was known before it.
pub(super) struct Fresh;

impl Checker for Fresh {
    fn name(&self) -> &'static str {
        "reads-are-fresh"
    }

    fn promise(&self) -> &'static str {
        "a linearizable read reflects at least the revision that anybody had been told before"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let told: Vec<&Call> = calls
            .iter()
            .filter(|call| call.is_ok() && call.revision.is_some())
            .collect();
        let mut by_stop = told.clone();
        by_stop.sort_by_key(|call| call.stop);
        let mut ended = by_stop.into_iter().peekable();
        let mut newest: Option<&Call> = None;
        let mut findings = Findings::default();
        for call in told {
            while let Some(before) = ended.next_if(|before| before.stop <= call.start) {
                if newest.is_none_or(|newest| before.revision > newest.revision) {
                    newest = Some(before);
                }
            }
            if !matches!(call.f.as_str(), "holders" | "check") {
                continue;
            }
            findings.looked_at += 1;
            if let Some(newest) = newest
                && call.revision < newest.revision
            {
                let what = format!(
                    "a read of node {} reflects revision {} after {} had been told",
                    call.events[0].node.unwrap_or(0),
                    call.revision.unwrap_or(0),
                    newest.revision.unwrap_or(0)
                );
                findings.breaks(what, [newest, call]);
            }
        }
        findings
    }
}
