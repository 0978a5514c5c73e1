//! What was acknowledged is on disk, and damage there is not passed over.

use super::{Checker, Findings};
use crate::clock::MS;
use crate::history::{Event, History, NEMESIS};

/// While every flush of every node takes long, every acknowledgement does.
pub(super) struct SyncedFirst;

/// A node whose disk lost or changed something does not serve as if nothing had happened.
pub(super) struct DamageRefused;

fn told<'a>(history: &'a History, f: &'a str) -> impl Iterator<Item = &'a Event> {
    let events = history.events.iter();
    events.filter(move |event| event.process == NEMESIS && event.f == f)
}

/// Between the attaching of the last tracer and its effect.
const SETTLED: u64 = 100 * MS;

impl Checker for SyncedFirst {
    fn name(&self) -> &'static str {
        "synced-before-acknowledged"
    }

    fn promise(&self) -> &'static str {
        "no change is acknowledged before a majority has flushed it to disk: while each flush \
         takes some time, each acknowledgement takes as long"
    }

    fn check(&self, history: &History) -> Findings {
        let mut findings = Findings::default();
        for window in told(history, "slow-sync") {
            let number = |name: &str| window.value.as_ref().and_then(|value| value[name].as_u64());
            let (Some(delay), Some(until)) = (number("delay_ns"), number("until")) else {
                continue;
            };
            let changes = ["open", "acquire", "release", "renew", "close"];
            for call in history.calls() {
                let within = call.start >= window.t + SETTLED && call.stop <= until;
                if !within || !call.is_ok() || !changes.contains(&call.f.as_str()) {
                    continue;
                }
                // Calls through the client crate are several requests.
                if call.revision.is_none() {
                    continue;
                }
                findings.looked_at += 1;
                let took = call.stop - call.start;
                if took < delay - delay / 10 {
                    let what = format!(
                        "{} was acknowledged after {} ms while each flush took {} ms",
                        call.f,
                        took / MS,
                        delay / MS
                    );
                    findings.breaks(what, [&call]);
                }
            }
        }
        findings
    }
}

impl Checker for DamageRefused {
    fn name(&self) -> &'static str {
        "damage-is-refused"
    }

    fn promise(&self) -> &'static str {
        "a node that lost its directory, or whose log or snapshot has a bit flipped or its end cut \
         off, does not take up service under its old identity"
    }

    fn check(&self, history: &History) -> Findings {
        let mut findings = Findings::default();
        for event in told(history, "refusal") {
            findings.looked_at += 1;
            let value = event.value.clone().unwrap_or_default();
            if value["refused"] != true {
                let (damage, node) = (&value["damage"], event.node.unwrap_or(0));
                let what = format!("node {node} served in spite of {damage}");
                findings.broken.push((what, vec![event.clone()]));
            }
        }
        findings
    }
}
