//! How a cluster begins, and what a node with an empty directory does when it has begun already.
//!
//! **Problem.** Every initial member is started with the same list. If each began the cluster by
//! itself, or if one whose disk was lost began it anew, there would be two clusters of one name,
//! and two holders of one lock.
//!
//! **Answer.** Only the member with the lowest id begins the cluster, and only after every other
//! has answered that it belongs to none, and told the incarnation under which the membership will
//! know it. If anybody already belongs to one, this node begins nothing: it waits to be joined,
//! and says why.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lockring_core::NodeId;
use tokio::time::sleep;

use super::applier::Raft;
use super::links::Links;
use super::membership::{self, Founders};
use super::raft::Member;
use crate::network::{CallError, Refusal, Target, Welcome};
use crate::watch;

/// A member of the cluster from its beginning, as the configuration lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    pub id: NodeId,
    /// Where its HTTP interface will be, as a URL.
    pub api: String,
    /// Where its peers will reach it.
    pub peer: String,
}

/// Where a node stands with its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The cluster has not begun; the text says who is waited for.
    Founding(String),
    /// The cluster has begun without this directory; the text says what to do.
    Outside(String),
    /// It is a member.
    Member,
}

/// The pause between two rounds of asking.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Rounds for which a cluster that has just begun may leave a member without a word of it.
const ROUNDS_UNTIL_OUTSIDE: u32 = 15;

pub(super) struct Founding {
    pub(super) id: NodeId,
    pub(super) incarnation: u64,
    pub(super) founders: Vec<Founder>,
    pub(super) raft: Raft,
    pub(super) links: Arc<Links>,
    pub(super) standing: watch::Sender<Standing>,
}

impl Founding {
    /// Runs until this node is a member.
    pub(super) async fn run(self) {
        let mut begun_rounds = 0;
        loop {
            if let Some(standing) = self.by_membership() {
                self.tell(standing.clone());
                if standing == Standing::Member {
                    return;
                }
                sleep(ASK_EVERY).await;
                continue;
            }
            let answers = self.ask().await;
            let standing = self.judge(&answers, &mut begun_rounds);
            let alone = matches!(&standing, Standing::Founding(waits) if waits.is_empty());
            if alone {
                if let Err(why) = membership::found(&self.raft, self.members(&answers)).await {
                    self.tell(Standing::Founding(why));
                }
                sleep(ASK_EVERY / 10).await;
                continue;
            }
            self.tell(standing);
            sleep(ASK_EVERY).await;
        }
    }

    /// What the membership says, if there is one.
    fn by_membership(&self) -> Option<Standing> {
        let membership = self.links.membership()?;
        let membership = membership.membership();
        membership.nodes().next()?;
        let own = membership.get_node(&self.id);
        Some(match own {
            Some(member) if member.incarnation == self.incarnation => Standing::Member,
            Some(_) => Standing::Outside(lost(self.id)),
            None => Standing::Outside(format!("node {} is not a member (any more)", self.id)),
        })
    }

    fn others(&self) -> impl Iterator<Item = &Founder> {
        self.founders.iter().filter(|founder| founder.id != self.id)
    }

    async fn ask(&self) -> Vec<(NodeId, Result<Welcome, CallError>)> {
        let asked = self.others().map(|founder| async {
            let target = Target {
                id: founder.id,
                address: founder.peer.clone(),
                incarnation: None,
            };
            (founder.id, self.links.dialer().greet(&target).await)
        });
        join_all(asked).await
    }

    fn judge(
        &self,
        answers: &[(NodeId, Result<Welcome, CallError>)],
        begun_rounds: &mut u32,
    ) -> Standing {
        let is_lost = |answer: &Result<Welcome, CallError>| {
            matches!(answer, Err(CallError::Refused(Refusal::WrongIncarnation { id, .. }))
                if *id == self.id)
        };
        if answers.iter().any(|(_, answer)| is_lost(answer)) {
            return Standing::Outside(lost(self.id));
        }
        let begun = |answer: &Result<Welcome, CallError>| {
            answer.as_ref().is_ok_and(|welcome| welcome.initialised)
        };
        if answers.iter().any(|(_, answer)| begun(answer)) {
            *begun_rounds += 1;
            let why = match *begun_rounds < ROUNDS_UNTIL_OUTSIDE {
                true => {
                    return Standing::Founding("the cluster has begun; waiting for its log".into());
                }
                false => format!("the cluster has begun without this node: {}", self.add()),
            };
            return Standing::Outside(why);
        }
        let Some(lowest) = self.founders.iter().map(|founder| founder.id).min() else {
            let why = format!("no initial members are configured: {}", self.add());
            return Standing::Outside(why);
        };
        if self.founders.iter().all(|founder| founder.id != self.id) {
            return Standing::Outside(format!("not an initial member: {}", self.add()));
        }
        if lowest != self.id {
            return Standing::Founding(format!("waiting for node {lowest} to begin the cluster"));
        }
        let silent = answers.iter().filter(|(_, answer)| answer.is_err());
        let silent: Vec<String> = silent
            .map(|(id, answer)| match answer {
                Err(why) => format!("node {id} ({why})"),
                Ok(_) => format!("node {id}"),
            })
            .collect();
        match silent.is_empty() {
            true => Standing::Founding(String::new()),
            false => Standing::Founding(format!("waiting for {}", silent.join(", "))),
        }
    }

    fn members(&self, answers: &[(NodeId, Result<Welcome, CallError>)]) -> Founders {
        let incarnation = |id: NodeId| {
            let answer = answers.iter().find(|(from, _)| *from == id);
            answer.and_then(|(_, answer)| answer.as_ref().ok())
        };
        let member = |founder: &Founder| {
            let incarnation = match founder.id == self.id {
                true => self.incarnation,
                false => {
                    incarnation(founder.id)
                        .expect("a cluster begins only when all have answered")
                        .incarnation
                }
            };
            let (api, peer) = (founder.api.clone(), founder.peer.clone());
            let member = Member {
                api,
                peer,
                incarnation,
            };
            (founder.id, member)
        };
        self.founders.iter().map(member).collect()
    }

    fn add(&self) -> String {
        format!(
            "ask a member to `lockring cluster add {} API PEER`",
            self.id
        )
    }

    /// Says it once, not in every round.
    fn tell(&self, standing: Standing) {
        let changed = self.standing.send_if_modified(|known| {
            let differs = *known != standing;
            known.clone_from(&standing);
            differs
        });
        if !changed {
            return;
        }
        match standing {
            Standing::Founding(why) => tracing::info!(why, "this node is not in the cluster yet"),
            Standing::Outside(why) => tracing::warn!(why, "this node is not in the cluster"),
            Standing::Member => tracing::info!("this node is a member of the cluster"),
        }
    }
}

fn lost(id: NodeId) -> String {
    format!(
        "the cluster knows node {id} by another data directory, and will not count on one that \
         has lost it: if it is lost, ask a member to `lockring cluster replace {id}`"
    )
}
