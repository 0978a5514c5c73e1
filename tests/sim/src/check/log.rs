//! What happened: fences rise, leases are compatible, nobody is granted anything after the end.

use std::collections::{BTreeMap, BTreeSet};

use lockring_core::{Deadline, LockName, Mode, Op, Outcome, SessionId, What};

use crate::history::Call;
use crate::truth::{Held, Truth, turn};

/// A wait that a caller was told of: since which revision, and until when.
type Waits = BTreeMap<(SessionId, LockName), Vec<(u64, Deadline)>>;

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let mut found = Vec::new();
    let mut holders: BTreeMap<LockName, Vec<Held>> = BTreeMap::new();
    let mut ended: BTreeSet<SessionId> = BTreeSet::new();
    let mut highest = 0;
    let waits = waits_of(history);
    for (revision, moment) in &truth.moments {
        for event in &moment.events {
            match &event.what {
                What::Granted { lock, grant, .. } => {
                    let fence = grant.fence.number();
                    if fence <= highest {
                        found.push(format!(
                            "fences rise: {lock} is granted fence {fence} at revision {revision}, \
                             after fence {highest}"
                        ));
                    }
                    highest = highest.max(fence);
                    if grant.expires_at <= event.at || ended.contains(&grant.session) {
                        found.push(format!(
                            "no grant to the dead: {lock} is granted at revision {revision} to a \
                             session that is over"
                        ));
                    }
                    let place = (grant.session, lock.clone());
                    let wait = waits.get(&place).into_iter().flatten();
                    let newest = wait.take_while(|(since, _)| since < revision).last();
                    if let Some((since, until)) = newest
                        && *until <= event.at
                        && !given_up(truth, *since, *revision, &place)
                    {
                        found.push(format!(
                            "no grant to the dead: {lock} is granted at revision {revision} to a \
                             waiter whose wait was over"
                        ));
                    }
                    let others = holders.get(lock).into_iter().flatten();
                    for other in others.filter(|held| !compatible(held.mode, grant.mode)) {
                        found.push(format!(
                            "one holder: {lock} is granted fence {fence} at revision {revision} \
                             while fence {} is in force",
                            other.fence
                        ));
                    }
                }
                What::SessionEnded { session, .. } => {
                    ended.insert(*session);
                }
                _ => {}
            }
            turn(&mut holders, &event.what);
        }
    }
    found
}

fn compatible(one: Mode, other: Mode) -> bool {
    match (one, other) {
        (Mode::Shared, Mode::Shared) | (Mode::Permits { .. }, Mode::Permits { .. }) => true,
        (Mode::Exclusive | Mode::Shared | Mode::Permits { .. }, _) => false,
    }
}

fn waits_of(history: &[Call]) -> Waits {
    let mut waits = Waits::new();
    for call in history {
        if let Some((Op::Acquire { lock, .. }, Outcome::Queued(queued))) = call.outcome() {
            let revision = call.revision().expect("it was answered");
            let place = (queued.session, lock.clone());
            waits
                .entry(place)
                .or_default()
                .push((revision, queued.until));
        }
    }
    waits.values_mut().for_each(|rows| rows.sort_unstable());
    waits
}

/// Whether that wait ended, so that a later grant is of another call; or the lease it became.
fn given_up(truth: &Truth, since: u64, until: u64, place: &(SessionId, LockName)) -> bool {
    let between = truth.moments.range(since + 1..until);
    let mut events = between.flat_map(|(_, moment)| &moment.events);
    events.any(|event| match &event.what {
        What::WaitEnded { lock, session, .. } | What::Ended { lock, session, .. } => {
            (*session, lock) == (place.0, &place.1)
        }
        What::Granted { lock, grant, .. } => (grant.session, lock) == (place.0, &place.1),
        _ => false,
    })
}
