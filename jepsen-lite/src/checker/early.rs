//! No acknowledged grant is lost, and no session ends before its time.

use std::collections::HashMap;

use serde_json::Value;

use super::leases::{Lease, Lives, leases};
use super::{Checker, Findings};
use crate::history::{Call, End, History};

/// While a lease is certainly in force, everybody is told so.
pub(super) struct NothingLost;

impl Checker for NothingLost {
    fn name(&self) -> &'static str {
        "nothing-is-lost"
    }

    fn promise(&self) -> &'static str {
        "an acknowledged grant stands until it is released or its session's time is over, and no \
         session ends before its TTL has passed since its last acknowledged renewal"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let leases = leases(&calls);
        let lives = Lives::of(&calls);
        let mut by_fence: HashMap<u64, &Lease> = HashMap::new();
        for lease in &leases {
            by_fence.insert(lease.fence, lease);
        }
        let mut findings = Findings::default();
        for call in calls.iter().filter(|call| call.end != End::Info) {
            match call.f.as_str() {
                "check" | "release" => {
                    let lease = call.fence.and_then(|fence| by_fence.get(&fence));
                    if let Some(lease) = lease {
                        named(call, lease, &lives, &mut findings);
                    }
                }
                "holders" => shown(call, &leases, &mut findings),
                _ => {}
            }
            ended_early(call, &lives, &mut findings);
        }
        findings
    }
}

fn is_within(call: &Call, lease: &Lease) -> bool {
    call.start >= lease.from && lease.certain.is_some_and(|until| call.stop <= until)
}

/// A check or a release under the lease's fence.
fn named(call: &Call, lease: &Lease, lives: &Lives, findings: &mut Findings) {
    if call.f == "check" && call.is_ok() && is_within(call, lease) {
        findings.looked_at += 1;
        if call.value == Some(Value::Bool(false)) {
            let what = format!("{}: the grant of fence {} is lost", lease.key, lease.fence);
            findings.breaks(what, [&lease.acquired, call]);
        }
    }
    let own = call.f == "release" && call.session() == lease.session && call.start >= lease.from;
    let in_time = lives
        .until(&lease.session)
        .is_some_and(|until| call.stop <= until);
    // Only the first release finds the lease there; a certain hold ends as that is sent.
    let first = lease.certain == Some(call.start);
    if own && in_time && first {
        findings.looked_at += 1;
        if call.failed_with("fence_stale") {
            let what = format!(
                "{}: the holder of fence {} could not release it in time",
                lease.key, lease.fence
            );
            findings.breaks(what, [&lease.acquired, call]);
        }
    }
}

/// A read of the lock while a lease is certainly in force.
fn shown(call: &Call, leases: &[Lease], findings: &mut Findings) {
    if !call.is_ok() {
        return;
    }
    for lease in leases.iter().filter(|lease| lease.key == call.key()) {
        if !is_within(call, lease) {
            continue;
        }
        findings.looked_at += 1;
        if !holds(call, lease.fence) {
            let what = format!(
                "{}: a read does not show fence {}, which is in force",
                lease.key, lease.fence
            );
            findings.breaks(what, [&lease.acquired, call]);
        }
    }
}

/// Whether a read of a lock shows this fence among its holders.
pub(super) fn holds(read: &Call, fence: u64) -> bool {
    rows(read, "holders").any(|row| row["fence"].as_u64() == Some(fence))
}

/// The rows of a lock that was read: its `holders` or its `queue`.
pub(super) fn rows<'a>(read: &'a Call, of: &'a str) -> impl Iterator<Item = &'a Value> {
    let value = read.value.as_ref();
    let rows = value.and_then(|value| value[of].as_array());
    rows.into_iter().flatten()
}

/// An answer that the session is gone, although its time is not over.
fn ended_early(call: &Call, lives: &Lives, findings: &mut Findings) {
    let gone = call.failed_with("session_gone");
    let Some(until) = lives.until(call.session()) else {
        return;
    };
    if !gone {
        return;
    }
    findings.looked_at += 1;
    if call.stop <= until {
        let early = (until - call.stop) / crate::clock::MS;
        let what = format!(
            "session {} was told to be gone {early} ms before its time",
            call.session()
        );
        findings.breaks(what, [call]);
    }
}
