//! What is said about each call.

mod rings;

use lockring_client::wire::{self, ErrorCode, header, route};
use lockring_core::limits;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;

use crate::http::calls::Call;

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
pub(super) fn path_parameter(path: &str, name: &str) -> &'static str {
    if path.starts_with(route::SESSIONS) {
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

/// The bounds of fields, as JSON Schema has them.
pub(super) fn bounds() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    [bounds_of_locks(), rings::bounds()].concat()
}

fn bounds_of_locks() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let [ttl_min, ttl_max] = [limits::TTL_MS_MIN, limits::TTL_MS_MAX].map(|ms| json!(ms));
    let id = json!("^[0-9a-f]{32}$");
    vec![
        ("OpenSession", "ttl_ms", "minimum", ttl_min.clone()),
        ("OpenSession", "ttl_ms", "maximum", ttl_max.clone()),
        (
            "OpenSession",
            "owner",
            "maxLength",
            json!(limits::OWNER_BYTES_MAX),
        ),
        (
            "OpenSession",
            "metadata",
            "maxLength",
            json!(limits::METADATA_BYTES_MAX),
        ),
        ("Acquire", "session", "pattern", id.clone()),
        ("Acquire", "ttl_ms", "minimum", ttl_min),
        ("Acquire", "ttl_ms", "maximum", ttl_max),
        (
            "Acquire",
            "owner",
            "maxLength",
            json!(limits::OWNER_BYTES_MAX),
        ),
        ("Acquire", "wait_ms", "minimum", json!(0)),
        ("Acquire", "wait_ms", "maximum", json!(limits::WAIT_MS_MAX)),
        ("Release", "session", "pattern", id),
        ("AddNode", "id", "minimum", json!(1)),
        ("AddNode", "id", "maximum", json!(u32::MAX)),
    ]
}

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
        Call::OpenSession => open_session(),
        Call::ListSessions => list_sessions(),
        Call::GetSession => get_session(),
        Call::RenewSession => renew_session(),
        Call::CloseSession => close_session(),
        Call::ListLocks => list_locks(),
        Call::GetLock => get_lock(),
        Call::Acquire => acquire(),
        Call::Release => release(),
        Call::CheckFence => check_fence(),
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
        Call::WatchRing => rings::watch(),
        Call::FreezeRing => rings::freeze(),
        Call::UnfreezeRing => rings::unfreeze(),
        Call::GetCluster => get_cluster(),
        Call::AddNode => add_node(),
        Call::RemoveNode => remove_node(),
        Call::TransferLeader => transfer_leader(),
        Call::Health => plain(
            "node",
            "Whether the process lives",
            "A node without a leader is healthy: to restart it would help nobody.",
        )
        .text("text/plain", "It lives."),
        Call::Ready => plain(
            "node",
            "Whether the node can serve",
            "It asks the leader, as a linearizable read does; the problem tells why not.",
        )
        .text("text/plain", "It can.")
        .problems(&[ErrorCode::Unready]),
        Call::Metrics => plain(
            "node",
            "Figures",
            "In the text format of OpenMetrics, which Prometheus reads.",
        )
        .text("application/openmetrics-text", "The figures."),
        Call::OpenApi => plain(
            "node",
            "This document",
            "It describes every call of this node.",
        )
        .text("application/json", "An OpenAPI document."),
        Call::Docs => plain(
            "node",
            "This document, for people",
            "One page that needs nothing but this node.",
        )
        .text("text/html", "A page."),
        Call::Ui => plain(
            "node",
            "What the cluster is doing, for people",
            "One page that needs nothing but this node. It asks the other calls, with a token if \
             they need one.",
        )
        .text("text/html", "A page."),
    }
}

fn open_session() -> About {
    plain(
        "sessions",
        "Open a session",
        "A session is one client's liveness. It lives `ttl_ms` from its last renewal; when it \
         ends, every lease and every place in a queue that it has goes with it. The bounds and the \
         default of `ttl_ms` may be narrower in a cluster's configuration.",
    )
    .keyed()
    .may_have("OpenSession")
    .ok("Opened", "It is open.")
    .status(201)
    .problems(CHANGES)
}

fn list_sessions() -> About {
    plain(
        "sessions",
        "List live sessions",
        "A page may be a few rows longer than `limit`: it does not end between two sessions that \
         begin with the same eight digits.",
    )
    .query::<wire::SessionsQuery>()
    .ok("SessionPage", "A page.")
    .problems(READS)
}

fn get_session() -> About {
    plain(
        "sessions",
        "Get a session",
        "For its owner, who knows the id: its leases and its places in queues.",
    )
    .query::<wire::ReadQuery>()
    .ok("Session", "It is alive.")
    .problems(&[ErrorCode::SessionGone, ErrorCode::Unready])
}

fn renew_session() -> About {
    plain(
        "sessions",
        "Renew a session",
        "It lives its TTL from now. Acknowledged when committed; renewals that arrive within 20 ms \
         share one command. Harmless to repeat, so it needs no key.",
    )
    .ok("Renewed", "It lives on.")
    .problems(CHANGES_A_SESSION)
}

fn close_session() -> About {
    plain(
        "sessions",
        "Close a session",
        "Its leases are released and its places given up, in the same command. A repetition \
         without the first call's key is answered with 410.",
    )
    .keyed()
    .ok("Closed", "It is closed, and these leases went with it.")
    .problems(CHANGES_A_SESSION)
}

fn list_locks() -> About {
    plain(
        "locks",
        "List locks in use",
        "In the order of their names. A free lock is absent: it costs nothing and is not listed.",
    )
    .query::<wire::LocksQuery>()
    .ok("LockPage", "A page.")
    .problems(READS)
}

fn get_lock() -> About {
    plain(
        "locks",
        "Get a lock",
        "Who holds it and who waits. A free lock is not an error.",
    )
    .query::<wire::ReadQuery>()
    .ok("Lock", "The lock, held or free.")
    .problems(READS)
}

fn acquire() -> About {
    plain(
        "locks",
        "Acquire a lock",
        "With `session`, the lease is that session's; acquiring what it holds already is answered \
         with the same lease. Without, a session is opened for this lease alone and ends with it; \
         its TTL counts from the grant.\n\n`wait_ms` of 0 tries once. A longer wait takes a place \
         in the queue, first come first served, which survives the loss of any node. The call is \
         parked for at most 25 s; if the wait is longer, it is answered with 202, and repeating it \
         with the same key takes the same place again. Whoever sent no key is told one in the \
         `idempotency-key` header of the 202. Closing the connection of a parked call gives up its \
         place; of a call without key, also what it may have been granted meanwhile.",
    )
    .keyed()
    .may_have("Acquire")
    .ok("Granted", "The lease is the caller's.")
    .headers(&[(header::FENCE, "The lease's fence.")])
    .ok(
        "Queued",
        "The caller has a place: repeat the call with the same key.",
    )
    .status(202)
    .headers(&[(
        header::IDEMPOTENCY_KEY,
        "The key to repeat the call with, if it had none.",
    )])
    .problems(&[
        ErrorCode::Held,
        ErrorCode::WaitTimeout,
        ErrorCode::SessionGone,
        ErrorCode::Limit,
        ErrorCode::Unready,
        ErrorCode::Indeterminate,
    ])
}

fn release() -> About {
    plain(
        "locks",
        "Release a lock",
        "Only with the fence of the lease; the first in the queue is granted the lock in the same \
         command.",
    )
    .keyed()
    .has("Release")
    .ok("Released", "It is released.")
    .problems(&[
        ErrorCode::FenceStale,
        ErrorCode::SessionGone,
        ErrorCode::Unready,
        ErrorCode::Indeterminate,
    ])
}

fn check_fence() -> About {
    plain(
        "locks",
        "Check a fence",
        "Whether a lease with this fence is in force. A resource does better to remember the \
         highest fence it has seen, and to refuse lower ones: that needs no call, and no moment \
         between the check and the use.",
    )
    .query::<wire::CheckQuery>()
    .ok("Check", "What was found.")
    .problems(READS)
}

fn get_cluster() -> About {
    plain(
        "cluster",
        "Get the cluster",
        "Its nodes and its leader, as the asked node knows them, also when nobody leads.",
    )
    .ok("Cluster", "The cluster.")
}

fn add_node() -> About {
    plain(
        "cluster",
        "Add or replace a node",
        "The node must be running and empty. It learns the log first and votes once it has caught \
         up. The id of a member whose directory was lost replaces that member.",
    )
    .has("AddNode")
    .ok("Cluster", "The cluster with the node.")
    .problems(CHANGES_THE_CLUSTER)
}

fn remove_node() -> About {
    plain(
        "cluster",
        "Remove a node",
        "It no longer votes, and is no longer sent the log.",
    )
    .ok("Cluster", "The cluster without the node.")
    .problems(CHANGES_THE_CLUSTER)
}

fn transfer_leader() -> About {
    plain(
        "cluster",
        "Hand leadership over",
        "To the node `to`, or to the voter that is furthest.",
    )
    .may_have("TransferLeader")
    .ok("LeaderIs", "Who leads now.")
    .problems(CHANGES_THE_CLUSTER)
}
