//! Waits, and what is granted together: a call that asks again has the place that it had, and of
//! many locks all are granted or none.

use std::collections::{BTreeMap, BTreeSet};

use lockring_core::{GrantedAll, LockName, Op, Outcome, Queued, RequestId, SessionId, What};

use crate::history::Call;
use crate::truth::Truth;

/// The newest place of which a request was told, and by which revision it had it.
type Places<'a> = BTreeMap<RequestId, (u64, &'a Queued)>;

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let ends = Ends::of(truth);
    let mut found = Vec::new();
    let mut places = Places::new();
    for call in history {
        let (Some((request, op)), Some(reply)) = (call.ask.command(), call.reply()) else {
            continue;
        };
        match &reply.outcome {
            Outcome::Queued(queued) => {
                let now = (reply.revision, queued);
                let (since, before) = *places.entry(request).or_insert(now);
                if before.ticket == queued.ticket {
                    continue;
                }
                places.insert(request, now);
                // A session has one place for a lock, however many of its calls share it.
                if !ends.is_over(op, before, since, reply.revision) {
                    found.push(format!(
                        "a place is kept: client {} had place {} and was told at revision {} \
                         that it has place {}",
                        call.client, before.ticket, reply.revision, queued.ticket
                    ));
                }
            }
            Outcome::GrantedAll(all) if !reply.replayed => {
                let since = places.get(&request).map_or(reply.revision, |(at, _)| *at);
                found.extend(ends.is_whole(op, all, since, reply.revision));
            }
            _ => {}
        }
    }
    found
}

/// What the log says of places and leases.
#[derive(Debug, Default)]
struct Ends {
    tickets: BTreeSet<u64>,
    /// When a session was granted a lock.
    granted: BTreeMap<(SessionId, LockName), Vec<u64>>,
    /// Of each lease: when it began.
    leases: BTreeMap<u64, u64>,
    sessions: BTreeMap<SessionId, u64>,
}

impl Ends {
    fn of(truth: &Truth) -> Self {
        let mut ends = Self::default();
        for (revision, moment) in &truth.moments {
            for event in &moment.events {
                match &event.what {
                    What::WaitEnded { ticket, .. }
                    | What::WaitAllEnded { ticket, .. }
                    | What::GrantedAll { ticket, .. } => {
                        ends.tickets.insert(*ticket);
                    }
                    What::Granted { lock, grant, .. } => {
                        ends.leases.insert(grant.fence.number(), *revision);
                        let key = (grant.session, lock.clone());
                        ends.granted.entry(key).or_default().push(*revision);
                    }
                    What::SessionEnded { session, .. } => {
                        ends.sessions.insert(*session, *revision);
                    }
                    _ => {}
                }
            }
        }
        ends
    }

    /// Whether that place was given up or became a lease between two revisions.
    fn is_over(&self, op: &Op, place: &Queued, since: u64, until: u64) -> bool {
        let became = |lock: &LockName| {
            let key = (place.session, lock.clone());
            let granted = self.granted.get(&key).into_iter().flatten();
            granted.into_iter().any(|at| (since..=until).contains(at))
        };
        let granted = matches!(op, Op::Acquire { lock, .. } if became(lock));
        granted
            || self.tickets.contains(&place.ticket)
            || self.sessions.contains_key(&place.session)
    }

    /// Whether all of what was asked for is granted, and what was waited for at once.
    fn is_whole(&self, op: &Op, all: &GrantedAll, since: u64, told: u64) -> Option<String> {
        let Op::AcquireAll { wants, .. } = op else {
            return None;
        };
        let rows = all.leases.iter().map(|row| (&row.lock, row.mode));
        let asked = wants.iter().map(|want| (&want.lock, want.mode));
        let began = all
            .leases
            .iter()
            .map(|row| self.leases.get(&row.fence.number()).copied());
        let began: Option<Vec<u64>> = began.collect();
        let Some(began) = began else {
            return Some(format!(
                "nothing acknowledged is lost: {all:?} was told at revision {told}, and the log \
                 has not got all of it"
            ));
        };
        // What began earlier it had before it asked.
        let anew: BTreeSet<u64> = began.into_iter().filter(|at| *at >= since).collect();
        let whole = rows.eq(asked) && anew.len() <= 1;
        (!whole).then(|| {
            format!(
                "all or nothing: {wants:?} were asked for by revision {since}, and granted at \
                 {anew:?}: {all:?}"
            )
        })
    }
}
