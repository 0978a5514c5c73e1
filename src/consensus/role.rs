//! What this node is at the moment, told to whoever needs to know, and why it stopped if it did.

use std::sync::Arc;

use lockring_core::NodeId;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::Role;
use super::applier::Raft;
use super::desk::Desk;
use super::links::Links;
use crate::watch;

/// The task that turns openraft's metrics into [`Role`]s.
pub(super) struct RoleKeeper {
    pub(super) id: NodeId,
    pub(super) raft: Raft,
    /// The term in which cluster time is anchored.
    pub(super) anchored: watch::Receiver<u64>,
    /// Whether an apply panicked.
    pub(super) broken: watch::Receiver<bool>,
    pub(super) role: watch::Sender<Role>,
    pub(super) stopped: watch::Sender<Option<String>>,
    pub(super) desk: Arc<Desk>,
    pub(super) links: Arc<Links>,
}

impl RoleKeeper {
    /// Runs until openraft has stopped, by a call or by a failure, and then sends all callers away.
    pub(super) async fn run(mut self) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let (term, leader, leading) = {
                let now = metrics.borrow_and_update();
                let leading = now.state == ServerState::Leader;
                (now.vote.leader_id.term, now.current_leader, leading)
            };
            let anchored = *self.anchored.borrow_and_update() == term;
            let leads = leading && leader == Some(self.id) && anchored;
            let role = Role {
                term,
                leader,
                leads,
            };
            self.role.send_if_modified(|known| {
                let differs = *known != role;
                *known = role;
                differs
            });
            self.links.keep_members();
            tokio::select! {
                biased;
                changed = metrics.changed() => if changed.is_err() { break },
                changed = self.anchored.changed() => if changed.is_err() { break },
                _ = self.broken.changed() => break,
            }
        }
        let reason = match &self.raft.metrics().borrow_watched().running_state {
            _ if *self.broken.borrow() => Some("applying an entry panicked".to_owned()),
            Ok(()) | Err(openraft::errors::Fatal::Stopped) => None,
            Err(fatal) => Some(fatal.to_string()),
        };
        self.role.send_modify(|role| {
            role.leads = false;
            role.leader = None;
        });
        if let Some(reason) = reason {
            // Whoever owns the process tells it, once, where it ends.
            self.stopped.send_replace(Some(reason));
        }
        self.desk.close();
    }
}
