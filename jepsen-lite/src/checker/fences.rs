//! Fences rise: along the log, and along time.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Checker, Findings};
use crate::history::{Call, History};

/// No two grants have one fence, and a later one has a higher.
pub(super) struct Rise;

impl Checker for Rise {
    fn name(&self) -> &'static str {
        "fences-rise"
    }

    fn promise(&self) -> &'static str {
        "fences strictly rise, cluster-wide, in the order of revisions and in the order of time"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let grants = calls
            .iter()
            .filter(|call| call.f == "acquire" && call.is_ok());
        // What was told a second time was granted at another time than it was told.
        let first = grants.filter(|call| call.value.as_ref().is_none_or(|value| value != true));
        // Who asks again for what it has is told of the same lease, later.
        let mut known = HashSet::new();
        let with_fence = first.filter(|call| call.fence.is_some());
        let grants: Vec<&Call> = with_fence
            .filter(|call| known.insert((call.key(), call.session(), call.fence)))
            .collect();
        let mut findings = Findings {
            looked_at: grants.len() as u64,
            ..Findings::default()
        };
        along_the_log(&grants, &mut findings);
        along_time(&grants, &mut findings);
        once_each(&grants, &mut findings);
        findings
    }
}

/// A grant that came at once is told under its own revision. One that was waited for may be told
/// under a later one: its node looked, because it had missed the news. So the fences of the
/// former rise along their revisions, and those of the latter are below all that were granted at
/// once later.
fn along_the_log(grants: &[&Call], findings: &mut Findings) {
    let told = grants.iter().filter(|call| call.revision.is_some());
    let mut sorted: Vec<&Call> = told.copied().collect();
    sorted.sort_by_key(|call| (call.revision, call.fence));
    // Of those granted at once and later, the one with the lowest fence.
    let mut lowest: Option<&Call> = None;
    for call in sorted.into_iter().rev() {
        if let Some(later) = lowest
            && call.fence >= later.fence
            && !same_lease(call, later)
        {
            let what = format!(
                "fence {} at revision {} is followed by fence {} at revision {}",
                call.fence.unwrap_or(0),
                call.revision.unwrap_or(0),
                later.fence.unwrap_or(0),
                later.revision.unwrap_or(0),
            );
            findings.breaks(what, [call, later]);
        }
        let at_once = !call.asked.as_ref().is_some_and(waits);
        if at_once && lowest.is_none_or(|later| call.fence < later.fence) {
            lowest = Some(call);
        }
    }
}

/// Whether a call asked to wait.
pub(super) fn waits(asked: &Value) -> bool {
    asked.is_number() || asked["wait_ms"].as_u64().is_some_and(|wait| wait > 0)
}

fn along_time(grants: &[&Call], findings: &mut Findings) {
    let mut by_stop = grants.to_vec();
    by_stop.sort_by_key(|call| call.stop);
    let mut ended = by_stop.into_iter().peekable();
    let mut highest: Option<&Call> = None;
    // `grants` are in the order of their starts.
    for call in grants {
        while let Some(before) = ended.next_if(|before| before.stop <= call.start) {
            if highest.is_none_or(|highest| before.fence > highest.fence) {
                highest = Some(before);
            }
        }
        let Some(highest) = highest else { continue };
        if call.fence <= highest.fence && !same_lease(call, highest) {
            let what = format!(
                "fence {} was granted after fence {} had been acknowledged",
                call.fence.unwrap_or(0),
                highest.fence.unwrap_or(0)
            );
            findings.breaks(what, [highest, call]);
        }
    }
}

fn once_each(grants: &[&Call], findings: &mut Findings) {
    let mut seen: HashMap<u64, &Call> = HashMap::new();
    for call in grants {
        let fence = call.fence.unwrap_or(0);
        if let Some(first) = seen.insert(fence, call)
            && !same_lease(first, call)
        {
            findings.breaks(format!("fence {fence} was granted twice"), [first, *call]);
        }
    }
}

fn same_lease(one: &Call, other: &Call) -> bool {
    one.key == other.key && one.session == other.session && one.fence == other.fence
}
