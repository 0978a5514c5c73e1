//! What happened: the history of a lock, the watch over all locks, the stream of one session.
//!
//! Streams are server-sent events: `event:` is the kind, `data:` one of the types here as JSON, and
//! `id:` the place to resume from, with `Last-Event-ID` or `after`. The id of the last event of a
//! revision is that revision's number; one that more of the same revision follow is
//! `revision.place`, so that a stream that breaks between two of them can go on exactly there.

use serde::{Deserialize, Serialize};

use super::{Consistency, ErrorCode, GoneCause, Mode};

/// The content type of a stream.
pub const EVENT_STREAM: &str = "text/event-stream";

/// Something that happened. Beside the first four fields it has those that its kind needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// The revision that made it; one revision may make several events.
    pub revision: u64,
    /// What kind it is.
    pub event: EventKind,
    /// When, in milliseconds of cluster time.
    pub at_ms: u64,
    /// When, by the clock of the node that led, in milliseconds since 1970: for people to read.
    pub wall_ms: u64,
    /// Of which lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The first eight digits of whose session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who that says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How the lease shares the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The number of the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// Why a lease ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<LeaseEndCause>,
    /// Why a session ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<GoneCause>,
    /// What the operator who did it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `value_set`: what the lease is seen with now; absent if with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `transferred`: the first eight digits of the session that has the lock now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `revoke_requested`: when what is still held is broken, in milliseconds of cluster time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// `wait_ended` of a wait for many locks: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Vec<String>>,
    /// `wait_ended`: the id of the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<u64>,
    /// `wait_ended`: what the waiter was answered; absent if it gave its place up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EventKind {
    /// A lease was granted.
    Granted,
    /// Its holder gave a lease up, or closed the session that had it.
    Released,
    /// A lease ended with its session's TTL or with its own longest hold.
    Expired,
    /// An operator ended a lease, or the session that had it.
    Broken,
    /// A lease was not given up by the deadline of a revoke.
    Revoked,
    /// A lease was given to another session.
    Transferred,
    /// A lease was replaced by one of the same session in another mode.
    Changed,
    /// The holder of a lease is asked to give it up.
    RevokeRequested,
    /// A holder changed what its lease is seen with.
    ValueSet,
    /// A place in a queue ended without a grant.
    WaitEnded,
    /// A session was opened.
    SessionOpened,
    /// A session ended.
    SessionEnded,
}

/// Why a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LeaseEndCause {
    /// Its holder released it.
    Released,
    /// Its session was closed by its client.
    Closed,
    /// Its session's client was silent for its TTL.
    Expired,
    /// An operator ended its session.
    EndedByOperator,
    /// It reached its longest hold.
    MaxHold,
    /// An operator broke it.
    Broken,
    /// It was still held at the deadline of a revoke.
    Revoked,
    /// Its holder gave it to another session.
    Transferred,
    /// Its holder has an exclusive lease in its place.
    Upgraded,
    /// Its holder has a shared lease in its place.
    Downgraded,
}

/// Data of a `gap` event, and of a row of a history's gaps: events of these revisions may be
/// missing. Whoever follows the state of something looks at it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Gap {
    /// The first revision in it.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// Query of `GET /v1/locks/{name}/history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct HistoryQuery {
    /// Only what happened behind this revision; `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Rows at most, 1–1000; 100 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Linearizable if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Waits until the view reflects at least this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<u64>,
}

/// 200 to `GET /v1/locks/{name}/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryPage {
    /// What happened, oldest first. The events of one revision stay together, so that a page may
    /// be a little longer than asked.
    pub events: Vec<Event>,
    /// Where more may have happened than is known.
    pub gaps: Vec<Gap>,
    /// There are more: ask again with `after` set to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Query of `GET /v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct EventsQuery {
    /// Only of locks whose names start so; events of sessions are then left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The id of the last event that is known; what comes next follows. `Last-Event-ID` goes
    /// before it. Without both the stream begins with what happens next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Query of `GET /v1/sessions/{id}/events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::IntoParams),
    into_params(parameter_in = Query)
)]
pub struct SessionEventsQuery {
    /// The id of the last event that is known; what comes next follows. `Last-Event-ID` goes
    /// before it. Without both the stream begins with what happens next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Data of an event of one session's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SessionEvent {
    /// The session has a lease.
    Granted {
        /// Of which lock.
        lock: String,
        /// How it is shared.
        mode: Mode,
        /// Its number.
        fence: u64,
    },
    /// The session has a lease no more.
    Lost {
        /// Of which lock.
        lock: String,
        /// How it was shared.
        mode: Mode,
        /// Its number.
        fence: u64,
        /// Why.
        cause: LeaseEndCause,
        /// What the operator who ended it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator asks the session to give a lock up.
    RevokeRequested {
        /// Which.
        lock: String,
        /// The number of the session's lease.
        fence: u64,
        /// Why.
        reason: String,
        /// When the lease is broken if it is still held.
        deadline_in_ms: u64,
    },
    /// A third of the session's TTL is left, and it was not renewed. Told by the asked node's own
    /// clock, so it has no id.
    Expiring {
        /// When the session ends unless renewed.
        expires_in_ms: u64,
    },
    /// The session ended, and with it the stream.
    Ended {
        /// Why.
        cause: GoneCause,
        /// What the operator who ended it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Events of these revisions may be missing: look at the session.
    Gap {
        /// The first revision in it.
        from: u64,
        /// The last.
        to: u64,
    },
}

impl Event {
    /// An event with the fields that every one has; whoever tells it adds what its kind needs.
    #[must_use]
    pub const fn new(revision: u64, event: EventKind, at_ms: u64, wall_ms: u64) -> Self {
        Self {
            revision,
            event,
            at_ms,
            wall_ms,
            lock: None,
            session: None,
            owner: None,
            mode: None,
            fence: None,
            cause: None,
            gone: None,
            reason: None,
            value: None,
            to: None,
            deadline_ms: None,
            locks: None,
            ticket: None,
            code: None,
        }
    }
}

impl EventKind {
    /// The kind as it is written, also in the `event:` line of a stream.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Broken => "broken",
            Self::Revoked => "revoked",
            Self::Transferred => "transferred",
            Self::Changed => "changed",
            Self::RevokeRequested => "revoke_requested",
            Self::ValueSet => "value_set",
            Self::WaitEnded => "wait_ended",
            Self::SessionOpened => "session_opened",
            Self::SessionEnded => "session_ended",
        }
    }
}

impl SessionEvent {
    /// The kind as it is written, also in the `event:` line of a stream.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Granted { .. } => "granted",
            Self::Lost { .. } => "lost",
            Self::RevokeRequested { .. } => "revoke_requested",
            Self::Expiring { .. } => "expiring",
            Self::Ended { .. } => "ended",
            Self::Gap { .. } => "gap",
        }
    }
}

impl LeaseEndCause {
    /// The cause in words, as the end of a sentence.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Released => "its holder released it",
            Self::Closed => "its session was closed",
            Self::Expired => "its client was silent for its ttl",
            Self::EndedByOperator => "an operator ended its session",
            Self::MaxHold => "it reached its longest hold",
            Self::Broken => "an operator broke it",
            Self::Revoked => "it was still held at the deadline of a revoke",
            Self::Transferred => "its holder gave it to another session",
            Self::Upgraded => "its holder has an exclusive lease in its place",
            Self::Downgraded => "its holder has a shared lease in its place",
        }
    }
}

impl From<lockring_core::Gone> for LeaseEndCause {
    fn from(gone: lockring_core::Gone) -> Self {
        match gone {
            // No lease ends with a session that never was; a cause that is forgotten is old.
            lockring_core::Gone::NeverExisted | lockring_core::Gone::Expired => Self::Expired,
            lockring_core::Gone::Closed => Self::Closed,
            lockring_core::Gone::EndedByOperator => Self::EndedByOperator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_event_is_named_in_its_data_as_in_its_line() {
        let event = SessionEvent::Expiring { expires_in_ms: 7 };
        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["event"], event.kind());
        assert_eq!(written["expires_in_ms"], 7);
    }

    #[test]
    fn kinds_are_written_as_serde_writes_them() {
        for kind in [
            EventKind::Granted,
            EventKind::RevokeRequested,
            EventKind::WaitEnded,
            EventKind::SessionOpened,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
