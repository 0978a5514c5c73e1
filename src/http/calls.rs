//! Every call that the server answers, in one table.
//!
//! The router, the OpenAPI document, the `Allow` of a 405, the metrics and the tests are all made
//! from it, so none of them can know a call that another does not.

use axum::http::Method;
use lockring_client::wire::route;

use super::access::Permission;
use super::ask::Ask;

/// One call: what a method means at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Call {
    OpenSession,
    ListSessions,
    GetSession,
    RenewSession,
    CloseSession,
    SessionEvents,
    ListLocks,
    GetLock,
    Acquire,
    AcquireAll,
    Release,
    SetValue,
    Transfer,
    Revoke,
    Break,
    CheckFence,
    LockHistory,
    Events,
    ListRings,
    GetRing,
    ConfigureRing,
    GetRingTable,
    JoinRing,
    LeaveRing,
    DrainMember,
    ReleaseSlots,
    LookUp,
    LookUpAll,
    PlanRing,
    DiffRing,
    WatchRing,
    FreezeRing,
    UnfreezeRing,
    GetCluster,
    AddNode,
    RemoveNode,
    TransferLeader,
    GetDigest,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Docs,
    Ui,
}

/// Where a call is, and who may make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) method: Method,
    /// A template of [`route`].
    pub(super) path: &'static str,
    /// What a token has to allow; `None` for what says nothing about sessions and locks.
    pub(super) permission: Option<Permission>,
    /// Its name in metrics and in the OpenAPI document.
    pub(super) name: &'static str,
}

impl Call {
    pub(super) const ALL: [Self; 44] = [
        Self::OpenSession,
        Self::ListSessions,
        Self::GetSession,
        Self::RenewSession,
        Self::CloseSession,
        Self::SessionEvents,
        Self::ListLocks,
        Self::GetLock,
        Self::Acquire,
        Self::AcquireAll,
        Self::Release,
        Self::SetValue,
        Self::Transfer,
        Self::Revoke,
        Self::Break,
        Self::CheckFence,
        Self::LockHistory,
        Self::Events,
        Self::ListRings,
        Self::GetRing,
        Self::ConfigureRing,
        Self::GetRingTable,
        Self::JoinRing,
        Self::LeaveRing,
        Self::DrainMember,
        Self::ReleaseSlots,
        Self::LookUp,
        Self::LookUpAll,
        Self::PlanRing,
        Self::DiffRing,
        Self::WatchRing,
        Self::FreezeRing,
        Self::UnfreezeRing,
        Self::GetCluster,
        Self::AddNode,
        Self::RemoveNode,
        Self::TransferLeader,
        Self::GetDigest,
        Self::Health,
        Self::Ready,
        Self::Metrics,
        Self::OpenApi,
        Self::Docs,
        Self::Ui,
    ];

    pub(super) fn spec(self) -> Spec {
        use Permission::{Lock, Operate, Read};
        match self {
            Self::OpenSession => post("open_session", route::SESSIONS, Lock),
            Self::ListSessions => get("list_sessions", route::SESSIONS, Some(Read)),
            Self::GetSession => get("get_session", route::SESSION, Some(Read)),
            Self::RenewSession => post("renew_session", route::SESSION_RENEW, Lock),
            Self::CloseSession => delete("close_session", route::SESSION, Lock),
            Self::SessionEvents => get("session_events", route::SESSION_EVENTS, Some(Lock)),
            Self::ListLocks => get("list_locks", route::LOCKS, Some(Read)),
            Self::GetLock => get("get_lock", route::LOCK, Some(Read)),
            Self::Acquire => post("acquire", route::LOCK_ACQUIRE, Lock),
            Self::AcquireAll => post("acquire_all", route::ACQUIRE, Lock),
            Self::Release => post("release", route::LOCK_RELEASE, Lock),
            Self::SetValue => put("set_value", route::LOCK_VALUE, Lock),
            Self::Transfer => post("transfer", route::LOCK_TRANSFER, Lock),
            Self::Revoke => post("revoke", route::LOCK_REVOKE, Operate),
            Self::Break => post("break", route::LOCK_BREAK, Operate),
            Self::CheckFence => get("check_fence", route::LOCK_CHECK, Some(Read)),
            Self::LockHistory => get("lock_history", route::LOCK_HISTORY, Some(Read)),
            Self::Events => get("events", route::EVENTS, Some(Read)),
            Self::ListRings => get("list_rings", route::RINGS, Some(Read)),
            Self::GetRing => get("get_ring", route::RING, Some(Read)),
            Self::ConfigureRing => put("configure_ring", route::RING, Lock),
            Self::GetRingTable => get("get_ring_table", route::RING_TABLE, Some(Read)),
            Self::JoinRing => put("join_ring", route::RING_MEMBER, Lock),
            Self::LeaveRing => delete("leave_ring", route::RING_MEMBER, Lock),
            Self::DrainMember => post("drain_member", route::RING_MEMBER_DRAIN, Lock),
            Self::ReleaseSlots => post("release_slots", route::RING_RELEASE, Lock),
            Self::LookUp => get("look_up", route::RING_LOOKUP, Some(Read)),
            Self::LookUpAll => post("look_up_all", route::RING_LOOKUP, Read),
            Self::PlanRing => post("plan_ring", route::RING_PLAN, Read),
            Self::DiffRing => get("diff_ring", route::RING_DIFF, Some(Read)),
            Self::WatchRing => get("watch_ring", route::RING_WATCH, Some(Read)),
            Self::FreezeRing => post("freeze_ring", route::RING_FREEZE, Operate),
            Self::UnfreezeRing => post("unfreeze_ring", route::RING_UNFREEZE, Operate),
            Self::GetCluster => get("get_cluster", route::CLUSTER, Some(Read)),
            Self::AddNode => post("add_node", route::CLUSTER_NODES, Operate),
            Self::RemoveNode => delete("remove_node", route::CLUSTER_NODE, Operate),
            Self::TransferLeader => post("transfer_leader", route::CLUSTER_TRANSFER, Operate),
            Self::GetDigest => get("get_digest", route::CLUSTER_DIGEST, Some(Read)),
            Self::Health => get("health", route::HEALTHZ, None),
            Self::Ready => get("ready", route::READYZ, None),
            Self::Metrics => get("metrics", route::METRICS, Some(Read)),
            Self::OpenApi => get("openapi", route::OPENAPI, None),
            Self::Docs => get("docs", route::DOCS, None),
            Self::Ui => get("ui", route::UI, None),
        }
    }

    /// What a token has to allow for this very request: that of an operator, to end a session that
    /// is named by the digits that everybody sees.
    pub(super) fn permission(self, ask: &Ask) -> Option<Permission> {
        let by_digits = self == Self::CloseSession && matches!(ask.first_digits(), Ok(Some(_)));
        match by_digits {
            true => Some(Permission::Operate),
            false => self.spec().permission,
        }
    }

    /// The methods that a path of the table takes, as the `Allow` header has them.
    pub(super) fn allow(path: &str) -> Option<String> {
        let here: Vec<_> = Self::ALL
            .into_iter()
            .map(Self::spec)
            .filter(|spec| matches(spec.path, path))
            .map(|spec| spec.method)
            .collect();
        if here.is_empty() {
            return None;
        }
        let mut allow: Vec<_> = here.iter().map(Method::as_str).collect();
        if here.contains(&Method::GET) {
            allow.push("HEAD");
        }
        allow.push("OPTIONS");
        Some(allow.join(", "))
    }
}

/// Whether a path, still encoded, is one of a template's.
fn matches(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(segment)) if wanted.starts_with('{') && !segment.is_empty() => {}
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
}

fn get(name: &'static str, path: &'static str, permission: Option<Permission>) -> Spec {
    Spec {
        method: Method::GET,
        path,
        permission,
        name,
    }
}

fn post(name: &'static str, path: &'static str, permission: Permission) -> Spec {
    Spec {
        method: Method::POST,
        path,
        permission: Some(permission),
        name,
    }
}

fn put(name: &'static str, path: &'static str, permission: Permission) -> Spec {
    Spec {
        method: Method::PUT,
        path,
        permission: Some(permission),
        name,
    }
}

fn delete(name: &'static str, path: &'static str, permission: Permission) -> Spec {
    Spec {
        method: Method::DELETE,
        path,
        permission: Some(permission),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_call_once_and_in_the_order_of_its_numbers() {
        for (at, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, at);
            let same = |other: &Call| other.spec().name == call.spec().name;
            assert_eq!(Call::ALL.iter().filter(|other| same(other)).count(), 1);
        }
    }

    #[test]
    fn a_path_tells_its_methods_and_a_foreign_one_tells_none() {
        let of = |path| Call::allow(path);
        assert_eq!(of("/v1/locks/a%2Fb/acquire").unwrap(), "POST, OPTIONS");
        assert_eq!(of("/v1/sessions").unwrap(), "POST, GET, HEAD, OPTIONS");
        for foreign in ["/", "/v1", "/v1/locks//acquire", "/v1/locks/a/b/acquire"] {
            assert_eq!(of(foreign), None, "{foreign}");
        }
    }
}
