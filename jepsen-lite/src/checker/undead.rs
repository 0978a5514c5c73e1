//! What is over stays over.

use std::collections::HashMap;

use serde_json::Value;

use super::early::rows;
use super::{Checker, Findings};
use crate::history::{Call, History};

/// After an answer that something is gone, nothing works or shows that would need it.
pub(super) struct NothingReturns;

#[derive(Default)]
struct Over<'a> {
    /// When a session was known to be gone, and by which call.
    sessions: HashMap<&'a str, &'a Call>,
    /// When a lease was known to be over, by session and fence.
    leases: HashMap<(&'a str, u64), &'a Call>,
    /// When a wait was known to be over without a grant, by session and lock.
    waits: HashMap<(&'a str, &'a str), &'a Call>,
}

impl Checker for NothingReturns {
    fn name(&self) -> &'static str {
        "nothing-returns"
    }

    fn promise(&self) -> &'static str {
        "what was told to be released, gone or timed out is never again renewed, released, \
         granted or shown"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let over = Over::of(&calls);
        let mut findings = Findings {
            looked_at: (over.sessions.len() + over.leases.len() + over.waits.len()) as u64,
            ..Findings::default()
        };
        for call in calls.iter().filter(|call| call.is_ok()) {
            match call.f.as_str() {
                "renew" | "acquire" | "release" => over.used(call, &mut findings),
                "check" | "holders" => over.shown(call, &mut findings),
                _ => {}
            }
        }
        findings
    }
}

impl<'a> Over<'a> {
    fn of(calls: &'a [Call]) -> Self {
        let mut over = Self::default();
        let mut asked: HashMap<(&str, &str), u32> = HashMap::new();
        for call in calls.iter().filter(|call| call.f == "acquire") {
            *asked.entry((call.session(), call.key())).or_default() += 1;
        }
        for call in calls {
            let session = call.session();
            let gone = call.failed_with("session_gone") || (call.f == "close" && call.is_ok());
            if gone {
                earlier(&mut over.sessions, session, call);
            }
            let released = call.f == "release" && call.is_ok();
            // A stale fence is over only for who had it, and a stranger never had it.
            let fence = call.fence.unwrap_or(0);
            if released {
                earlier(&mut over.leases, (session, fence), call);
            }
            let place = (session, call.key());
            let timed_out = call.failed_with("wait_timeout") || call.failed_with("held");
            if timed_out && asked.get(&place) == Some(&1) {
                earlier(&mut over.waits, place, call);
            }
        }
        over
    }

    /// A call that only a living session, or the holder of a lease, can make.
    fn used(&self, call: &Call, findings: &mut Findings) {
        if let Some(gone) = self.sessions.get(call.session())
            && call.start >= gone.stop
            && !is_replay(call)
        {
            let what = format!(
                "{} worked for session {}, which is gone",
                call.f,
                call.session()
            );
            findings.breaks(what, [*gone, call]);
        }
        let lease = (call.session(), call.fence.unwrap_or(0));
        if call.f == "release"
            && let Some(released) = self.leases.get(&lease)
            && call.start >= released.stop
            && released.asked.is_none()
        {
            let what = format!("fence {} was released twice", lease.1);
            findings.breaks(what, [*released, call]);
        }
    }

    /// A read that shows what is over.
    fn shown(&self, call: &Call, findings: &mut Findings) {
        if call.f == "check" {
            let fence = call.fence.unwrap_or(0);
            let released = self.leases.iter().find(|((_, of), _)| *of == fence);
            if let Some((_, released)) = released
                && call.value == Some(Value::Bool(true))
                && call.start >= released.stop
            {
                let what = format!("fence {fence} is in force after its release");
                findings.breaks(what, [*released, call]);
            }
            return;
        }
        for (list, row) in ["holders", "queue"]
            .into_iter()
            .flat_map(|list| rows(call, list).map(move |row| (list, row)))
        {
            let session = row["session"].as_str().unwrap_or_default();
            let fence = row["fence"].as_u64().unwrap_or(0);
            let places = [
                self.sessions.get(session),
                self.leases.get(&(session, fence)),
                self.waits.get(&(session, call.key())),
            ];
            for ended in places.into_iter().flatten() {
                if call.start >= ended.stop {
                    let what = format!(
                        "{}: session {session} is among the {list} after that was over",
                        call.key()
                    );
                    findings.breaks(what, [*ended, call]);
                }
            }
        }
    }
}

/// An outcome that is told again, of a call that was served while the session lived.
fn is_replay(call: &Call) -> bool {
    call.asked.as_ref().is_some_and(Value::is_string)
}

fn earlier<'a, K: std::hash::Hash + Eq>(of: &mut HashMap<K, &'a Call>, key: K, call: &'a Call) {
    let known = of.entry(key).or_insert(call);
    if call.stop < known.stop {
        *known = call;
    }
}
