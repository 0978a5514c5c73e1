//! Leases last: none ends before its time, and while a holder can be certain, nobody else is.
//!
//! Clocks run at rates that differ by up to one in a hundred, which is what holders allow for.

use std::collections::BTreeMap;

use lockring_core::{Acquirer, Gone, LockName, Mode, Op, Outcome, Renewal, SessionId, What};

use crate::history::{Ask, Call};
use crate::truth::Truth;

/// What a holder counts of its TTL.
fn certain_ms(ttl_ms: u64) -> u64 {
    ttl_ms * 99 / 100
}

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let alive = alive(history);
    let mut found = never_early(truth, &alive);
    found.extend(certain(history, &alive));
    found
}

/// Of each session: its TTL, and for each acknowledged sign of life its revision, when it was
/// asked for and when it was told.
#[derive(Debug, Default)]
struct Alive {
    ttl_ms: u64,
    signs: Vec<(u64, u64, u64)>,
}

fn alive(history: &[Call]) -> BTreeMap<SessionId, Alive> {
    let mut alive: BTreeMap<SessionId, Alive> = BTreeMap::new();
    for call in history {
        let (Some((_, outcome)), Some(reply), Some(told_ms)) =
            (call.outcome(), call.reply(), call.told_ms)
        else {
            continue;
        };
        let sign = (reply.revision, call.asked_ms, told_ms);
        match outcome {
            // What is replayed was done earlier than it was asked for.
            Outcome::Opened { session, ttl, .. } if !reply.replayed => {
                let row = alive.entry(*session).or_default();
                row.ttl_ms = ttl.ms();
                row.signs.push(sign);
            }
            Outcome::Renewed(rows) => {
                for (session, renewal) in rows {
                    if matches!(renewal, Renewal::Until(_)) {
                        alive.entry(*session).or_default().signs.push(sign);
                    }
                }
            }
            _ => {}
        }
    }
    alive
}

fn never_early(truth: &Truth, alive: &BTreeMap<SessionId, Alive>) -> Vec<String> {
    let mut found = Vec::new();
    for (revision, moment) in &truth.moments {
        for event in &moment.events {
            let What::SessionEnded {
                session,
                cause: Gone::Expired,
                ..
            } = &event.what
            else {
                continue;
            };
            let Some(Alive { ttl_ms, signs }) = alive.get(session) else {
                continue;
            };
            let before = signs.iter().filter(|(at, ..)| at < revision);
            let Some(asked_ms) = before.map(|(_, asked_ms, _)| *asked_ms).max() else {
                continue;
            };
            let lasted_ms = moment.seen_ms.saturating_sub(asked_ms);
            // The world moves in milliseconds, and so does each clock.
            if lasted_ms + 3 < certain_ms(*ttl_ms) {
                found.push(format!(
                    "no lease ends early: a session of {ttl_ms} ms ended at revision {revision}, \
                     {lasted_ms} ms after its last acknowledged renewal was sent"
                ));
            }
        }
    }
    found
}

/// A time in which a holder is certain.
#[derive(Debug)]
struct Hold {
    from_ms: u64,
    until_ms: u64,
    fence: u64,
    mode: Mode,
    session: SessionId,
}

fn certain(history: &[Call], alive: &BTreeMap<SessionId, Alive>) -> Vec<String> {
    let ends = ends(history);
    let mut holds: BTreeMap<LockName, Vec<Hold>> = BTreeMap::new();
    for call in history {
        let Some((Op::Acquire { lock, .. }, Outcome::Granted(grant))) = call.outcome() else {
            continue;
        };
        let from_ms = call.told_ms.expect("it was answered");
        let Some(Alive { ttl_ms, signs }) = alive.get(&grant.session) else {
            continue;
        };
        // What the holder knows of renewals, whenever it learns it.
        let sent = signs.iter().map(|(_, asked_ms, _)| *asked_ms).max();
        let expires = sent.map_or(0, |sent| sent + certain_ms(*ttl_ms));
        let fence = grant.fence.number();
        let given_up = [
            ends.released.get(&(grant.session, fence)).copied(),
            ends.closed.get(&grant.session).copied(),
            changed(history, call, grant.session, lock, grant.mode),
        ];
        let until_ms = given_up.into_iter().flatten().min();
        let hold = Hold {
            from_ms,
            until_ms: until_ms.unwrap_or(u64::MAX).min(expires),
            fence,
            mode: grant.mode,
            session: grant.session,
        };
        holds.entry(lock.clone()).or_default().push(hold);
    }
    let mut found = Vec::new();
    for (lock, mut holds) in holds {
        holds.retain(|hold| hold.from_ms < hold.until_ms);
        holds.sort_unstable_by_key(|hold| hold.from_ms);
        found.extend(overlaps(&lock, &holds));
    }
    found
}

fn overlaps(lock: &LockName, holds: &[Hold]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, one) in holds.iter().enumerate() {
        let later = holds[at + 1..].iter();
        for other in later.take_while(|other| other.from_ms < one.until_ms) {
            let both_shared = one.mode == Mode::Shared && other.mode == Mode::Shared;
            if one.session != other.session && !both_shared {
                found.push(format!(
                    "certain holds are disjoint: {lock} is certainly held with fence {} from {} \
                     to {} ms and with fence {} from {} ms",
                    one.fence, one.from_ms, one.until_ms, other.fence, other.from_ms
                ));
            }
        }
    }
    found
}

/// When the session first asked for the lock in another mode, unless that was answered for good
/// before this lease was asked for: the lease may be another one since.
fn changed(
    history: &[Call],
    of: &Call,
    session: SessionId,
    lock: &LockName,
    mode: Mode,
) -> Option<u64> {
    let Ask::Command(request, _) = &of.ask else {
        return None;
    };
    let same = |call: &&Call| matches!(&call.ask, Ask::Command(id, _) if id == request);
    let asked_ms = history.iter().find(same)?.asked_ms;
    let others = history.iter().filter(|call| {
        let Ask::Command(_, op) = &call.ask else {
            return false;
        };
        let settled = call.told_ms.is_some_and(|told_ms| told_ms <= asked_ms)
            && call
                .outcome()
                .is_some_and(|(_, outcome)| !matches!(outcome, Outcome::Queued(_)));
        let by_session = Acquirer::Session(session);
        let another = matches!(op, Op::Acquire { by, lock: of, mode: asked, .. }
            if *by == by_session && of == lock && *asked != mode);
        another && !settled
    });
    others.map(|call| call.asked_ms).min()
}

/// When holders began to give up what they had.
#[derive(Debug, Default)]
struct Ends {
    released: BTreeMap<(SessionId, u64), u64>,
    closed: BTreeMap<SessionId, u64>,
}

fn ends(history: &[Call]) -> Ends {
    let mut ends = Ends::default();
    for call in history {
        let Ask::Command(_, op) = &call.ask else {
            continue;
        };
        let first = |known: &mut u64| *known = (*known).min(call.asked_ms);
        match op {
            Op::Release { session, fence, .. } => {
                let lease = (*session, fence.number());
                first(ends.released.entry(lease).or_insert(u64::MAX));
            }
            Op::Close { session } => first(ends.closed.entry(*session).or_insert(u64::MAX)),
            _ => {}
        }
    }
    ends
}
