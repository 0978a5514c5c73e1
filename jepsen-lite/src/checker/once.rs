//! One key, one effect, one outcome.

use std::collections::HashMap;

use serde_json::Value;

use super::{Checker, Findings};
use crate::history::{Call, End, History};

/// All answers under one idempotency key tell the same.
pub(super) struct OneEffect;

impl Checker for OneEffect {
    fn name(&self) -> &'static str {
        "one-key-one-effect"
    }

    fn promise(&self) -> &'static str {
        "a call that is repeated under its key has one effect and one outcome, through any node, \
         after snapshots and failovers too"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let mut by_key: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in calls.iter().filter(|call| call.end != End::Info) {
            // Nothing was decided: the node did not take the call.
            let undecided = call.end == End::Fail && !is_decided(call);
            if let Some(Value::String(key)) = &call.asked
                && !undecided
            {
                by_key.entry(key).or_default().push(call);
            }
        }
        let mut findings = Findings::default();
        for (key, answers) in by_key {
            let Some((first, rest)) = answers.split_first() else {
                continue;
            };
            for again in rest {
                findings.looked_at += 1;
                if outcome(first) != outcome(again) {
                    let what = format!("key {key} has two outcomes");
                    findings.breaks(what, [*first, *again]);
                } else if first.value == Some(Value::Bool(false))
                    && again.value == Some(Value::Bool(false))
                {
                    findings.breaks(format!("key {key} was served twice"), [*first, *again]);
                }
            }
        }
        findings
    }
}

fn outcome(call: &Call) -> (bool, Option<u64>, Option<&str>) {
    let error = call.error.as_deref();
    (call.is_ok(), call.fence.filter(|_| call.is_ok()), error)
}

/// Answers of the replicated machine, not of the door of one node.
fn is_decided(call: &Call) -> bool {
    matches!(
        call.error.as_deref(),
        Some("held" | "fence_stale" | "wait_timeout" | "deadlock")
    )
}
