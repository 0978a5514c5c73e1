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
//! A node that stops sends its parked callers away: with 202 if they have a key to come back with;
//! the others it tells that nothing came of it, but only when that has been committed.
//!
//! A caller with a key can come back for its answer, so a lease that it was granted stays.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;

use lockring_core::{
    Acquirer, Command, Grant, GrantedAll, LockName, Machine, Mode, Op, Outcome, Queued, Refusal,
    Reply, SessionId, Wants,
};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

use super::vanished::Vanished;
use super::waiting::{Seat, Told, Topic};
use super::{
    Acquired, Answer, COMMIT_WITHIN, Granted, GrantedMany, Key, Parked, Service, ServiceError,
};
use crate::consensus::ProposeError;

/// How often one call proposes its command again because it lost sight of what became of it.
const ATTEMPTS_MAX: usize = 8;

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

/// What an acquire is for.
#[derive(Clone, Debug)]
pub(super) enum Goal {
    /// One lock.
    One(LockName, Mode),
    /// Many at once.
    All(Wants),
}

impl Goal {
    /// Where news of it is told.
    fn topic(&self) -> Topic {
        match self {
            Self::One(lock, _) => Topic::Lock(lock.clone()),
            Self::All(_) => Topic::Many,
        }
    }
}

/// One acquire on its way; dropping it undoes what its caller will not come back for.
pub(super) struct Attempt<'a> {
    service: &'a Service,
    goal: Goal,
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
    /// An acquire with this goal by `command`, which has it too; `told_key` is the key to tell a
    /// caller that had none, should it have to come back.
    pub(super) fn new(
        service: &'a Service,
        goal: Goal,
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
            goal,
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
            Outcome::GrantedAll(all) => {
                Ok(self
                    .service
                    .granted_all(reply.revision, reply.replayed, all))
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
        let mut seat = service.inner.waiting.sit(session, self.goal.topic());
        for _ in 0..ATTEMPTS_MAX {
            let reply = self.propose().await?;
            let place = match reply.outcome {
                Outcome::Queued(place) => place,
                Outcome::Granted(grant) => {
                    return Ok(service.granted(reply.revision, reply.replayed, &grant));
                }
                Outcome::GrantedAll(all) => {
                    return Ok(service.granted_all(reply.revision, reply.replayed, all));
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
                self.stage = Stage::Settled;
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
                Some(Told::GrantedAll {
                    revision,
                    ticket,
                    all,
                }) if ticket == place.ticket => {
                    return Some(Ok(service.granted_all(revision, false, all)));
                }
                Some(Told::Ended {
                    revision,
                    ticket,
                    refusal,
                }) if ticket == place.ticket => {
                    // A place that the session gave up, by another call, this one still wants.
                    return refusal.map(|refusal| Err(refused(revision, refusal)));
                }
                // Another place's.
                Some(Told::GrantedAll { .. } | Told::Ended { .. }) => continue,
                Some(Told::Lost) | None => {}
            }
            match self.look(&place) {
                Sight::Waiting(seen) => place = seen,
                Sight::Held(revision, grant) => {
                    return Some(Ok(service.granted(revision, false, &grant)));
                }
                Sight::Gone => return None,
            }
            if told.is_none() {
                return Some(self.sent_away(&place).await);
            }
        }
    }

    fn look(&self, place: &Queued) -> Sight {
        let replica = &self.service.inner.replica;
        match &self.goal {
            Goal::One(lock, mode) => {
                replica.view(|machine| look_at_one(machine, place.session, lock, *mode))
            }
            Goal::All(wants) => replica.view(|machine| look_at_all(machine, place, wants)),
        }
    }

    /// The answer to a caller that is to come back: at the end of the window, or because this node
    /// stops. It takes a key to come back with.
    async fn sent_away(&mut self, place: &Queued) -> Result<Answer<Acquired>, ServiceError> {
        if !self.keyed && self.told_key.is_none() {
            return Err(self.turned_away().await);
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

    /// What a caller is told that has no way back: it leaves nothing behind, if that is certain.
    async fn turned_away(&mut self) -> ServiceError {
        let left = match self.leave() {
            Some(undone) => undone.await.unwrap_or(false),
            None => true,
        };
        if !left {
            return ServiceError::Indeterminate;
        }
        ServiceError::Unready {
            leader: None,
            why: "this node is stopping".into(),
        }
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
        let now = self.inner.replica.now();
        Answer {
            revision,
            replayed,
            body: Acquired::Granted(Granted {
                session: grant.session,
                mode: grant.mode,
                fence: grant.fence,
                expires_in_ms: grant.expires_at.ms_since(now),
                hold_ends_in_ms: grant.hold_until.map(|until| until.ms_since(now)),
            }),
        }
    }

    /// What a caller that is granted many is told.
    fn granted_all(&self, revision: u64, replayed: bool, all: GrantedAll) -> Answer<Acquired> {
        let now = self.inner.replica.now();
        Answer {
            revision,
            replayed,
            body: Acquired::GrantedAll(GrantedMany {
                session: all.session,
                leases: all.leases,
                expires_in_ms: all.expires_at.ms_since(now),
                hold_ends_in_ms: all.hold_until.map(|until| until.ms_since(now)),
            }),
        }
    }
}

impl Attempt<'_> {
    /// Undoes what the call has come to, if anything; the task tells whether that is certain, and
    /// goes on without whoever began it.
    fn leave(&mut self) -> Option<JoinHandle<bool>> {
        let stage = std::mem::replace(&mut self.stage, Stage::Settled);
        if matches!(stage, Stage::Settled) {
            return None;
        }
        let service = self.service.clone();
        let call = Vanished {
            goal: self.goal.clone(),
            keyed: self.keyed,
            one_lease: self.one_lease,
        };
        let undo = async move {
            match stage {
                Stage::Settled => true,
                Stage::Proposing(proposal) => match proposal.await {
                    Ok(reply) => service.undo(call, reply).await,
                    Err(_) => false,
                },
                Stage::Parked {
                    session,
                    attachment,
                } => service.abandon(call, session, attachment).await,
            }
        };
        let inner = &self.service.inner;
        Some(inner.tasks.spawn_on(undo, &inner.runtime))
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(self.leave());
    }
}

fn look_at_one(machine: &Machine, session: SessionId, lock: &LockName, mode: Mode) -> Sight {
    if let Some(place) = machine.place(session, lock) {
        return Sight::Waiting(place);
    }
    // A holder that waited to change its mode may still be what it was.
    match machine
        .lease(session, lock)
        .filter(|held| held.mode == mode)
    {
        Some(grant) => Sight::Held(machine.revision(), grant),
        None => Sight::Gone,
    }
}

/// A place that is gone is asked for again under its request id, and what became of it is told.
fn look_at_all(machine: &Machine, place: &Queued, wants: &Wants) -> Sight {
    let places = wants
        .iter()
        .filter_map(|want| machine.place(place.session, &want.lock))
        .filter(|seen| seen.ticket == place.ticket);
    match places.max_by_key(|seen| seen.position) {
        Some(seen) => Sight::Waiting(seen),
        None => Sight::Gone,
    }
}

fn refused(revision: u64, refusal: Refusal) -> ServiceError {
    ServiceError::Refused { revision, refusal }
}
