//! Connections for calls to the other members, opened when first needed and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lockring_core::NodeId;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;

use super::applier::Raft;
use super::desk::Run;
use super::dispatch::Fate;
use super::pace::Attention;
use super::raft::{Member, Membership};
use super::wire::{self, Change, ReadPoint, Runs};
use crate::network::{CallError, Calls, Dialer, Target};

pub(super) struct Links {
    id: NodeId,
    dialer: Dialer,
    /// Set once, right after openraft has started: it knows the members.
    raft: OnceLock<Raft>,
    open: Mutex<BTreeMap<(NodeId, u8), (Target, Calls)>>,
    attention: Mutex<BTreeMap<NodeId, Arc<Attention>>>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links of node {}", self.id)
    }
}

impl Links {
    pub(super) fn new(id: NodeId, dialer: Dialer) -> Arc<Self> {
        Arc::new(Self {
            id,
            dialer,
            raft: OnceLock::new(),
            open: Mutex::default(),
            attention: Mutex::default(),
        })
    }

    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(super) fn set_raft(&self, raft: Raft) {
        assert!(self.raft.set(raft).is_ok(), "openraft is started once");
    }

    /// The members as this node knows them, committed or not; none before openraft has started.
    pub(super) fn membership(&self) -> Option<Arc<Membership>> {
        let metrics = self.raft.get()?.server_metrics();
        let membership = Arc::clone(&metrics.borrow_watched().membership_config);
        Some(membership)
    }

    /// What the membership records of a node.
    pub(super) fn member(&self, id: NodeId) -> Option<Member> {
        self.membership()?.membership().get_node(&id).cloned()
    }

    /// The connection for calls to a member. A connection to another address or incarnation of it
    /// is given up.
    pub(super) fn calls(&self, id: NodeId, member: &Member, number: u8) -> Calls {
        let target = target(id, member);
        let mut open = self.open.lock();
        if let Some((known, calls)) = open.get(&(id, number))
            && *known == target
        {
            return calls.clone();
        }
        let calls = self.dialer.calls(target.clone(), number);
        open.insert((id, number), (target, calls.clone()));
        calls
    }

    /// Gives up the connections to nodes that are no longer members.
    pub(super) fn keep_members(&self) {
        if let Some(membership) = self.membership() {
            let members = membership.membership();
            let mut open = self.open.lock();
            open.retain(|(id, _), _| members.get_node(id).is_some());
            let mut attention = self.attention.lock();
            attention.retain(|id, _| members.get_node(id).is_some());
        }
    }

    /// There is a sign of life of a node: dial it now rather than after the pause.
    pub(super) fn hint_reachable(&self, id: NodeId) {
        for ((of, _), (_, calls)) in self.open.lock().iter() {
            if *of == id {
                calls.hint_reachable();
            }
        }
    }

    /// Whether a member serves callers.
    pub(super) fn attention(&self, id: NodeId) -> Arc<Attention> {
        Arc::clone(self.attention.lock().entry(id).or_default())
    }

    fn work(&self, id: NodeId) -> Option<Calls> {
        let member = self.member(id)?;
        Some(self.calls(id, &member, wire::WORK))
    }

    /// Sends batches to the leader and waits until it knows what became of them.
    pub(super) async fn propose(&self, leader: NodeId, runs: Vec<Run>, within: Duration) -> Fate {
        let Some(calls) = self.work(leader) else {
            return Fate::Refused;
        };
        let runs = runs.into_iter().map(|run| (run.origin, run.commands));
        let body = wire::encode(&Runs(runs.collect()));
        match calls.call(wire::PROPOSE, body, within).await {
            Ok(reply) => wire::decode(&reply).unwrap_or(Fate::Unknown),
            Err(error) if error.may_have_been_served() => Fate::Unknown,
            Err(_) => Fate::Refused,
        }
    }

    /// Asks the leader up to where a read must see.
    pub(super) async fn read_point(&self, leader: NodeId, within: Duration) -> Option<ReadPoint> {
        let calls = self.work(leader)?;
        let reply = calls
            .call(wire::READ_POINT, wire::encode(&()), within)
            .await;
        wire::decode::<Option<ReadPoint>>(&reply.ok()?).ok()?
    }

    /// Has the leader change the membership.
    pub(super) async fn change<T: for<'a> serde::Deserialize<'a>>(
        &self,
        leader: NodeId,
        change: &Change,
        within: Duration,
    ) -> Result<T, CallError> {
        let calls = self.work(leader).ok_or(CallError::Unreachable {
            why: "the leader's address is not known".into(),
        })?;
        let reply = calls
            .call(wire::CHANGE, wire::encode(change), within)
            .await?;
        wire::decode(&reply).map_err(CallError::Remote)
    }
}

/// Whom to dial for a member, and who must answer.
pub(super) fn target(id: NodeId, member: &Member) -> Target {
    Target {
        id,
        address: member.peer.clone(),
        incarnation: Some(member.incarnation),
    }
}
