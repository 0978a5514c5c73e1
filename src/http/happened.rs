//! Events of the log, as others see them and as their session's owner does.

use lockring_client::wire::{self, EventKind, LeaseEndCause, SessionEvent};
use lockring_core::{
    ClusterTime, Event, Fence, LeaseEnd, LockName, Owner, Reason, SessionId, What,
};

use super::error::code_of;
use crate::service::{Gap, Place, SessionNews};

pub(super) fn gap(gap: Gap) -> wire::Gap {
    wire::Gap {
        from: gap.after + 1,
        to: gap.upto,
    }
}

/// An event as others see it: of every session only the first digits. Nothing for what is no event
/// of a lock or a session, and for a grant of many locks, which is told by the grant of each.
pub(super) fn told(event: &Event) -> Option<wire::Event> {
    let new = |kind| wire::Event::new(event.revision, kind, event.at.0, event.wall_ms);
    let told = match &event.what {
        What::SessionOpened { session, owner } => wire::Event {
            owner: text(owner),
            ..of(new(EventKind::SessionOpened), *session)
        },
        What::SessionEnded {
            session,
            cause,
            reason,
        } => wire::Event {
            gone: Some((*cause).into()),
            reason: reason.as_ref().map(ToString::to_string),
            ..of(new(EventKind::SessionEnded), *session)
        },
        What::Granted { lock, grant, owner } => wire::Event {
            owner: text(owner),
            mode: Some(grant.mode.into()),
            ..of_lease(new(EventKind::Granted), lock, grant.session, grant.fence)
        },
        What::Ended {
            lock,
            session,
            owner,
            mode,
            fence,
            cause,
        } => {
            let ended = of_lease(new(kind(cause)), lock, *session, *fence);
            wire::Event {
                owner: text(owner),
                mode: Some((*mode).into()),
                cause: Some(cause_of(cause)),
                reason: reason_of(cause).map(ToString::to_string),
                to: receiver(cause).map(SessionId::short),
                ..ended
            }
        }
        What::RevokeRequested {
            lock,
            session,
            fence,
            reason,
            deadline,
        } => wire::Event {
            reason: Some(reason.to_string()),
            deadline_ms: Some(deadline.0),
            ..of_lease(new(EventKind::RevokeRequested), lock, *session, *fence)
        },
        What::ValueSet {
            lock,
            session,
            owner,
            fence,
            value,
        } => wire::Event {
            owner: text(owner),
            value: value.as_deref().map(str::to_owned),
            ..of_lease(new(EventKind::ValueSet), lock, *session, *fence)
        },
        What::WaitEnded { .. } | What::WaitAllEnded { .. } => return told_waiter(event),
        What::GrantedAll { .. } | What::Ring(_) => return None,
    };
    Some(told)
}

/// The end of a wait as others see it.
fn told_waiter(event: &Event) -> Option<wire::Event> {
    let new = wire::Event::new(
        event.revision,
        EventKind::WaitEnded,
        event.at.0,
        event.wall_ms,
    );
    let told = match &event.what {
        What::WaitEnded {
            lock,
            session,
            ticket,
            refusal,
        } => wire::Event {
            lock: Some(lock.as_str().to_owned()),
            ticket: Some(*ticket),
            code: refusal.as_ref().map(code_of),
            ..of(new, *session)
        },
        What::WaitAllEnded {
            session,
            ticket,
            locks,
            refusal,
        } => wire::Event {
            locks: Some(locks.iter().map(|lock| lock.as_str().to_owned()).collect()),
            ticket: Some(*ticket),
            code: refusal.as_ref().map(code_of),
            ..of(new, *session)
        },
        _ => return None,
    };
    Some(told)
}

fn of(event: wire::Event, session: SessionId) -> wire::Event {
    wire::Event {
        session: Some(session.short()),
        ..event
    }
}

fn of_lease(event: wire::Event, lock: &LockName, session: SessionId, fence: Fence) -> wire::Event {
    wire::Event {
        lock: Some(lock.as_str().to_owned()),
        fence: Some(fence.number()),
        ..of(event, session)
    }
}

fn text(owner: &Owner) -> Option<String> {
    Some(owner.as_str().to_owned())
}

fn kind(cause: &LeaseEnd) -> EventKind {
    match cause_of(cause) {
        LeaseEndCause::Released | LeaseEndCause::Closed => EventKind::Released,
        LeaseEndCause::Expired | LeaseEndCause::MaxHold => EventKind::Expired,
        LeaseEndCause::EndedByOperator | LeaseEndCause::Broken => EventKind::Broken,
        LeaseEndCause::Revoked => EventKind::Revoked,
        LeaseEndCause::Transferred => EventKind::Transferred,
        LeaseEndCause::Upgraded | LeaseEndCause::Downgraded => EventKind::Changed,
    }
}

fn cause_of(cause: &LeaseEnd) -> LeaseEndCause {
    match cause {
        LeaseEnd::Released => LeaseEndCause::Released,
        LeaseEnd::Session(gone) => (*gone).into(),
        LeaseEnd::EndedByOperator { .. } => LeaseEndCause::EndedByOperator,
        LeaseEnd::MaxHold => LeaseEndCause::MaxHold,
        LeaseEnd::Broken { .. } => LeaseEndCause::Broken,
        LeaseEnd::Revoked { .. } => LeaseEndCause::Revoked,
        LeaseEnd::Transferred { .. } => LeaseEndCause::Transferred,
        LeaseEnd::Upgraded => LeaseEndCause::Upgraded,
        LeaseEnd::Downgraded => LeaseEndCause::Downgraded,
    }
}

fn reason_of(cause: &LeaseEnd) -> Option<&Reason> {
    match cause {
        LeaseEnd::EndedByOperator { reason }
        | LeaseEnd::Broken { reason }
        | LeaseEnd::Revoked { reason } => Some(reason),
        LeaseEnd::Released
        | LeaseEnd::Session(_)
        | LeaseEnd::MaxHold
        | LeaseEnd::Transferred { .. }
        | LeaseEnd::Upgraded
        | LeaseEnd::Downgraded => None,
    }
}

fn receiver(cause: &LeaseEnd) -> Option<SessionId> {
    match cause {
        LeaseEnd::Transferred { to } => Some(*to),
        LeaseEnd::Released
        | LeaseEnd::Session(_)
        | LeaseEnd::EndedByOperator { .. }
        | LeaseEnd::MaxHold
        | LeaseEnd::Broken { .. }
        | LeaseEnd::Revoked { .. }
        | LeaseEnd::Upgraded
        | LeaseEnd::Downgraded => None,
    }
}

/// What a session's owner is told, and the place to go on from; nothing for what is not about it.
pub(super) fn owners(news: SessionNews, now: ClusterTime) -> Option<(Option<Place>, SessionEvent)> {
    let (place, what) = match news {
        SessionNews::Event(place, event) => (place, event.what),
        SessionNews::Gap { from, to } => return Some((None, SessionEvent::Gap { from, to })),
        SessionNews::Expiring { expires_in_ms } => {
            return Some((None, SessionEvent::Expiring { expires_in_ms }));
        }
        SessionNews::Gone(cause) => {
            let cause = cause.into();
            let reason = None;
            return Some((None, SessionEvent::Ended { cause, reason }));
        }
    };
    let event = match what {
        What::Granted { lock, grant, .. } => SessionEvent::Granted {
            lock: lock.as_str().to_owned(),
            mode: grant.mode.into(),
            fence: grant.fence.number(),
        },
        What::Ended {
            lock,
            mode,
            fence,
            cause,
            ..
        } => SessionEvent::Lost {
            lock: lock.as_str().to_owned(),
            mode: mode.into(),
            fence: fence.number(),
            cause: cause_of(&cause),
            reason: reason_of(&cause).map(ToString::to_string),
        },
        What::RevokeRequested {
            lock,
            fence,
            reason,
            deadline,
            ..
        } => SessionEvent::RevokeRequested {
            lock: lock.as_str().to_owned(),
            fence: fence.number(),
            reason: reason.to_string(),
            deadline_in_ms: deadline.ms_since(now),
        },
        What::SessionEnded { cause, reason, .. } => SessionEvent::Ended {
            cause: cause.into(),
            reason: reason.map(|reason| reason.to_string()),
        },
        What::SessionOpened { .. }
        | What::WaitEnded { .. }
        | What::GrantedAll { .. }
        | What::WaitAllEnded { .. }
        | What::ValueSet { .. }
        | What::Ring(_) => return None,
    };
    Some((Some(place), event))
}
