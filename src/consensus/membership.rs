//! Who is in the cluster: how it begins, who joins, who leaves, who leads by request.
//!
//! All changes are made by the leader, one at a time; a node that does not lead passes them on.
//! A node joins as a *learner*, which is sent the log but has no vote, and gets its vote only when
//! it has caught up: so a join never leaves the cluster with a voter that cannot answer yet.
//!
//! **A member that lost its directory** comes back under its id with another incarnation. It is not
//! the voter it was (see `admission.rs`), so the old one is removed first: the remaining voters
//! commit that, and with it every promise that the lost disk held. Then the new one joins like any
//! other. `join` does all of it, and can be repeated after a failure at any point.
//!
//! **A change whose leader falls halfway.** A change of voters is two entries, and between them the
//! old voters and the new ones have to agree, each by a majority of their own. The second entry is
//! left to whoever asked for the change; if the leader falls between the two, the next one would
//! lead under both for ever, and three healthy nodes of five may not be enough. So whoever leads
//! looks for such a rest ([`Changes::finish`]), and every change begins with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockring_core::NodeId;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, LogIdOptionExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::applier::Raft;
use super::links::Links;
use super::raft::{Member, Types};
use super::wire::Change;
use super::{ClusterStatus, MemberRole, MemberStatus, MembershipError, Role};
use crate::network::{CallError, Target};
use crate::watch;

/// How long a joining node may take to catch up before the caller is told to ask again.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);

/// A learner that lacks no more entries than this has caught up.
const CAUGHT_UP_LAG: u64 = 64;

/// How long a change may take: a join and its two changes of the membership.
const CHANGE_WITHIN: Duration = Duration::from_secs(75);

/// How long a transfer may take; after that the old leader leads on, or an election decides.
const TRANSFER_WITHIN: Duration = Duration::from_secs(3);

/// How often a leader looks for a change that was left halfway.
const FINISH_EVERY: Duration = Duration::from_millis(250);

/// How often progress is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Makes changes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Changes {
    pub(super) raft: Raft,
    pub(super) links: Arc<Links>,
    pub(super) role: watch::Receiver<Role>,
    /// Changes are made one after the other: whoever makes one has the only permit.
    pub(super) turn: Arc<Semaphore>,
}

impl Changes {
    /// Makes the change, or has the leader make it. The answer is the leader afterwards.
    pub(super) async fn make(&self, change: Change) -> Result<NodeId, MembershipError> {
        let leader = self.role.borrow().leader;
        let leader = leader.ok_or(MembershipError::Unready)?;
        if leader == self.links.id() {
            return self.make_as_leader(change).await;
        }
        let made = self.links.change(leader, &change, CHANGE_WITHIN).await;
        let made: Result<NodeId, MembershipError> = made.map_err(|error| match error {
            error if error.may_have_been_served() => {
                MembershipError::Indeterminate(error.to_string())
            }
            _ => MembershipError::Unready,
        })?;
        made
    }

    pub(super) async fn make_as_leader(&self, change: Change) -> Result<NodeId, MembershipError> {
        let id = self.links.id();
        if !self.role.borrow().leads {
            return Err(MembershipError::Unready);
        }
        let turn = self.turn.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        if !matches!(change, Change::Transfer { .. }) {
            self.settle().await?;
        }
        match change {
            Change::Join { id, api, peer } => self.join(id, api, peer).await?,
            Change::Remove { id: removed } if removed == id => return self.remove_self().await,
            Change::Remove { id } => self.remove(id).await?,
            Change::Transfer { to } => return self.transfer(to).await,
        }
        Ok(id)
    }

    /// Ends changes that were left halfway, whenever this node leads. Runs until its replica stops.
    pub(super) async fn finish(self) {
        let mut role = self.role.clone();
        while role.wait_for(|role| role.leads).await.is_ok() {
            sleep(FINISH_EVERY).await;
            let turn = self.turn.acquire().await;
            let _turn = turn.expect("the semaphore is never closed");
            if let Err(error) = self.settle().await {
                tracing::debug!(%error, "a change that was left halfway is not finished yet");
            }
        }
    }

    /// Leaves the old voters behind, if there are still two sets of them.
    async fn settle(&self) -> Result<(), MembershipError> {
        if !self.status().changing {
            return Ok(());
        }
        tracing::info!("finishing a change of members that was left halfway");
        let nobody = ChangeMembers::AddVoterIds(BTreeSet::new());
        self.change(nobody, true).await
    }

    fn members(&self) -> BTreeMap<NodeId, (Member, bool)> {
        let Some(membership) = self.links.membership() else {
            return BTreeMap::new();
        };
        let membership = membership.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let nodes = membership.nodes();
        nodes
            .map(|(id, member)| (*id, (member.clone(), voters.contains(id))))
            .collect()
    }

    async fn join(&self, id: NodeId, api: String, peer: String) -> Result<(), MembershipError> {
        let target = Target {
            id,
            address: peer.clone(),
            incarnation: None,
        };
        let welcome = self.links.dialer().greet(&target).await;
        let welcome = welcome.map_err(|error| cannot_join(id, &peer, &error))?;
        let incarnation = welcome.incarnation;
        let joining = Member {
            api,
            peer,
            incarnation,
        };
        match self.members().get(&id) {
            Some((member, true)) if member.incarnation == incarnation => return Ok(()),
            Some((member, false)) if *member == joining => {}
            Some((_, voter)) => {
                tracing::info!(
                    node = id,
                    "the lost incarnation of a node leaves the cluster"
                );
                self.drop_member(id, *voter).await?;
                self.add_learner(id, joining).await?;
            }
            None => self.add_learner(id, joining).await?,
        }
        self.wait_caught_up(id).await?;
        let voter = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        self.change(voter, true).await
    }

    async fn add_learner(&self, id: NodeId, member: Member) -> Result<(), MembershipError> {
        let learner = ChangeMembers::AddNodes(BTreeMap::from([(id, member)]));
        self.change(learner, true).await
    }

    async fn drop_member(&self, id: NodeId, voter: bool) -> Result<(), MembershipError> {
        let ids = BTreeSet::from([id]);
        let removal = match voter {
            true => ChangeMembers::RemoveVoters(ids),
            false => ChangeMembers::RemoveNodes(ids),
        };
        self.change(removal, false).await
    }

    async fn remove(&self, id: NodeId) -> Result<(), MembershipError> {
        let members = self.members();
        let (_, voter) = members.get(&id).ok_or(MembershipError::NotFound(id))?;
        self.drop_member(id, *voter).await
    }

    /// A leader that is to leave hands over first, so that nobody has to wait for an election, and
    /// the new leader removes it.
    async fn remove_self(&self) -> Result<NodeId, MembershipError> {
        let id = self.links.id();
        let voters = self.members().into_values().filter(|(_, voter)| *voter);
        if voters.count() == 1 {
            let why = format!("node {id} is the only voter, and a cluster needs one");
            return Err(MembershipError::Refused(why));
        }
        let leader = self.transfer(None).await?;
        let removal = Change::Remove { id };
        for _ in 0..50 {
            let made = self.links.change(leader, &removal, CHANGE_WITHIN).await;
            let made: Result<NodeId, MembershipError> =
                made.map_err(|error| MembershipError::Indeterminate(error.to_string()))?;
            if made != Err(MembershipError::Unready) {
                return made;
            }
            sleep(LOOK_EVERY).await;
        }
        Err(MembershipError::Unready)
    }

    async fn change(
        &self,
        change: ChangeMembers<NodeId, Member>,
        retain: bool,
    ) -> Result<(), MembershipError> {
        let changed = self.raft.change_membership(change, retain).await;
        changed.map(drop).map_err(|error| match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => MembershipError::Unready,
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
                MembershipError::Refused(error.to_string())
            }
            error => MembershipError::Indeterminate(error.to_string()),
        })
    }

    async fn wait_caught_up(&self, id: NodeId) -> Result<(), MembershipError> {
        let caught_up = async {
            loop {
                if !self.role.borrow().leads {
                    return Err(MembershipError::Unready);
                }
                let lag = self
                    .status()
                    .members
                    .into_iter()
                    .find(|member| member.id == id);
                match lag.ok_or(MembershipError::NotFound(id))?.lag {
                    Some(lag) if lag <= CAUGHT_UP_LAG => return Ok(()),
                    Some(_) | None => sleep(LOOK_EVERY).await,
                }
            }
        };
        timeout(CATCH_UP_WITHIN, caught_up)
            .await
            .unwrap_or_else(|_| {
                let why =
                    format!("node {id} is a learner and has not caught up yet; repeat the join");
                Err(MembershipError::Indeterminate(why))
            })
    }

    async fn transfer(&self, to: Option<NodeId>) -> Result<NodeId, MembershipError> {
        let id = self.links.id();
        let to = match to {
            Some(to) => match self.members().get(&to) {
                Some((_, true)) => to,
                Some((_, false)) => {
                    let why = format!("node {to} is a learner, and only a voter can lead");
                    return Err(MembershipError::Refused(why));
                }
                None => return Err(MembershipError::NotFound(to)),
            },
            None => self.furthest_voter().ok_or_else(|| {
                MembershipError::Refused("there is no other voter to lead".into())
            })?,
        };
        if to == id {
            return Ok(id);
        }
        let asked = self.raft.trigger().transfer_leader(to).await;
        asked.map_err(|_| MembershipError::Unready)?;
        let mut role = self.role.clone();
        let moved = role.wait_for(|role| role.leader.is_some_and(|leader| leader != id));
        match timeout(TRANSFER_WITHIN, moved).await {
            Ok(Ok(role)) if role.leader == Some(to) => Ok(to),
            Ok(Ok(role)) => Err(MembershipError::Refused(format!(
                "node {to} did not take over; node {} leads",
                role.leader.expect("the wait above was for a leader")
            ))),
            Ok(Err(_)) => Err(MembershipError::Unready),
            Err(_) => Err(MembershipError::Indeterminate(format!(
                "node {to} has not taken over within {} ms",
                TRANSFER_WITHIN.as_millis()
            ))),
        }
    }

    fn furthest_voter(&self) -> Option<NodeId> {
        let members = self.status().members.into_iter();
        let others = members.filter(|member| member.role == MemberRole::Voter);
        others
            .max_by_key(|member| member.matched)
            .map(|member| member.id)
    }

    /// The cluster as this node knows it.
    pub(super) fn status(&self) -> ClusterStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let leader = metrics.current_leader;
        let last = metrics.last_log_index;
        let member = |(id, member): (&NodeId, &Member)| {
            let role = match (leader == Some(*id), voters.contains(id)) {
                (true, _) => MemberRole::Leader,
                (false, true) => MemberRole::Voter,
                (false, false) => MemberRole::Learner,
            };
            let progress = metrics.replication.as_ref().and_then(|all| all.get(id));
            let matched = progress.map(|log_id| log_id.index());
            MemberStatus {
                id: *id,
                api: member.api.clone(),
                peer: member.peer.clone(),
                role,
                matched: matched.flatten(),
                lag: matched.map(|matched| lag(last, matched)),
            }
        };
        ClusterStatus {
            leader,
            term: metrics.current_term,
            applied_index: metrics.last_applied.index().unwrap_or(0),
            changing: membership.get_joint_config().len() > 1,
            members: membership.nodes().map(member).collect(),
        }
    }
}

fn lag(last: Option<u64>, matched: Option<u64>) -> u64 {
    let count = |index: Option<u64>| index.map_or(0, |index| index + 1);
    count(last).saturating_sub(count(matched))
}

fn cannot_join(id: NodeId, peer: &str, error: &CallError) -> MembershipError {
    let why = format!("node {id} at {peer} cannot join: {error}");
    match error.may_have_been_served() {
        true => MembershipError::Indeterminate(why),
        false => MembershipError::Refused(why),
    }
}

/// What openraft calls the members of a cluster that begins.
pub(super) type Founders = BTreeMap<NodeId, Member>;

/// Begins the cluster, unless it has begun.
pub(super) async fn found(raft: &Raft, founders: Founders) -> Result<(), String> {
    use openraft::errors::InitializeError;
    match raft.initialize(founders).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(RaftError::<Types, InitializeError<Types>>::to_string(
            &error,
        )),
    }
}
