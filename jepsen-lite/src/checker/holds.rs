//! Two sessions never certainly hold one lock at the same time.

use super::leases::{Lease, by_key, leases};
use super::{Checker, Findings};
use crate::clock::MS;
use crate::history::History;

/// Certain holds of one lock do not overlap.
pub(super) struct Disjoint;

impl Checker for Disjoint {
    fn name(&self) -> &'static str {
        "holds-are-disjoint"
    }

    fn promise(&self) -> &'static str {
        "the intervals in which holders certainly have one exclusive lock never overlap"
    }

    fn check(&self, history: &History) -> Findings {
        let all = leases(&history.calls());
        let mut findings = Findings::default();
        for of_key in by_key(&all).into_values() {
            // The lease that reaches furthest of those that began before.
            let mut reaching: Option<&Lease> = None;
            for lease in of_key {
                let Some(until) = lease.certain.filter(|until| *until > lease.from) else {
                    continue;
                };
                findings.looked_at += 1;
                if let Some(before) = reaching
                    && before.certain.is_some_and(|until| until > lease.from)
                    && before.session != lease.session
                {
                    let overlap = before.certain.unwrap_or(0).min(until) - lease.from;
                    let what = format!(
                        "{}: fences {} and {} were both certainly in force for {} ms",
                        lease.key,
                        before.fence,
                        lease.fence,
                        overlap / MS
                    );
                    findings.breaks(what, [&before.acquired, &lease.acquired]);
                }
                if reaching.is_none_or(|before| before.certain < Some(until)) {
                    reaching = Some(lease);
                }
            }
        }
        findings
    }
}
