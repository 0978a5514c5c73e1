//! What is said about each call.

mod bounds;
mod cluster;
mod leases;
mod locks;
mod node;
mod rings;
mod sessions;

use axum::http::Method;
use lockring_client::wire::{self, ErrorCode, header, route};
use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;

use crate::http::calls::{Call, Spec};

pub(super) use bounds::bounds;

/// What the document says on its first page.
pub(super) const INTRODUCTION: &str = "Fenced lock leases, replicated by Raft. Any node serves \
    any call.\n\nEvery answer carries `lockring-revision`. Every answer that is not a success is \
    `application/problem+json` with a `code`, and a `certainty` that tells whether anything may \
    have happened. Unknown fields and parameters are refused by name. The id of a session is a \
    bearer capability: whoever knows it whole can use it, so everybody but its owner sees only its \
    first eight digits. Times are in milliseconds of cluster time, which runs only while a leader \
    leads: it is never faster than a clock on the wall.";

/// What the key is for.
pub(super) const KEY: &str = "Names this call: repeating it under the same key has one effect, \
    and is answered with the first outcome. Without it a lost answer is lost. The last 64 keys of \
    a session are remembered; those of calls that open a session for as long as it lives.";

/// What the header of a stream's reader is for.
pub(super) const LAST_EVENT_ID: &str = "The id of the last event that is known; what comes next \
    follows. Readers of server-sent events send it by themselves when they come back.";

/// What is said about one call.
pub(super) struct About {
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) query: Vec<Value>,
    /// Whether it takes an `Idempotency-Key`.
    pub(super) keyed: bool,
    pub(super) body: Option<&'static str>,
    pub(super) body_required: bool,
    pub(super) successes: Vec<Success>,
    /// What the `data` of a stream's events is.
    pub(super) event_data: &'static [&'static str],
    /// What it can be answered with beside the problems that every call of its kind has.
    pub(super) problems: &'static [ErrorCode],
}

/// One way to succeed.
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// The schema of its JSON, or the content type of what is not.
    pub(super) schema: Result<&'static str, &'static str>,
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// What the parameter in a path is.
pub(super) fn path_parameter(spec: &Spec, name: &str) -> &'static str {
    let path = spec.path;
    if path == route::SESSION && spec.method == Method::DELETE {
        "The session's id, whole; an operator ends a session by the first eight digits of it."
    } else if path.starts_with(route::SESSIONS) {
        "The session's id, whole."
    } else if name == "ring" {
        "The ring's name, percent-encoded as one segment."
    } else if name == "member" {
        "The member's name, percent-encoded as one segment. It stays the same over restarts."
    } else if path.starts_with(route::LOCKS) {
        "The lock's name: UTF-8 without control characters, percent-encoded as one segment, so \
         that `/` is written `%2F`."
    } else {
        "The node's number."
    }
}

const READS: &[ErrorCode] = &[ErrorCode::Unready];
const STREAMS: &[ErrorCode] = &[ErrorCode::Limit, ErrorCode::Unready];
const CHANGES: &[ErrorCode] = &[
    ErrorCode::Limit,
    ErrorCode::Unready,
    ErrorCode::Indeterminate,
];
const CHANGES_A_SESSION: &[ErrorCode] = &[
    ErrorCode::SessionGone,
    ErrorCode::Limit,
    ErrorCode::Unready,
    ErrorCode::Indeterminate,
];
const CHANGES_THE_CLUSTER: &[ErrorCode] = &[
    ErrorCode::NotFound,
    ErrorCode::Unready,
    ErrorCode::Indeterminate,
];

/// A call without body, query or key, answered with 200.
fn plain(tag: &'static str, summary: &'static str, description: &'static str) -> About {
    About {
        tag,
        summary,
        description,
        query: Vec::new(),
        keyed: false,
        body: None,
        body_required: false,
        successes: Vec::new(),
        event_data: &[],
        problems: &[],
    }
}

impl About {
    fn ok(mut self, schema: &'static str, description: &'static str) -> Self {
        self.successes.push(Success {
            status: 200,
            description,
            schema: Ok(schema),
            headers: &[],
        });
        self
    }

    /// A stream of server-sent events, whose `data` is one of these schemas.
    fn events(mut self, data: &'static [&'static str], description: &'static str) -> Self {
        self.event_data = data;
        self.text(wire::EVENT_STREAM, description)
    }

    fn text(mut self, content_type: &'static str, description: &'static str) -> Self {
        self.successes.push(Success {
            status: 200,
            description,
            schema: Err(content_type),
            headers: &[],
        });
        self
    }

    fn status(mut self, status: u16) -> Self {
        let last = self.successes.last_mut().expect("follows a success");
        last.status = status;
        self
    }

    fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        let last = self.successes.last_mut().expect("follows a success");
        last.headers = headers;
        self
    }

    /// The caller may have to come back for its answer.
    fn may_queue(self) -> Self {
        self.ok(
            "Queued",
            "The caller has a place: repeat the call with the same key.",
        )
        .status(202)
        .headers(&[(
            header::IDEMPOTENCY_KEY,
            "The key to repeat the call with, if it had none.",
        )])
    }

    fn keyed(mut self) -> Self {
        self.keyed = true;
        self
    }

    fn query<T: IntoParams>(mut self) -> Self {
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        self.query = parameters
            .into_iter()
            .map(|parameter| serde_json::to_value(parameter).expect("a parameter is JSON"))
            .collect();
        self
    }

    /// Every field of it may be left out, and so may the whole.
    fn may_have(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    fn has(mut self, body: &'static str) -> Self {
        self.body_required = true;
        self.may_have(body)
    }

    fn problems(mut self, problems: &'static [ErrorCode]) -> Self {
        self.problems = problems;
        self
    }
}

pub(super) fn about(call: Call) -> About {
    match call {
        Call::OpenSession => sessions::open_session(),
        Call::ListSessions => sessions::list_sessions(),
        Call::GetSession => sessions::get_session(),
        Call::RenewSession => sessions::renew_session(),
        Call::CloseSession => sessions::close_session(),
        Call::SessionEvents => sessions::session_events(),
        Call::ListLocks => locks::list_locks(),
        Call::GetLock => locks::get_lock(),
        Call::CheckFence => locks::check_fence(),
        Call::LockHistory => locks::lock_history(),
        Call::Events => locks::events(),
        Call::Acquire => leases::acquire(),
        Call::AcquireAll => leases::acquire_all(),
        Call::Release => leases::release(),
        Call::SetValue => leases::set_value(),
        Call::Transfer => leases::transfer(),
        Call::Revoke => leases::revoke(),
        Call::Break => leases::break_now(),
        Call::ListRings => rings::list(),
        Call::GetRing => rings::get(),
        Call::ConfigureRing => rings::configure(),
        Call::GetRingTable => rings::table(),
        Call::JoinRing => rings::join(),
        Call::LeaveRing => rings::leave(),
        Call::DrainMember => rings::drain(),
        Call::ReleaseSlots => rings::release(),
        Call::LookUp => rings::look_up(),
        Call::LookUpAll => rings::look_up_all(),
        Call::PlanRing => rings::plan(),
        Call::DiffRing => rings::diff(),
        Call::FreezeRing => rings::freeze(),
        Call::WatchRing => rings::watch(),
        Call::UnfreezeRing => rings::unfreeze(),
        Call::GetCluster => cluster::get_cluster(),
        Call::AddNode => cluster::add_node(),
        Call::RemoveNode => cluster::remove_node(),
        Call::TransferLeader => cluster::transfer_leader(),
        Call::GetDigest => cluster::get_digest(),
        Call::Health => node::health(),
        Call::Ready => node::ready(),
        Call::Metrics => node::metrics(),
        Call::OpenApi => node::openapi(),
        Call::Docs => node::docs(),
        Call::Ui => node::ui(),
    }
}
