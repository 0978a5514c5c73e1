//! A lock whose holder fell silent is granted to the next no later than is documented:
//! TTL + failover gap + one tick + one commit after the last renewal that may have counted.

use std::collections::HashMap;

use super::{Checker, Findings};
use crate::clock::MS;
use crate::history::{Call, End, History, NEMESIS};

/// Waiters are served in time.
pub(super) struct InTime;

/// A tick, a commit, and whatever a busy machine adds to them.
const SLACK: u64 = 2_500 * MS;
/// After a fault: an election, and reconnections.
const RECOVERY: u64 = 6_000 * MS;
/// How long a renewal of unknown outcome may be on its way.
const ON_THE_WAY: u64 = 5_000 * MS;

impl Checker for InTime {
    fn name(&self) -> &'static str {
        "regranted-in-time"
    }

    fn promise(&self) -> &'static str {
        "a waiter is granted the lock of a silent holder within its TTL, the failover gap, a tick \
         and a commit"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let faults = faults(history);
        let ends = last_ends(&calls);
        let mut keys: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in calls.iter().filter(|call| call.f == "acquire") {
            keys.entry(call.key()).or_default().push(call);
        }
        let mut findings = Findings::default();
        for asked in keys.values() {
            let mut granted: Vec<&&Call> = asked.iter().filter(|call| call.is_ok()).collect();
            granted.sort_by_key(|call| call.fence);
            for pair in granted.windows(2) {
                let (before, next) = (pair[0], pair[1]);
                // Somebody in between may have had it and never learnt so.
                let unsure = asked.iter().any(|call| {
                    call.end == End::Info && call.start < next.stop && call.start > before.start
                        || call.end == End::Info && ends_after(call, before)
                });
                let Some(end) = ends.get(before.session()).filter(|_| !unsure) else {
                    continue;
                };
                findings.looked_at += 1;
                let due = (*end).max(next.start);
                let allowed = due + SLACK + hindered(&faults, before.stop, next.stop);
                if next.stop > allowed {
                    let what = format!(
                        "{}: fence {} was granted {} ms after it was due",
                        next.key(),
                        next.fence.unwrap_or(0),
                        (next.stop - due) / MS
                    );
                    findings.breaks(what, [*before, *next]);
                }
            }
        }
        findings
    }
}

/// An unknown acquire that began a little before may still have been granted in between.
fn ends_after(call: &Call, before: &Call) -> bool {
    call.start + ON_THE_WAY * 4 > before.start && call.start < before.stop
}

/// When each session ends at the latest, by everything that may have renewed it.
fn last_ends(calls: &[Call]) -> HashMap<&str, u64> {
    let mut ttls: HashMap<&str, u64> = HashMap::new();
    let mut ends: HashMap<&str, u64> = HashMap::new();
    for call in calls {
        match call.f.as_str() {
            "open" if call.is_ok() => {
                ttls.insert(call.session(), call.ttl_ms.unwrap_or(0) * MS);
            }
            "renew" if call.end != End::Fail => {}
            _ => continue,
        }
        let Some(ttl) = ttls.get(call.session()) else {
            continue;
        };
        let at = if call.is_ok() {
            call.stop
        } else {
            call.start + ON_THE_WAY
        };
        let end = ends.entry(call.session()).or_default();
        *end = (at + ttl).max(*end);
    }
    ends
}

/// The windows of faults, each with its recovery.
pub(super) fn faults(history: &History) -> Vec<(u64, u64)> {
    let told = history.events.iter();
    let told = told.filter(|event| event.process == NEMESIS && event.f == "fault");
    told.filter_map(|event| {
        let until = event.value.as_ref()?["until"].as_u64()?;
        Some((event.t, until.max(event.t) + RECOVERY))
    })
    .collect()
}

/// How much of this time some fault was in force.
fn hindered(faults: &[(u64, u64)], from: u64, to: u64) -> u64 {
    let spans = faults.iter().map(|(began, ended)| {
        let (began, ended) = ((*began).max(from), (*ended).min(to));
        ended.saturating_sub(began)
    });
    spans.sum()
}
