//! The one place where errors become statuses.
//!
//! Everything that is not a success leaves through here as `application/problem+json`, with a code
//! that programs branch on, a sentence for people with the value and the bound in it, and whatever
//! helps with that code. Status and certainty are the code's own, in [`wire::ErrorCode`].

use std::borrow::Cow;

use axum::http::header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue};
use lockring_client::wire::{self, ErrorCode, Problem};
use lockring_core::{ClusterTime, CycleStep, Limit, LockName, Mode, Refusal, RingRefusal, limits};

use super::Api;
use super::access::{Denied, Permission};
use super::locks::holder;
use crate::service::ServiceError;

/// When to ask again after a bound was reached, or nobody led: an election takes about as long.
const RETRY_AFTER_MS: u64 = 1000;
/// The bytes of a wrong value that its problem body repeats.
const VALUE_BYTES_MAX: usize = 200;

/// Why a call is not answered with a success.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the service said.
    Service(ServiceError),
    /// The caller may not make this call.
    Denied(Denied, Permission),
    /// It is not a request that can be understood.
    Malformed(String),
    /// A field, a parameter or a header is not what it may be.
    Invalid {
        field: Cow<'static, str>,
        value: String,
        bound: String,
        detail: String,
    },
    /// The body does not say that it is JSON.
    UnsupportedMediaType,
    /// The body is beyond its bound.
    TooLarge,
    /// There is no such route.
    NoRoute(String),
    /// The route does not take the method.
    MethodNotAllowed { method: String, allow: String },
    /// A handler panicked, with this message.
    Panicked(String),
}

/// A problem and the headers that go with it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) problem: Problem,
    /// The revision of a refusal.
    pub(super) revision: Option<u64>,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl Failure {
    pub(super) fn invalid(
        field: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        bound: impl Into<String>,
    ) -> Self {
        let (field, value, bound) = (field.into(), value.into(), bound.into());
        let detail = format!("`{field}` is {}, {bound}", cut(&value));
        Self::Invalid {
            field,
            value,
            bound,
            detail,
        }
    }

    /// What the caller is told.
    pub(super) fn tell(self, api: &Api) -> Told {
        match self {
            Self::Service(error) => service(error, api),
            Self::Denied(denied, permission) => access(denied, permission),
            Self::Malformed(detail) => plain(ErrorCode::Malformed, detail),
            Self::Invalid {
                field,
                value,
                bound,
                detail,
            } => invalid(&field, &value, bound, detail),
            Self::UnsupportedMediaType => plain(
                ErrorCode::UnsupportedMediaType,
                "send `content-type: application/json` with a body (`curl --json`)",
            ),
            Self::TooLarge => {
                let bound = format!("at most {} bytes", limits::BODY_BYTES_MAX);
                let mut told = plain(ErrorCode::TooLarge, format!("the body is not {bound}"));
                told.problem.bound = Some(bound);
                told.with(CONNECTION, "close")
            }
            Self::NoRoute(path) => plain(
                ErrorCode::NotFound,
                format!(
                    "there is no route {}; a `/` in a lock's name is written %2F",
                    cut(&path)
                ),
            ),
            Self::MethodNotAllowed { method, allow } => {
                let detail = format!("{} is not one of {allow}", cut(&method));
                plain(ErrorCode::MethodNotAllowed, detail).with(ALLOW, &allow)
            }
            Self::Panicked(message) => bug(&message),
        }
    }
}

impl Told {
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("made of visible characters here");
        self.header = Some((name, value));
        self
    }

    fn again_later(mut self) -> Self {
        self.problem.retry_after_ms = Some(RETRY_AFTER_MS);
        self.with(RETRY_AFTER, &RETRY_AFTER_MS.div_ceil(1000).to_string())
    }
}

/// What a connection is told that is one too many: a whole answer, as bytes.
pub(super) fn refusal_of_connection(bound: &str) -> Vec<u8> {
    let told = limit(bound, format!("this node has reached `{bound}`"));
    let problem = told.problem;
    let body = serde_json::to_vec(&problem).expect("a problem is made of strings and numbers");
    let head = format!(
        "HTTP/1.1 {} Too Many Requests\r\ncontent-type: {}\r\nretry-after: 1\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        problem.status,
        wire::CONTENT_TYPE,
        body.len(),
    );
    [head.into_bytes(), body].concat()
}

fn plain(code: ErrorCode, detail: impl Into<String>) -> Told {
    Told {
        problem: Problem::new(code, detail),
        revision: None,
        header: None,
    }
}

fn service(error: ServiceError, api: &Api) -> Told {
    match error {
        ServiceError::Refused { revision, refusal } => Told {
            revision: Some(revision),
            ..refused(refusal, api.service().now())
        },
        ServiceError::Unready { leader, why } => {
            let mut told = plain(ErrorCode::Unready, why);
            told.problem.leader = leader.and_then(|leader| api.service().api_of(leader));
            told.again_later()
        }
        ServiceError::Indeterminate => plain(ErrorCode::Indeterminate, error.to_string()),
        ServiceError::Invalid {
            field,
            ref value,
            ref bound,
        } => invalid(field, value, bound.clone(), error.to_string()),
        ServiceError::NotFound { .. } => plain(ErrorCode::NotFound, error.to_string()),
        ServiceError::Busy { limit: bound } => limit(bound, error.to_string()),
        // An outcome names sessions only by their first digits, so it may be logged.
        ServiceError::Mismatch(_) => bug(&error.to_string()),
    }
}

/// What a waiter is answered, as others are told of it.
pub(super) fn code_of(refusal: &Refusal) -> ErrorCode {
    refused(refusal.clone(), ClusterTime(0)).problem.code
}

fn refused(refusal: Refusal, now: ClusterTime) -> Told {
    match refusal {
        Refusal::Held { holders, queue, .. } => {
            let mut told = plain(ErrorCode::Held, held_by(&holders));
            told.problem.holders = Some(holders.iter().map(|row| holder(row, now)).collect());
            told.problem.queue = Some(queue);
            told
        }
        Refusal::WaitTimeout {
            holders, position, ..
        } => {
            let before = match position {
                0 => "nobody was".to_owned(),
                1 => "1 was still".to_owned(),
                more => format!("{more} were still"),
            };
            let detail = format!("{}; {before} before you in the queue", held_by(&holders));
            let mut told = plain(ErrorCode::WaitTimeout, detail);
            told.problem.holders = Some(holders.iter().map(|row| holder(row, now)).collect());
            told.problem.position = Some(position);
            told
        }
        Refusal::Deadlock { cycle } => deadlock(&cycle),
        Refusal::LimitMismatch { lock, of } => limit_mismatch(&lock, of),
        Refusal::UpgradeConflict { lock, mode } => upgrade_conflict(&lock, mode),
        Refusal::Delayed { lock, until } => delayed(&lock, until.ms_since(now)),
        Refusal::SessionGone { session, cause } => {
            let cause = wire::GoneCause::from(cause);
            let detail = format!("session {}…: {cause}", session.short());
            let mut told = plain(ErrorCode::SessionGone, detail);
            told.problem.cause = Some(cause);
            told
        }
        Refusal::FenceStale { highest_fence } => {
            let detail = match highest_fence {
                Some(fence) => format!("not the session's lease; the lock's newest is {fence}"),
                None => "nobody holds the lock".to_owned(),
            };
            let mut told = plain(ErrorCode::FenceStale, detail);
            told.problem.highest_fence = Some(highest_fence.map(lockring_core::Fence::number));
            told
        }
        Refusal::Limit { limit: bound } => {
            let (name, most) = named(bound);
            limit(name, format!("the cluster has reached `{name}`, {most}"))
        }
        Refusal::Ring(refusal) => ring_refused(refusal),
        Refusal::KeyReused => {
            let field = "Idempotency-Key";
            let bound = "a key names one call".to_owned();
            let detail = format!("`{field}` was used for another call before: {bound}");
            invalid(field, "used before", bound, detail)
        }
    }
}

fn deadlock(cycle: &[CycleStep]) -> Told {
    let detail = format!("{} sessions would wait for each other", cycle.len());
    let mut told = plain(ErrorCode::Deadlock, detail);
    told.problem.cycle = Some(cycle.iter().map(step).collect());
    told
}

fn limit_mismatch(lock: &LockName, of: u32) -> Told {
    let detail = format!("`{lock}` is in use with {of} permits in all");
    let mut told = plain(ErrorCode::LimitMismatch, detail);
    told.problem.of = Some(of);
    told
}

fn upgrade_conflict(lock: &LockName, mode: Mode) -> Told {
    let detail = format!("the session has `{lock}`, or waits for it: {mode}");
    let mut told = plain(ErrorCode::UpgradeConflict, detail);
    told.problem.mode = Some(mode.into());
    told
}

fn delayed(lock: &LockName, retry_after_ms: u64) -> Told {
    let detail = format!("`{lock}` was lost abnormally, and is closed for {retry_after_ms} ms");
    let mut told = plain(ErrorCode::Delayed, detail);
    told.problem.retry_after_ms = Some(retry_after_ms);
    told
}

fn step(step: &CycleStep) -> wire::CycleStep {
    wire::CycleStep {
        session: step.session.short(),
        owner: step.owner.as_str().to_owned(),
        holds: step.holds.as_str().to_owned(),
        wants: step.wants.as_str().to_owned(),
    }
}

fn held_by(holders: &[lockring_core::Holder]) -> String {
    match holders {
        [] => "nobody holds the lock now".to_owned(),
        [holder, others @ ..] => {
            let more = match others.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let owner = match holder.owner.as_str() {
                "" => String::new(),
                owner => format!(" ({owner})"),
            };
            format!("held by session {}…{owner}{more}", holder.session.short())
        }
    }
}

const NOT_THE_MEMBER: &str = "the session, or the incarnation, is not the member's any more";

fn ring_refused(refusal: RingRefusal) -> Told {
    match refusal {
        RingRefusal::NoRing => plain(ErrorCode::NotFound, "there is no such ring"),
        RingRefusal::NoMember => plain(ErrorCode::NotFound, "the ring has no such member"),
        RingRefusal::MemberTaken { session } => plain(
            ErrorCode::Held,
            format!(
                "the member's name is bound to session {}…, which is alive or may still serve",
                session.short()
            ),
        ),
        RingRefusal::NotTheMember => {
            let mut told = plain(ErrorCode::FenceStale, NOT_THE_MEMBER);
            told.problem.highest_fence = Some(None);
            told
        }
        RingRefusal::HashInUse { hash } => {
            let hash = wire::RingHash::from(hash);
            let bound = format!("`{hash}` while the ring has members");
            let detail = format!("`hash` stays {bound}: their keys would change places");
            invalid("hash", "another", bound, detail)
        }
    }
}

fn named(limit: Limit) -> (&'static str, usize) {
    match limit {
        Limit::Sessions => ("sessions", limits::SESSIONS_MAX),
        Limit::Locks => ("locks", limits::LOCKS_MAX),
        Limit::WaitersPerLock => ("waiters_per_lock", limits::WAITERS_PER_LOCK_MAX),
        Limit::LeasesPerSession => ("leases_per_session", limits::LEASES_PER_SESSION_MAX),
        Limit::HoldersPerLock => ("holders_per_lock", limits::HOLDERS_PER_LOCK_MAX),
        Limit::Permits => ("permits", limits::PERMITS_MAX as usize),
        Limit::ValueBytes => ("value_bytes", limits::VALUE_BYTES_MAX),
        Limit::Rings => ("rings", limits::RINGS_MAX),
        Limit::MembersPerRing => ("members_per_ring", limits::MEMBERS_PER_RING_MAX),
        Limit::WeightPerRing => (
            "weight_per_ring",
            usize::try_from(limits::WEIGHT_PER_RING_MAX).expect("it is a small number"),
        ),
    }
}

fn limit(bound: &str, detail: String) -> Told {
    let mut told = plain(ErrorCode::Limit, detail);
    told.problem.limit = Some(bound.to_owned());
    told.again_later()
}

fn invalid(field: &str, value: &str, bound: String, detail: String) -> Told {
    let mut told = plain(ErrorCode::Invalid, detail);
    told.problem.field = Some(cut(field).to_owned());
    told.problem.value = Some(cut(value).to_owned());
    told.problem.bound = Some(bound);
    told
}

fn access(denied: Denied, permission: Permission) -> Told {
    let needed = permission.as_str();
    let mut told = match denied {
        Denied::Unauthenticated => plain(
            ErrorCode::Unauthenticated,
            format!("send `authorization: Bearer TOKEN` with a token that allows `{needed}`"),
        )
        .with(WWW_AUTHENTICATE, "Bearer"),
        Denied::Forbidden => plain(
            ErrorCode::Forbidden,
            format!("the token does not allow `{needed}`"),
        ),
    };
    told.problem.permission = Some(needed.to_owned());
    told
}

/// The caller gets the id of the line, and nothing of what is in it.
fn bug(what: &str) -> Told {
    let log_id = format!("{:016x}", rand::random::<u64>());
    tracing::error!(
        log_id,
        what,
        "an invariant failed while a call was answered"
    );
    let mut told = plain(
        ErrorCode::Bug,
        format!("the server's fault; its log has more under {log_id}"),
    );
    told.problem.log_id = Some(log_id);
    told
}

fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(VALUE_BYTES_MAX)]
}
