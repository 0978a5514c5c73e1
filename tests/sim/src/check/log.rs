//! What happened: fences rise, leases are compatible, nobody is granted anything after the end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lockring_core::{Acquirer, Deadline, LeaseEnd, LockName, Mode, Op, Outcome, SessionId, What};

use crate::history::Call;
use crate::truth::{Held, Truth, turn};

/// Waits that callers were told of: since which revision, until when, and under which ticket.
type Waits = BTreeMap<(SessionId, LockName), Vec<(u64, Deadline, u64)>>;

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
                    let newest = wait.take_while(|(since, ..)| since < revision).last();
                    if let Some((since, until, ticket)) = newest
                        && *until <= event.at
                        && !given_up(truth, *since..*revision, *ticket, &place)
                    {
                        found.push(format!(
                            "no grant to the dead: {lock} is granted at revision {revision} to a \
                             waiter whose wait was over"
                        ));
                    }
                    let others = holders.get(lock).map_or(&[][..], Vec::as_slice);
                    if !fits(grant.mode, others) {
                        found.push(format!(
                            "compatible holders only: {lock} is granted fence {fence} for {} at \
                             revision {revision} while {others:?} are in force",
                            grant.mode
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

/// Whether a lease of this mode leaves room for these others.
fn fits(mode: Mode, others: &[Held]) -> bool {
    match mode {
        Mode::Exclusive => others.is_empty(),
        Mode::Shared => others.iter().all(|held| held.mode == Mode::Shared),
        Mode::Permits { count, of } => {
            let permits = others.iter().map(|held| match held.mode {
                Mode::Permits { count, of: same } if same == of => Some(count),
                Mode::Permits { .. } | Mode::Exclusive | Mode::Shared => None,
            });
            let taken: Option<u32> = permits.sum();
            taken.is_some_and(|taken| taken + count <= of)
        }
    }
}

fn waits_of(history: &[Call]) -> Waits {
    let mut waits = Waits::new();
    let mut unsure = BTreeSet::new();
    for call in history {
        let Some((_, op)) = call.ask.command() else {
            continue;
        };
        let (by, locks): (Option<SessionId>, Vec<&LockName>) = match op {
            Op::Acquire { by, lock, .. } => match by {
                Acquirer::Session(session) => (Some(*session), vec![lock]),
                Acquirer::OneLease(_) => (None, vec![lock]),
            },
            Op::AcquireAll { session, wants, .. } => (
                Some(*session),
                wants.iter().map(|want| &want.lock).collect(),
            ),
            _ => continue,
        };
        let Some((_, Outcome::Queued(queued))) = call.outcome() else {
            // A call that was not answered may have made the session's wait longer.
            if let (Some(session), None) = (by, call.reply()) {
                let places = locks.into_iter().map(|lock| (session, lock.clone()));
                unsure.extend(places);
            }
            continue;
        };
        let revision = call.revision().expect("it was answered");
        for lock in locks {
            let place = waits.entry((queued.session, lock.clone())).or_default();
            place.push((revision, queued.until, queued.ticket));
        }
    }
    waits.retain(|place, _| !unsure.contains(place));
    waits.values_mut().for_each(|rows| rows.sort_unstable());
    waits
}

/// Whether that wait ended, so that a later grant is of another call; or the lease it became; or
/// whether what was granted was handed over by its holder, which nobody has to wait for.
fn given_up(
    truth: &Truth,
    span: Range<u64>,
    place_ticket: u64,
    place: &(SessionId, LockName),
) -> bool {
    let between = truth.moments.range(span.start + 1..=span.end);
    let mut events = between.flat_map(|(_, moment)| &moment.events);
    events.any(|event| match &event.what {
        What::Ended {
            lock,
            cause: LeaseEnd::Transferred { to },
            ..
        } if (*to, lock) == (place.0, &place.1) => true,
        // A holder that changes its mode ends the one lease and is granted the other at once.
        What::WaitEnded { lock, session, .. } | What::Ended { lock, session, .. } => {
            (*session, lock) == (place.0, &place.1)
        }
        // Of many locks it names those that it had places for, not those that were held already.
        What::WaitAllEnded {
            session, ticket, ..
        } => (*session, *ticket) == (place.0, place_ticket),
        What::Granted { lock, grant, .. } if event.revision < span.end => {
            (grant.session, lock) == (place.0, &place.1)
        }
        _ => false,
    })
}
