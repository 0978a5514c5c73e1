//! Leases last: none ends before its time, and while a holder can be certain, nobody else is.
//!
//! Clocks run at rates that differ by up to one in a hundred, which is what holders allow for.

use std::collections::BTreeMap;

use lockring_core::{
    Acquirer, Event, Gone, LeaseEnd, LockName, Mode, Op, Outcome, Renewal, SessionId, What,
};

use crate::history::Call;
use crate::truth::Truth;

/// What a holder counts of its TTL.
fn certain_ms(ttl_ms: u64) -> u64 {
    ttl_ms * 99 / 100
}

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let alive = alive(history);
    let mut found = never_early(truth, &alive);
    found.extend(certain(truth, history, &alive));
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
            // It lives from its grant on.
            Outcome::Granted(grant) if !reply.replayed => {
                if let Some((Op::Acquire { by, .. }, _)) = call.outcome()
                    && let Acquirer::OneLease(new) = by
                {
                    let row = alive.entry(grant.session).or_default();
                    row.ttl_ms = new.ttl.ms();
                    row.signs.push(sign);
                }
            }
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
            // One that lived for a lease alone ends with it.
            let held = |event: &Event| {
                matches!(&event.what, What::Ended { session: of, cause: LeaseEnd::MaxHold, .. }
                    if of == session)
            };
            if moment.events.iter().any(held) {
                continue;
            }
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

fn certain(truth: &Truth, history: &[Call], alive: &BTreeMap<SessionId, Alive>) -> Vec<String> {
    let ends = ends(truth, history);
    let mut holds: BTreeMap<LockName, Vec<Hold>> = BTreeMap::new();
    for call in history {
        let Some((op, outcome)) = call.outcome() else {
            continue;
        };
        let from_ms = call.told_ms.expect("it was answered");
        for (session, lock, mode, fence) in granted(op, outcome) {
            let Some(Alive { ttl_ms, signs }) = alive.get(&session) else {
                continue;
            };
            // What the holder knows of renewals, whenever it learns it.
            let sent = signs.iter().map(|(_, asked_ms, _)| *asked_ms).max();
            let expires = sent.map_or(0, |sent| sent + certain_ms(*ttl_ms));
            let given_up = [
                ends.released.get(&(session, fence)).copied(),
                ends.closed.get(&session).copied(),
                ends.taken.get(&fence).copied(),
            ];
            let until_ms = given_up.into_iter().flatten().min();
            holds.entry(lock.clone()).or_default().push(Hold {
                from_ms,
                until_ms: until_ms.unwrap_or(u64::MAX).min(expires),
                fence,
                mode,
                session,
            });
        }
    }
    let mut found = Vec::new();
    for (lock, mut holds) in holds {
        holds.retain(|hold| hold.from_ms < hold.until_ms);
        holds.sort_unstable_by_key(|hold| hold.from_ms);
        found.extend(overlaps(&lock, &holds));
    }
    found
}

/// What a caller was granted.
fn granted<'a>(op: &'a Op, outcome: &'a Outcome) -> Vec<(SessionId, &'a LockName, Mode, u64)> {
    match (op, outcome) {
        (Op::Acquire { lock, .. }, Outcome::Granted(grant)) => {
            vec![(grant.session, lock, grant.mode, grant.fence.number())]
        }
        (_, Outcome::GrantedAll(all)) => {
            let rows = all.leases.iter();
            rows.map(|row| (all.session, &row.lock, row.mode, row.fence.number()))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn overlaps(lock: &LockName, holds: &[Hold]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, one) in holds.iter().enumerate() {
        let later = holds[at + 1..].iter();
        for other in later.take_while(|other| other.from_ms < one.until_ms) {
            // How many permits there are is looked at in the log.
            let compatible = matches!(
                (one.mode, other.mode),
                (Mode::Shared, Mode::Shared) | (Mode::Permits { .. }, Mode::Permits { .. })
            );
            if one.session != other.session && !compatible {
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

/// When holders began to give up what they had.
#[derive(Debug, Default)]
struct Ends {
    released: BTreeMap<(SessionId, u64), u64>,
    closed: BTreeMap<SessionId, u64>,
    /// Leases that an operator or their longest hold ended, or that became others, and when that
    /// was seen: their holders are told, but cannot know by counting.
    taken: BTreeMap<u64, u64>,
}

fn ends(truth: &Truth, history: &[Call]) -> Ends {
    let mut ends = Ends::default();
    for moment in truth.moments.values() {
        for event in &moment.events {
            if let What::Ended { fence, cause, .. } = &event.what
                && !matches!(cause, LeaseEnd::Released | LeaseEnd::Session(_))
            {
                ends.taken.insert(fence.number(), moment.seen_ms);
            }
        }
    }
    for call in history {
        let Some((_, op)) = call.ask.command() else {
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
