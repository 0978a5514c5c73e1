//! Outcomes and events as the scripts write them.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::ring;
use crate::*;

/// Whether an event says no more than the outcome of the command that made it.
pub(super) fn repeats(what: &What, reply: &Reply) -> bool {
    match (&reply.outcome, what) {
        (Outcome::Opened { session: of, .. }, What::SessionOpened { session, .. }) => of == session,
        (Outcome::Granted(of), What::Granted { grant, .. }) => of == grant,
        (Outcome::GrantedAll(all), What::Granted { lock, grant, .. }) => {
            let is = |row: &LeaseRow| row.lock == *lock && row.fence == grant.fence;
            all.session == grant.session && all.leases.iter().any(is)
        }
        (Outcome::ValueSet, What::ValueSet { .. }) => true,
        (Outcome::Released, What::Ended { cause, .. }) => *cause == LeaseEnd::Released,
        (Outcome::Abandoned(Abandoned::Place), What::WaitEnded { refusal, .. }) => {
            refusal.is_none()
        }
        (Outcome::Abandoned(Abandoned::Place), What::WaitAllEnded { refusal, .. }) => {
            refusal.is_none()
        }
        _ => false,
    }
}

/// Whether an outcome, when it is new, must be told to the world.
pub(super) fn needs_event(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Opened { .. }
        | Outcome::Granted(_)
        | Outcome::Released
        | Outcome::ValueSet
        | Outcome::Abandoned(Abandoned::Place) => true,
        // Many at once may all be held already.
        Outcome::GrantedAll(_)
        | Outcome::Transferred { .. }
        | Outcome::Revoking { .. }
        | Outcome::Broken { .. }
        | Outcome::Renewed(_)
        | Outcome::Closed { .. }
        | Outcome::Queued(_)
        | Outcome::Abandoned(_)
        | Outcome::Ring(_)
        | Outcome::Refused(_) => false,
    }
}

pub(super) fn name_of(session: SessionId) -> String {
    format!("s{}", session.to_bits())
}

pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Opened {
            session,
            expires_at,
            ..
        } => format!("opened {} until={}", name_of(*session), expires_at.0),
        Outcome::Renewed(rows) => {
            let rows = rows.iter().map(|(id, renewal)| match renewal {
                Renewal::Until(at) => format!("{} until={}", name_of(*id), at.0),
                Renewal::Gone(gone) => format!("{} gone={}", name_of(*id), gone_text(*gone)),
            });
            format!("renewed {}", rows.collect::<Vec<_>>().join(", "))
        }
        Outcome::Closed { released } => {
            let rows = released
                .iter()
                .map(|(lock, fence)| format!(" {lock}={fence}"));
            format!("closed{}", rows.collect::<String>())
        }
        Outcome::Granted(grant) => format!(
            "granted {}{} fence={} until={}{}",
            name_of(grant.session),
            mode_text(grant.mode),
            grant.fence,
            grant.expires_at.0,
            hold_text(grant.hold_until)
        ),
        Outcome::GrantedAll(all) => all_text(all),
        Outcome::Queued(queued) => format!(
            "queued {} position={} ticket={} at={} until={}",
            name_of(queued.session),
            queued.position,
            queued.ticket,
            queued.attachment,
            queued.until.0
        ),
        Outcome::Abandoned(Abandoned::Place) => "abandoned".to_string(),
        Outcome::Abandoned(Abandoned::Lease(fence)) => format!("has lease fence={fence}"),
        Outcome::Abandoned(Abandoned::Leases(rows)) => {
            let rows = rows.iter().map(|(lock, fence)| format!(" {lock}={fence}"));
            format!("has leases{}", rows.collect::<String>())
        }
        Outcome::Abandoned(Abandoned::Nothing) => "nothing to abandon".to_string(),
        Outcome::Released => "released".to_string(),
        Outcome::ValueSet => "value set".to_string(),
        Outcome::Transferred { fence } => format!("transferred fence={fence}"),
        Outcome::Revoking { deadline, leases } => {
            format!("revoking {leases} until={}", deadline.0)
        }
        Outcome::Broken { leases } => format!("broken {leases}"),
        Outcome::Ring(outcome) => ring::outcome(outcome),
        Outcome::Refused(refusal) => refusal_text(refusal),
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Held {
            lock,
            holders,
            queue,
        } => format!(
            "refused {lock} held by={} queue={queue}",
            holders_text(holders)
        ),
        Refusal::WaitTimeout {
            lock,
            holders,
            position,
        } => format!(
            "refused {lock} wait_timeout by={} position={position}",
            holders_text(holders)
        ),
        Refusal::Deadlock { cycle } => {
            let steps = cycle.iter().map(|step| {
                let session = name_of(step.session);
                format!(" {session} holds={} wants={}", step.holds, step.wants)
            });
            format!("refused deadlock{}", steps.collect::<Vec<_>>().join(","))
        }
        Refusal::LimitMismatch { lock, of } => format!("refused {lock} limit_mismatch of={of}"),
        Refusal::UpgradeConflict { lock, mode } => {
            format!("refused {lock} upgrade_conflict mode={}", mode_word(*mode))
        }
        Refusal::Delayed { lock, until } => format!("refused {lock} delayed until={}", until.0),
        Refusal::SessionGone { session, cause } => {
            format!("refused {} gone={}", name_of(*session), gone_text(*cause))
        }
        Refusal::FenceStale { highest_fence } => {
            let highest = highest_fence.map_or("none".to_string(), |f| f.to_string());
            format!("refused fence_stale highest={highest}")
        }
        Refusal::Limit { limit } => format!("refused limit {limit:?}"),
        Refusal::KeyReused => "refused key_reused".to_string(),
        Refusal::Ring(refusal) => ring::refusal(refusal),
    }
}

fn holders_text(holders: &[Holder]) -> String {
    let rows = holders
        .iter()
        .map(|h| format!("{}#{}", name_of(h.session), h.fence));
    rows.collect::<Vec<_>>().join(",")
}

fn all_text(all: &GrantedAll) -> String {
    let rows = all.leases.iter().map(|row| {
        let mode = mode_text(row.mode);
        format!(" {}={}{mode}", row.lock, row.fence)
    });
    format!(
        "granted all {}{} until={}{}",
        name_of(all.session),
        rows.collect::<String>(),
        all.expires_at.0,
        hold_text(all.hold_until)
    )
}

/// A mode as the scripts write it: `exclusive`, `shared` or `2/5`.
fn mode_word(mode: Mode) -> String {
    match mode {
        Mode::Exclusive => "exclusive".to_string(),
        Mode::Shared => "shared".to_string(),
        Mode::Permits { count, of } => format!("{count}/{of}"),
    }
}

/// A mode behind something: nothing where it is the usual one.
fn mode_text(mode: Mode) -> String {
    match mode {
        Mode::Exclusive => String::new(),
        other => format!(" {}", mode_word(other)),
    }
}

fn hold_text(hold_until: Option<Deadline>) -> String {
    hold_until.map_or(String::new(), |until| format!(" hold={}", until.0))
}

fn end_text(cause: &LeaseEnd) -> String {
    match cause {
        LeaseEnd::Released => "release".to_string(),
        LeaseEnd::Session(gone) => gone_text(*gone).to_string(),
        LeaseEnd::EndedByOperator { reason } => format!("operator({reason})"),
        LeaseEnd::MaxHold => "max_hold".to_string(),
        LeaseEnd::Broken { reason } => format!("break({reason})"),
        LeaseEnd::Revoked { reason } => format!("revoke({reason})"),
        LeaseEnd::Transferred { to } => format!("transfer({})", name_of(*to)),
        LeaseEnd::Upgraded => "upgrade".to_string(),
        LeaseEnd::Downgraded => "downgrade".to_string(),
    }
}

fn gone_text(gone: Gone) -> &'static str {
    match gone {
        Gone::NeverExisted => "never",
        Gone::Closed => "closed",
        Gone::Expired => "expired",
        Gone::EndedByOperator => "operator",
    }
}

pub(super) fn event(what: &What) -> String {
    match what {
        What::SessionOpened { session, .. } => format!("opened {}", name_of(*session)),
        What::SessionEnded {
            session,
            cause,
            reason,
        } => {
            let reason = reason.as_ref().map_or(String::new(), |r| format!("({r})"));
            format!("ended {} {}{reason}", name_of(*session), gone_text(*cause))
        }
        What::Granted { lock, grant, .. } => format!(
            "granted {} {lock}{} fence={}{}",
            name_of(grant.session),
            mode_text(grant.mode),
            grant.fence,
            hold_text(grant.hold_until)
        ),
        What::Ended {
            lock,
            session,
            fence,
            cause,
            ..
        } => {
            let cause = end_text(cause);
            format!("lost {} {lock} fence={fence} by={cause}", name_of(*session))
        }
        What::WaitEnded {
            lock,
            session,
            ticket,
            refusal,
        } => {
            let why = why_text(refusal.as_ref());
            format!(
                "unqueued {} {lock} ticket={ticket} {why}",
                name_of(*session)
            )
        }
        What::GrantedAll { ticket, all } => format!("{} ticket={ticket}", all_text(all)),
        What::WaitAllEnded {
            session,
            ticket,
            locks,
            refusal,
        } => {
            let locks: Vec<_> = locks.iter().map(LockName::as_str).collect();
            let why = why_text(refusal.as_ref());
            format!(
                "unqueued {} {} ticket={ticket} {why}",
                name_of(*session),
                locks.join(",")
            )
        }
        What::RevokeRequested { .. } | What::ValueSet { .. } => of_a_lease(what),
        What::Ring(event) => ring::event(event),
    }
}

/// What happens to a lease between its beginning and its end.
fn of_a_lease(what: &What) -> String {
    match what {
        What::RevokeRequested {
            lock,
            session,
            fence,
            reason,
            deadline,
        } => format!(
            "asked {} {lock} fence={fence} until={} ({reason})",
            name_of(*session),
            deadline.0
        ),
        What::ValueSet {
            lock,
            session,
            fence,
            value,
            ..
        } => format!(
            "value {} {lock} fence={fence} {:?}",
            name_of(*session),
            value.as_deref().unwrap_or_default()
        ),
        other => unreachable!("nothing of the kind: {other:?}"),
    }
}

fn why_text(refusal: Option<&Refusal>) -> String {
    refusal.map_or("given up".to_string(), refusal_text)
}

pub(super) fn view(view: &LockView) -> String {
    let holders = view.holders.iter().map(|h| {
        let value = h.value.as_ref().map_or(String::new(), |v| format!("{v:?}"));
        let mode = mode_text(h.mode);
        format!("{}#{}{mode}{value}", name_of(h.session), h.fence)
    });
    let queue = view.queue.iter().map(|w| {
        let mode = mode_text(w.mode);
        format!("{}{mode}", name_of(w.session))
    });
    let delay = view.delayed_until.map(|at| format!(" delayed={}", at.0));
    let revoking = view.revoking.as_ref();
    let revoking = revoking.map(|(at, reason)| format!(" revoking={}({reason})", at.0));
    format!(
        "held by={} queue=[{}]{}{}",
        holders.collect::<Vec<_>>().join(","),
        queue.collect::<Vec<_>>().join(","),
        delay.unwrap_or_default(),
        revoking.unwrap_or_default()
    )
}

/// The kind of an outcome, without what it is about.
pub(in crate::tests) fn kind_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Opened { .. } => "opened".to_string(),
        Outcome::Renewed(_) => "renewed".to_string(),
        Outcome::Closed { .. } => "closed".to_string(),
        Outcome::Granted(_) => "granted".to_string(),
        Outcome::GrantedAll(_) => "granted all".to_string(),
        Outcome::Queued(_) => "queued".to_string(),
        Outcome::Released => "released".to_string(),
        Outcome::Abandoned(Abandoned::Place) => "abandoned place".to_string(),
        Outcome::Abandoned(Abandoned::Lease(_)) => "abandoned lease".to_string(),
        Outcome::Abandoned(Abandoned::Leases(_)) => "abandoned leases".to_string(),
        Outcome::Abandoned(Abandoned::Nothing) => "abandoned nothing".to_string(),
        Outcome::ValueSet => "value set".to_string(),
        Outcome::Transferred { .. } => "transferred".to_string(),
        Outcome::Revoking { .. } => "revoking".to_string(),
        Outcome::Broken { .. } => "broken".to_string(),
        Outcome::Refused(Refusal::Held { .. }) => "held".to_string(),
        Outcome::Refused(Refusal::WaitTimeout { .. }) => "wait_timeout".to_string(),
        Outcome::Refused(Refusal::Deadlock { .. }) => "deadlock".to_string(),
        Outcome::Refused(Refusal::LimitMismatch { .. }) => "limit_mismatch".to_string(),
        Outcome::Refused(Refusal::UpgradeConflict { .. }) => "upgrade_conflict".to_string(),
        Outcome::Refused(Refusal::Delayed { .. }) => "delayed".to_string(),
        Outcome::Refused(Refusal::SessionGone { .. }) => "session_gone".to_string(),
        Outcome::Refused(Refusal::FenceStale { .. }) => "fence_stale".to_string(),
        Outcome::Refused(Refusal::Limit { limit }) => format!("limit {limit:?}"),
        Outcome::Refused(Refusal::KeyReused) => "key_reused".to_string(),
        Outcome::Ring(_) => "ring".to_string(),
        Outcome::Refused(Refusal::Ring(refusal)) => ring::refusal(refusal),
    }
}
