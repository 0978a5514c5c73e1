//! Only who holds a lease can give it back, and only under its fence.

use std::collections::HashMap;

use super::{Checker, Findings};
use crate::history::{Call, End, History};

/// No release works for a session that does not hold that lease.
pub(super) struct OwnLeasesOnly;

impl Checker for OwnLeasesOnly {
    fn name(&self) -> &'static str {
        "own-leases-only"
    }

    fn promise(&self) -> &'static str {
        "a release works only for the session that was granted the lease, under its fence"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let mut owners: HashMap<u64, &Call> = HashMap::new();
        for call in calls
            .iter()
            .filter(|call| call.f == "acquire" && call.is_ok())
        {
            if let Some(fence) = call.fence {
                owners.insert(fence, call);
            }
        }
        // A session that never learnt what one of its acquires came to may hold any fence.
        let unsure = |session: &str, key: &str| {
            calls.iter().any(|call| {
                let open = call.f == "acquire" && call.end == End::Info;
                open && call.session() == session && call.key() == key
            })
        };
        let mut findings = Findings::default();
        for call in calls.iter().filter(|call| call.f == "release") {
            findings.looked_at += 1;
            if !call.is_ok() {
                continue;
            }
            let fence = call.fence.unwrap_or(0);
            match owners.get(&fence) {
                Some(owner) if owner.session() == call.session() && owner.key() == call.key() => {}
                Some(owner) => {
                    let what = format!(
                        "session {} released fence {fence} of session {}",
                        call.session(),
                        owner.session()
                    );
                    findings.breaks(what, [*owner, call]);
                }
                None if unsure(call.session(), call.key()) => {}
                None => {
                    let what = format!(
                        "{}: fence {fence}, which nobody got, was released",
                        call.key()
                    );
                    findings.breaks(what, [call]);
                }
            }
        }
        findings
    }
}
