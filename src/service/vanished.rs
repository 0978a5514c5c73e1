//! The undoing of what a caller had asked for that is gone; see [`super::attempt`] for when.

use futures_util::future::join_all;
use lockring_core::{Abandoned, Command, Fence, LockName, Op, Outcome, Reply, SessionId};

use super::attempt::Goal;
use super::{Answer, Service, ServiceError, repeatable};

/// What is left of a call whose caller is gone.
pub(super) struct Vanished {
    pub(super) goal: Goal,
    pub(super) keyed: bool,
    pub(super) one_lease: bool,
}

impl Service {
    /// Undoes what a command came to whose caller is gone; whether nothing of it is left.
    pub(super) async fn undo(&self, call: Vanished, reply: Reply) -> bool {
        match reply.outcome {
            Outcome::Queued(place) => self.abandon(call, place.session, place.attachment).await,
            // A session's own lease may be older than this call: only what was opened for the
            // call alone certainly is not.
            Outcome::Granted(grant) if call.one_lease && !call.keyed => {
                let Goal::One(lock, _) = call.goal else {
                    return false;
                };
                self.give_back(lock, grant.session, grant.fence).await
            }
            // Refused, or kept for the caller to come back to; nothing else answers an acquire.
            Outcome::Granted(_)
            | Outcome::GrantedAll(_)
            | Outcome::Refused(_)
            | Outcome::Opened { .. }
            | Outcome::Renewed(_)
            | Outcome::Closed { .. }
            | Outcome::Abandoned(_)
            | Outcome::Released
            | Outcome::ValueSet
            | Outcome::Transferred { .. }
            | Outcome::Revoking { .. }
            | Outcome::Broken { .. }
            | Outcome::Ring(_) => true,
        }
    }

    /// Gives up a place, or what it has become; whether nothing of it is left but what the caller
    /// can come back for.
    pub(super) async fn abandon(
        &self,
        call: Vanished,
        session: SessionId,
        attachment: u64,
    ) -> bool {
        let op = match &call.goal {
            Goal::One(lock, _) => Op::Abandon {
                session,
                lock: lock.clone(),
                attachment,
            },
            Goal::All(wants) => Op::AbandonAll {
                session,
                wants: wants.clone(),
                attachment,
            },
        };
        let request = repeatable();
        let abandoned = match self.commit(Command { request, op }).await {
            Ok(Answer {
                body: Outcome::Abandoned(abandoned),
                ..
            }) => abandoned,
            Ok(_) => return false,
            Err(error) => {
                // The place ends with its deadline or its session at the latest.
                tracing::debug!(%error, "a vanished caller's place was not given up");
                return false;
            }
        };
        match abandoned {
            // A caller with a key can come back for what it was granted.
            Abandoned::Lease(_) | Abandoned::Leases(_) if call.keyed => true,
            Abandoned::Lease(fence) => {
                let Goal::One(lock, _) = call.goal else {
                    return false;
                };
                self.give_back(lock, session, fence).await
            }
            Abandoned::Leases(leases) => {
                let back = |(lock, fence)| self.give_back(lock, session, fence);
                let given_back = join_all(leases.into_iter().map(back)).await;
                given_back.into_iter().all(|given_back| given_back)
            }
            Abandoned::Place | Abandoned::Nothing => true,
        }
    }

    async fn give_back(&self, lock: LockName, session: SessionId, fence: Fence) -> bool {
        let command = Command {
            request: repeatable(),
            op: Op::Release {
                session,
                lock,
                fence,
            },
        };
        match self.commit(command).await {
            // It may have ended by itself meanwhile.
            Ok(_) | Err(ServiceError::Refused { .. }) => true,
            Err(error) => {
                // The lease ends with its session at the latest.
                tracing::debug!(%error, "a vanished caller's lease was not given back");
                false
            }
        }
    }
}
