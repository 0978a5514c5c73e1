//! One acquire on its way.
//!
//! An acquire that waits is three things with three lives: a *command*, which is committed or not;
//! a *place* in the queue, which is replicated and survives this node; and a *call*, which is a
//! client's open connection to this node. [`Attempt`] ties them together: whatever becomes of the
//! call, the place does not outlive the caller's interest in it, and no lease is left with a caller
//! that never heard of it.
//!
//! | the caller vanishes | with a key of its own | without |
//! |---|---|---|
//! | while its command is under way | its place is given up | its place or its lease is given up |
//! | while it is parked | its place is given up | its place or its lease is given up |
//! | after it was told 202 | its place stays until its wait ends | the same: 202 told it a key |
//!
//! A caller with a key can come back for its answer, so a lease that it was granted stays.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;

use lockring_core::{
    Abandoned, Acquirer, Command, Fence, Grant, LockName, Machine, Op, Outcome, Queued, Refusal,
    Reply, SessionId,
};
use tokio::time::{Sleep, sleep};

use super::waiting::{Seat, Told};
use super::{
    Acquired, Answer, COMMIT_WITHIN, Granted, Key, Parked, Service, ServiceError, repeatable,
};
use crate::consensus::ProposeError;

/// How often one call proposes its command again because it lost sight of what became of it.
const ATTEMPTS_MAX: usize = 8;

/// What is left of a call whose caller is gone.
struct Vanished {
    lock: LockName,
    keyed: bool,
    one_lease: bool,
}

type Proposal = Pin<Box<dyn Future<Output = Result<Reply, ProposeError>> + Send>>;

/// How far a call has come, and so what its caller leaves behind by vanishing.
enum Stage {
    /// Nothing.
    Settled,
    /// A command that is under way. It is owned here so that it can be seen through to its end.
    Proposing(Proposal),
    /// A place.
    Parked { session: SessionId, attachment: u64 },
}

/// One acquire on its way; dropping it undoes what its caller will not come back for.
pub(super) struct Attempt<'a> {
    service: &'a Service,
    lock: LockName,
    command: Command,
    one_lease: bool,
    keyed: bool,
    told_key: Option<String>,
    stage: Stage,
}

/// What a parked caller that looked at the machine saw.
enum Sight {
    /// Its place is still there.
    Waiting(Queued),
    /// The lease is its session's.
    Held(u64, Grant),
    /// Neither.
    Gone,
}

impl<'a> Attempt<'a> {
    /// An acquire of `lock` by `command`, which holds it too; `told_key` is the key to tell a
    /// caller that had none, should it have to come back.
    pub(super) fn new(
        service: &'a Service,
        lock: LockName,
        command: Command,
        key: Key,
        told_key: Option<String>,
    ) -> Self {
        let one_lease = matches!(
            command.op,
            Op::Acquire {
                by: Acquirer::OneLease(_),
                ..
            }
        );
        Self {
            service,
            lock,
            command,
            one_lease,
            keyed: matches!(key, Key::Clients(_)),
            told_key,
            stage: Stage::Settled,
        }
    }

    /// Asks once, without a place in the queue.
    pub(super) async fn try_once(mut self) -> Result<Answer<Acquired>, ServiceError> {
        let reply = self.propose().await?;
        match reply.outcome {
            Outcome::Granted(grant) => {
                Ok(self.service.granted(reply.revision, reply.replayed, &grant))
            }
            Outcome::Refused(refusal) => Err(refused(reply.revision, refusal)),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Asks, and waits in the queue for as long as the call may be parked.
    pub(super) async fn wait(
        mut self,
        session: SessionId,
    ) -> Result<Answer<Acquired>, ServiceError> {
        let service = self.service;
        let mut window = pin!(sleep(service.inner.settings.poll_window));
        let mut seat = service.inner.waiting.sit(session, self.lock.clone());
        for _ in 0..ATTEMPTS_MAX {
            let reply = self.propose().await?;
            let place = match reply.outcome {
                Outcome::Queued(place) => place,
                Outcome::Granted(grant) => {
                    return Ok(service.granted(reply.revision, reply.replayed, &grant));
                }
                Outcome::Refused(refusal) => return Err(refused(reply.revision, refusal)),
                other => return Err(ServiceError::Mismatch(Box::new(other))),
            };
            self.stage = Stage::Parked {
                session: place.session,
                attachment: place.attachment,
            };
            seat.move_to(place.session);
            if let Some(end) = self
                .parked(&seat, place, reply.revision, window.as_mut())
                .await
            {
                // A caller that is turned away without a way back leaves its place behind.
                if !matches!(end, Err(ServiceError::Unready { .. })) {
                    self.stage = Stage::Settled;
                }
                return end;
            }
        }
        Err(ServiceError::Indeterminate)
    }

    /// Waits in the queue until the call can be answered, or until it must propose again (`None`)
    /// because its place is gone and it missed why.
    async fn parked(
        &mut self,
        seat: &Seat<'_>,
        mut place: Queued,
        since: u64,
        mut window: Pin<&mut Sleep>,
    ) -> Option<Result<Answer<Acquired>, ServiceError>> {
        let service = self.service;
        loop {
            let told = tokio::select! {
                biased;
                told = seat.news(since) => Some(told),
                () = &mut window => None,
                () = service.inner.stopping.cancelled() => None,
            };
            match told {
                Some(Told::Granted { revision, grant }) => {
                    return Some(Ok(service.granted(revision, false, &grant)));
                }
                Some(Told::Ended {
                    revision,
                    refusal: Some(refusal),
                }) => return Some(Err(refused(revision, refusal))),
                // The session gave the place up, by another call: this one still wants it.
                Some(Told::Ended { refusal: None, .. }) => return None,
                Some(Told::Lost) | None => {}
            }
            match self.look(place.session) {
                Sight::Waiting(seen) => place = seen,
                Sight::Held(revision, grant) => {
                    return Some(Ok(service.granted(revision, false, &grant)));
                }
                Sight::Gone => return None,
            }
            if told.is_none() {
                return Some(self.sent_away(&place));
            }
        }
    }

    fn look(&self, session: SessionId) -> Sight {
        self.service.inner.replica.view(|machine: &Machine| {
            if let Some(place) = machine.place(session, &self.lock) {
                return Sight::Waiting(place);
            }
            let view = machine.lock(&self.lock);
            let mut holders = view.iter().flat_map(|view| &view.holders);
            match holders.find(|holder| holder.session == session) {
                Some(holder) => Sight::Held(
                    machine.revision(),
                    Grant {
                        session,
                        mode: holder.mode,
                        fence: holder.fence,
                        hold_until: holder.hold_until,
                        expires_at: holder.expires_at,
                    },
                ),
                None => Sight::Gone,
            }
        })
    }

    /// The answer to a caller that is to come back: at the end of the window, or because this node
    /// stops. It takes a key to come back with.
    fn sent_away(&self, place: &Queued) -> Result<Answer<Acquired>, ServiceError> {
        if !self.keyed && self.told_key.is_none() {
            return Err(ServiceError::Unready {
                leader: None,
                why: "this node is stopping".into(),
            });
        }
        Ok(Answer {
            revision: self.service.revision(),
            replayed: false,
            body: Acquired::Parked(Parked {
                ticket: place.ticket,
                position: place.position,
                key: self.told_key.clone(),
            }),
        })
    }

    /// Proposes the command. If the caller vanishes meanwhile, the proposal goes on without it.
    async fn propose(&mut self) -> Result<Reply, ServiceError> {
        let inner = &self.service.inner;
        inner.proposals.fetch_add(1, Ordering::Relaxed);
        let (replica, command) = (inner.replica.clone(), self.command.clone());
        let proposal = async move { replica.propose(command, COMMIT_WITHIN).await };
        self.stage = Stage::Proposing(Box::pin(proposal));
        let Stage::Proposing(proposal) = &mut self.stage else {
            unreachable!("it was set the line before")
        };
        let reply = proposal.await;
        self.stage = Stage::Settled;
        Ok(reply?)
    }
}

impl Service {
    /// What a caller that is granted `grant` is told.
    fn granted(&self, revision: u64, replayed: bool, grant: &Grant) -> Answer<Acquired> {
        Answer {
            revision,
            replayed,
            body: Acquired::Granted(Granted {
                session: grant.session,
                fence: grant.fence,
                expires_in_ms: grant.expires_at.ms_since(self.inner.replica.now()),
            }),
        }
    }

    /// Undoes what a command came to whose caller is gone.
    async fn undo(&self, call: Vanished, reply: Reply) {
        match reply.outcome {
            Outcome::Queued(place) => self.abandon(call, place.session, place.attachment).await,
            // A session's own lease may be older than this call: only what was opened for the
            // call alone certainly is not.
            Outcome::Granted(grant) if call.one_lease && !call.keyed => {
                self.give_back(call.lock, grant.session, grant.fence).await;
            }
            // Refused, or kept for the caller to come back to; nothing else answers an acquire.
            Outcome::Granted(_)
            | Outcome::Refused(_)
            | Outcome::Opened { .. }
            | Outcome::Renewed(_)
            | Outcome::Closed { .. }
            | Outcome::GrantedAll(_)
            | Outcome::Abandoned(_)
            | Outcome::Released
            | Outcome::ValueSet
            | Outcome::Transferred { .. }
            | Outcome::Revoking { .. }
            | Outcome::Broken { .. }
            | Outcome::Ring(_) => {}
        }
    }

    async fn abandon(&self, call: Vanished, session: SessionId, attachment: u64) {
        let command = Command {
            request: repeatable(),
            op: Op::Abandon {
                session,
                lock: call.lock.clone(),
                attachment,
            },
        };
        match self.commit(command).await {
            Ok(Answer {
                body: Outcome::Abandoned(Abandoned::Lease(fence)),
                ..
            }) if !call.keyed => self.give_back(call.lock, session, fence).await,
            Ok(_) => {}
            // The place ends with its deadline or its session at the latest.
            Err(error) => tracing::debug!(%error, "a vanished caller's place was not given up"),
        }
    }

    async fn give_back(&self, lock: LockName, session: SessionId, fence: Fence) {
        let command = Command {
            request: repeatable(),
            op: Op::Release {
                session,
                lock,
                fence,
            },
        };
        if let Err(error) = self.commit(command).await {
            // The lease ends with its session at the latest.
            tracing::debug!(%error, "a vanished caller's lease was not given back");
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Settled);
        if matches!(stage, Stage::Settled) {
            return;
        }
        let service = self.service.clone();
        let call = Vanished {
            lock: self.lock.clone(),
            keyed: self.keyed,
            one_lease: self.one_lease,
        };
        let undo = async move {
            match stage {
                Stage::Settled => {}
                Stage::Proposing(proposal) => {
                    if let Ok(reply) = proposal.await {
                        service.undo(call, reply).await;
                    }
                }
                Stage::Parked {
                    session,
                    attachment,
                } => service.abandon(call, session, attachment).await,
            }
        };
        let inner = &self.service.inner;
        inner.tasks.spawn_on(undo, &inner.runtime);
    }
}

fn refused(revision: u64, refusal: Refusal) -> ServiceError {
    ServiceError::Refused { revision, refusal }
}
