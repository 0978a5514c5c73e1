//! Outcomes and events as the scripts write them.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::*;

/// Whether an event says no more than the outcome of the command that made it.
pub(super) fn repeats(what: &What, reply: &Reply) -> bool {
    match (&reply.outcome, what) {
        (Outcome::Opened { session: of, .. }, What::SessionOpened { session, .. }) => of == session,
        (Outcome::Granted(of), What::Granted { grant, .. }) => of == grant,
        (Outcome::Released, What::Ended { cause, .. }) => *cause == LeaseEnd::Released,
        (Outcome::Abandoned(Abandoned::Place), What::WaitEnded { refusal, .. }) => {
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
        | Outcome::Abandoned(Abandoned::Place) => true,
        Outcome::Renewed(_)
        | Outcome::Closed { .. }
        | Outcome::Queued(_)
        | Outcome::Abandoned(_)
        | Outcome::Refused(_) => false,
    }
}

fn name_of(session: SessionId) -> String {
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
            "granted {} fence={} until={}",
            name_of(grant.session),
            grant.fence,
            grant.expires_at.0
        ),
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
        Outcome::Abandoned(Abandoned::Nothing) => "nothing to abandon".to_string(),
        Outcome::Released => "released".to_string(),
        Outcome::Refused(refusal) => refusal_text(refusal),
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Held { holders, queue } => {
            format!("refused held by={} queue={queue}", holders_text(holders))
        }
        Refusal::WaitTimeout { holders, position } => format!(
            "refused wait_timeout by={} position={position}",
            holders_text(holders)
        ),
        Refusal::SessionGone { session, cause } => {
            format!("refused {} gone={}", name_of(*session), gone_text(*cause))
        }
        Refusal::FenceStale { highest_fence } => {
            let highest = highest_fence.map_or("none".to_string(), |f| f.to_string());
            format!("refused fence_stale highest={highest}")
        }
        Refusal::Limit { limit } => format!("refused limit {limit:?}"),
        Refusal::KeyReused => "refused key_reused".to_string(),
    }
}

fn holders_text(holders: &[Holder]) -> String {
    let rows = holders
        .iter()
        .map(|h| format!("{}#{}", name_of(h.session), h.fence));
    rows.collect::<Vec<_>>().join(",")
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
        What::SessionEnded { session, cause } => {
            format!("ended {} {}", name_of(*session), gone_text(*cause))
        }
        What::Granted { lock, grant, .. } => format!(
            "granted {} {lock} fence={}",
            name_of(grant.session),
            grant.fence
        ),
        What::Ended {
            lock,
            session,
            fence,
            cause,
            ..
        } => {
            let cause = match cause {
                LeaseEnd::Released => "release",
                LeaseEnd::Session(gone) => gone_text(*gone),
            };
            format!("lost {} {lock} fence={fence} by={cause}", name_of(*session))
        }
        What::WaitEnded {
            lock,
            session,
            ticket,
            refusal,
        } => {
            let why = refusal
                .as_ref()
                .map_or("given up".to_string(), refusal_text);
            format!(
                "unqueued {} {lock} ticket={ticket} {why}",
                name_of(*session)
            )
        }
    }
}

pub(super) fn view(view: &LockView) -> String {
    let queue = view.queue.iter().map(|w| name_of(w.session));
    format!(
        "held by={} queue=[{}]",
        holders_text(&view.holders),
        queue.collect::<Vec<_>>().join(",")
    )
}

/// The kind of an outcome, without what it is about.
pub(in crate::tests) fn kind_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Opened { .. } => "opened".to_string(),
        Outcome::Renewed(_) => "renewed".to_string(),
        Outcome::Closed { .. } => "closed".to_string(),
        Outcome::Granted(_) => "granted".to_string(),
        Outcome::Queued(_) => "queued".to_string(),
        Outcome::Released => "released".to_string(),
        Outcome::Abandoned(Abandoned::Place) => "abandoned place".to_string(),
        Outcome::Abandoned(Abandoned::Lease(_)) => "abandoned lease".to_string(),
        Outcome::Abandoned(Abandoned::Nothing) => "abandoned nothing".to_string(),
        Outcome::Refused(Refusal::Held { .. }) => "held".to_string(),
        Outcome::Refused(Refusal::WaitTimeout { .. }) => "wait_timeout".to_string(),
        Outcome::Refused(Refusal::SessionGone { .. }) => "session_gone".to_string(),
        Outcome::Refused(Refusal::FenceStale { .. }) => "fence_stale".to_string(),
        Outcome::Refused(Refusal::Limit { limit }) => format!("limit {limit:?}"),
        Outcome::Refused(Refusal::KeyReused) => "key_reused".to_string(),
    }
}
