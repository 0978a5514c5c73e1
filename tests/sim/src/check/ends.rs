//! Why leases ended: none before its longest hold or the deadline of its revocation, and after an
//! abnormal loss the lock stays closed for as long as its holder asked for.

use std::collections::BTreeMap;

use lockring_core::{
    ClusterTime, Deadline, Event, Gone, LeaseEnd, LockName, Op, Outcome, SessionId, What,
};

use crate::history::Call;
use crate::truth::Truth;

/// What is known of leases and locks on the way through the log.
#[derive(Debug, Default)]
struct Known {
    /// Of each lease that may last only so long: until when.
    holds: BTreeMap<u64, Deadline>,
    /// Of each lease that was asked for: by when it is to be given up.
    asked: BTreeMap<u64, Deadline>,
    /// Of a lock whose lease is just changed: by when it is to be given up, then as before.
    heir: Option<(LockName, Deadline)>,
    /// Of each lock that somebody lost: until when it is closed.
    closed: BTreeMap<LockName, Deadline>,
}

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let delays = delays(history);
    let mut known = Known::default();
    let mut found = Vec::new();
    for moment in truth.moments.values() {
        for event in &moment.events {
            found.extend(look(event, &moment.events, &delays, &mut known));
        }
    }
    found
}

fn look(
    event: &Event,
    together: &[Event],
    delays: &BTreeMap<SessionId, u64>,
    known: &mut Known,
) -> Option<String> {
    match &event.what {
        What::Granted { lock, grant, .. } => {
            if let Some(until) = grant.hold_until {
                known.holds.insert(grant.fence.number(), until);
            }
            if let Some((_, deadline)) = known.heir.take_if(|(of, _)| of == lock) {
                known.asked.insert(grant.fence.number(), deadline);
            }
            let until = *known.closed.get(lock)?;
            let early = event.at < until && !is_changed(lock, together);
            early.then(|| {
                format!(
                    "a lost lock stays closed: {lock} is granted at revision {}, {} ms early",
                    event.revision,
                    until.ms_since(event.at)
                )
            })
        }
        What::RevokeRequested {
            fence, deadline, ..
        } => {
            known.asked.insert(fence.number(), *deadline);
            None
        }
        What::Ended {
            lock,
            session,
            fence,
            cause,
            ..
        } => {
            if is_abnormal(cause)
                && let Some(delay_ms) = delays.get(session)
            {
                let until = event.at.plus_ms(*delay_ms);
                let closed = known.closed.entry(lock.clone()).or_insert(until);
                *closed = (*closed).max(until);
            }
            let asked = known.asked.get(&fence.number()).copied();
            known.heir = asked
                .filter(|_| is_change(cause))
                .map(|deadline| (lock.clone(), deadline));
            let (rule, due) = match cause {
                LeaseEnd::MaxHold => ("longest hold", known.holds.get(&fence.number())),
                LeaseEnd::Revoked { .. } => ("revocation", known.asked.get(&fence.number())),
                _ => return None,
            };
            let due = due.copied().unwrap_or(ClusterTime(u64::MAX));
            (event.at < due).then(|| {
                format!(
                    "no lease ends early: fence {fence} of {lock} ended by its {rule} at revision \
                     {}, before its time",
                    event.revision
                )
            })
        }
        _ => None,
    }
}

/// Whether the lock's holder only changed its mode, or gave its lease away, in this revision.
fn is_changed(of: &LockName, together: &[Event]) -> bool {
    together.iter().any(|event| {
        let What::Ended { lock, cause, .. } = &event.what else {
            return false;
        };
        is_change(cause) && lock == of
    })
}

/// Whether another lease takes the place of the one that ended so.
const fn is_change(cause: &LeaseEnd) -> bool {
    matches!(
        cause,
        LeaseEnd::Transferred { .. } | LeaseEnd::Upgraded | LeaseEnd::Downgraded
    )
}

const fn is_abnormal(cause: &LeaseEnd) -> bool {
    matches!(
        cause,
        LeaseEnd::Session(Gone::Expired)
            | LeaseEnd::EndedByOperator { .. }
            | LeaseEnd::MaxHold
            | LeaseEnd::Broken { .. }
            | LeaseEnd::Revoked { .. }
    )
}

/// For how long the locks of sessions stay closed, of those whose opening was acknowledged.
fn delays(history: &[Call]) -> BTreeMap<SessionId, u64> {
    let mut delays = BTreeMap::new();
    for call in history {
        if let Some((Op::Open(new), Outcome::Opened { session, .. })) = call.outcome() {
            delays.insert(*session, new.lock_delay_ms);
        }
    }
    delays
}
