//! Paths: templates for the server's router, and the same paths filled in for clients.

use std::fmt::Write;

/// Open (POST) and list (GET) sessions.
pub const SESSIONS: &str = "/v1/sessions";
/// Get (GET) and close (DELETE) one session; an operator ends it (DELETE) by its first digits.
pub const SESSION: &str = "/v1/sessions/{id}";
/// Renew one session (POST).
pub const SESSION_RENEW: &str = "/v1/sessions/{id}/renew";
/// What happens to one session (GET).
pub const SESSION_EVENTS: &str = "/v1/sessions/{id}/events";
/// Acquire many locks in one step (POST).
pub const ACQUIRE: &str = "/v1/acquire";
/// What happens to all locks (GET).
pub const EVENTS: &str = "/v1/events";
/// List locks in use (GET).
pub const LOCKS: &str = "/v1/locks";
/// Get one lock (GET).
pub const LOCK: &str = "/v1/locks/{name}";
/// Acquire one lock (POST).
pub const LOCK_ACQUIRE: &str = "/v1/locks/{name}/acquire";
/// Release one lock (POST).
pub const LOCK_RELEASE: &str = "/v1/locks/{name}/release";
/// Change what a lease is seen with (PUT).
pub const LOCK_VALUE: &str = "/v1/locks/{name}/value";
/// Give a lease to another session (POST).
pub const LOCK_TRANSFER: &str = "/v1/locks/{name}/transfer";
/// Ask the holders to give a lock up by a deadline (POST).
pub const LOCK_REVOKE: &str = "/v1/locks/{name}/revoke";
/// End a lock's leases now (POST).
pub const LOCK_BREAK: &str = "/v1/locks/{name}/break";
/// What happened to a lock (GET).
pub const LOCK_HISTORY: &str = "/v1/locks/{name}/history";
/// Ask whether a fence is the lock's newest (GET).
pub const LOCK_CHECK: &str = "/v1/locks/{name}/check";
/// List rings (GET).
pub const RINGS: &str = "/v1/rings";
/// Make or change (PUT) and get (GET) one ring.
pub const RING: &str = "/v1/rings/{ring}";
/// One ring's table (GET).
pub const RING_TABLE: &str = "/v1/rings/{ring}/table";
/// Join a ring (PUT) and leave it (DELETE).
pub const RING_MEMBER: &str = "/v1/rings/{ring}/members/{member}";
/// Drain a member (POST).
pub const RING_MEMBER_DRAIN: &str = "/v1/rings/{ring}/members/{member}/drain";
/// Release slots that move away (POST).
pub const RING_RELEASE: &str = "/v1/rings/{ring}/release";
/// Whose keys are (GET one, POST many).
pub const RING_LOOKUP: &str = "/v1/rings/{ring}/lookup";
/// A dry run of changes (POST).
pub const RING_PLAN: &str = "/v1/rings/{ring}/plan";
/// What moved between two epochs (GET).
pub const RING_DIFF: &str = "/v1/rings/{ring}/diff";
/// The table and its changes as a stream (GET).
pub const RING_WATCH: &str = "/v1/rings/{ring}/watch";
/// Let nothing move (POST).
pub const RING_FREEZE: &str = "/v1/rings/{ring}/freeze";
/// Let slots move again (POST).
pub const RING_UNFREEZE: &str = "/v1/rings/{ring}/unfreeze";
/// The cluster's nodes and leader (GET).
pub const CLUSTER: &str = "/v1/cluster";
/// Add a node (POST).
pub const CLUSTER_NODES: &str = "/v1/cluster/nodes";
/// Remove a node (DELETE).
pub const CLUSTER_NODE: &str = "/v1/cluster/nodes/{id}";
/// Hand leadership over (POST).
pub const CLUSTER_TRANSFER: &str = "/v1/cluster/transfer";
/// `GET`: one number for all that the asked node has applied.
pub const CLUSTER_DIGEST: &str = "/v1/cluster/digest";
/// Whether the process lives (GET).
pub const HEALTHZ: &str = "/healthz";
/// Whether the node can serve (GET).
pub const READYZ: &str = "/readyz";
/// Figures in the Prometheus text format (GET).
pub const METRICS: &str = "/metrics";
/// The contract as an OpenAPI document (GET).
pub const OPENAPI: &str = "/openapi.json";
/// The contract for people (GET).
pub const DOCS: &str = "/docs";
/// What the cluster is doing, for people (GET).
pub const UI: &str = "/ui";

/// The path of one session.
#[must_use]
pub fn session(id: &str) -> String {
    format!("{SESSIONS}/{}", segment(id))
}

/// The path that renews one session.
#[must_use]
pub fn renew(id: &str) -> String {
    format!("{SESSIONS}/{}/renew", segment(id))
}

/// The path of what happens to one session.
#[must_use]
pub fn session_events(id: &str) -> String {
    format!("{SESSIONS}/{}/events", segment(id))
}

/// The path by which an operator ends the session that begins with these eight digits.
#[must_use]
pub fn end_session(first_digits: &str, reason: &str) -> String {
    format!("{}?reason={}", session(first_digits), segment(reason))
}

/// The path of one lock.
#[must_use]
pub fn lock(name: &str) -> String {
    format!("{LOCKS}/{}", segment(name))
}

/// The path that acquires one lock.
#[must_use]
pub fn acquire(name: &str) -> String {
    format!("{LOCKS}/{}/acquire", segment(name))
}

/// The path that releases one lock.
#[must_use]
pub fn release(name: &str) -> String {
    format!("{LOCKS}/{}/release", segment(name))
}

/// The path of what a lease is seen with.
#[must_use]
pub fn value(name: &str) -> String {
    format!("{LOCKS}/{}/value", segment(name))
}

/// The path that gives a lease to another session.
#[must_use]
pub fn transfer(name: &str) -> String {
    format!("{LOCKS}/{}/transfer", segment(name))
}

/// The path that asks a lock's holders to give it up.
#[must_use]
pub fn revoke(name: &str) -> String {
    format!("{LOCKS}/{}/revoke", segment(name))
}

/// The path that ends a lock's leases. (`break` is a word of the language.)
#[must_use]
pub fn break_now(name: &str) -> String {
    format!("{LOCKS}/{}/break", segment(name))
}

/// The path of a lock's history, without a query.
#[must_use]
pub fn history(name: &str) -> String {
    format!("{LOCKS}/{}/history", segment(name))
}

/// The path that checks a fence.
#[must_use]
pub fn check(name: &str, fence: u64) -> String {
    format!("{LOCKS}/{}/check?fence={fence}", segment(name))
}

/// The path of one ring.
#[must_use]
pub fn ring(name: &str) -> String {
    format!("{RINGS}/{}", segment(name))
}

/// A path below one ring, such as its `table` or `watch`.
///
/// ```
/// # use lockring_client::wire::route::ring_part;
/// assert_eq!(ring_part("a/b", "table"), "/v1/rings/a%2Fb/table");
/// ```
#[must_use]
pub fn ring_part(name: &str, part: &str) -> String {
    format!("{RINGS}/{}/{part}", segment(name))
}

/// The path of one member of a ring.
#[must_use]
pub fn ring_member(ring: &str, member: &str) -> String {
    format!("{RINGS}/{}/members/{}", segment(ring), segment(member))
}

/// The path of one node of the cluster.
#[must_use]
pub fn node(id: u64) -> String {
    format!("{CLUSTER_NODES}/{id}")
}

/// A text as one segment of a path, or as the value of a query's field: every byte that RFC 3986
/// does not call unreserved is written as `%` and two digits.
///
/// A text of dots alone has them written so too, because some HTTP libraries resolve `..` as a
/// step upwards before they send a path.
///
/// ```
/// # use lockring_client::wire::route::segment;
/// assert_eq!(segment("orders/42 é"), "orders%2F42%20%C3%A9");
/// assert_eq!(segment(".."), "%2E%2E");
/// assert_eq!(segment("v1.2"), "v1.2");
/// ```
#[must_use]
pub fn segment(text: &str) -> String {
    let dots_alone = text.bytes().all(|b| b == b'.');
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
        if plain || (byte == b'.' && !dots_alone) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes whatever is written");
        }
    }
    out
}
