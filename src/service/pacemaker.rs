//! What beats: ticks on the leader, and renewals on every node.
//!
//! *Ticks.* The machine has no clock; what is due falls due when an entry with a later stamp is
//! applied. Under load there is always one. In a quiet cluster the leader proposes an empty entry
//! once something is due. It looks every [`BEAT`] instead of sleeping until the next deadline,
//! because a command may bring a nearer deadline at any moment, and fifty looks a second cost less
//! than being told of every apply.
//!
//! *Renewals.* Ten thousand sessions that each renew every three seconds would be three thousand
//! commands a second that nobody waits for. So the renewals that a node serves within one beat are
//! one command. A lone renewal goes at once: the beat is a distance between commands, not a delay.
//! Each is acknowledged only when it is committed.

use std::time::Duration;

use lockring_core::{Command, Op, Outcome, Renewal, SessionId, limits};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Answer, COMMIT_WITHIN, ServiceError, repeatable};
use crate::consensus::{ProposeError, Replica};

/// The least distance between two ticks, and between two commands with renewals.
const BEAT: Duration = Duration::from_millis(20);

/// Renewals that a node takes on at a time; more are told to come back.
const RENEWALS_MAX: usize = limits::SESSIONS_PER_RENEWAL_MAX;

/// Where renewals go in.
#[derive(Clone, Debug)]
pub(super) struct Renewals(mpsc::Sender<Asked>);

type Renewed = Result<Answer<Renewal>, ServiceError>;

/// One caller's renewal, and where it waits for the outcome.
#[derive(Debug)]
pub(super) struct Asked {
    session: SessionId,
    answer: oneshot::Sender<Renewed>,
}

/// The way in, and what [`renew`] empties.
pub(super) fn renewals() -> (Renewals, mpsc::Receiver<Asked>) {
    let (way_in, asked) = mpsc::channel(RENEWALS_MAX);
    (Renewals(way_in), asked)
}

impl Renewals {
    /// Renews one session together with others.
    pub(super) async fn renew(&self, session: SessionId) -> Renewed {
        let (answer, answered) = oneshot::channel();
        match self.0.try_send(Asked { session, answer }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(ServiceError::Busy {
                    limit: "renewals_per_node",
                });
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(ProposeError::Stopped.into()),
        }
        answered.await.map_err(|_| ServiceError::Indeterminate)?
    }
}

/// Proposes an entry without commands whenever this node leads and something is due.
pub(super) async fn tick(replica: Replica, stopping: CancellationToken) {
    let role = replica.role();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = beat.tick() => {}
            () = stopping.cancelled() => return,
        }
        if !role.borrow().leads {
            continue;
        }
        let due = replica.view(|machine| machine.next_deadline());
        if due.is_some_and(|due| due <= replica.now()) {
            // What is due stays due: if this fails, the next beat or the next leader does it.
            if let Err(error) = replica.tick().await {
                tracing::debug!(%error, "a tick was not committed");
            }
        }
    }
}

/// Gathers renewals and proposes them, until the service stops.
///
/// A command is not awaited before the next is gathered: a commit that takes longer than a beat
/// must not hold up the renewals behind it.
pub(super) async fn renew(
    replica: Replica,
    mut asked: mpsc::Receiver<Asked>,
    stopping: CancellationToken,
) {
    let commits = TaskTracker::new();
    let mut batch = Vec::new();
    loop {
        let got = tokio::select! {
            biased;
            got = asked.recv_many(&mut batch, RENEWALS_MAX) => got,
            () = stopping.cancelled() => break,
        };
        if got == 0 {
            break;
        }
        commits.spawn(commit(replica.clone(), std::mem::take(&mut batch)));
        sleep(BEAT).await;
    }
    asked.close();
    while let Some(late) = asked.recv().await {
        // A caller that left does not need its answer.
        let _ = late.answer.send(Err(ProposeError::Stopped.into()));
    }
    commits.close();
    commits.wait().await;
}

async fn commit(replica: Replica, batch: Vec<Asked>) {
    let sessions = batch.iter().map(|asked| asked.session).collect();
    let command = Command {
        request: repeatable(),
        op: Op::Renew { sessions },
    };
    let outcome = replica.propose(command, COMMIT_WITHIN).await;
    let (revision, rows) = match outcome {
        Ok(reply) => match reply.outcome {
            Outcome::Renewed(rows) if rows.len() == batch.len() => (reply.revision, rows),
            other => return fail(batch, &ServiceError::Mismatch(Box::new(other))),
        },
        Err(error) => return fail(batch, &error.into()),
    };
    for (asked, (_, renewal)) in batch.into_iter().zip(rows) {
        let answer = Answer {
            revision,
            replayed: false,
            body: renewal,
        };
        // A caller that left does not need its answer.
        let _ = asked.answer.send(Ok(answer));
    }
}

fn fail(batch: Vec<Asked>, error: &ServiceError) {
    for asked in batch {
        let _ = asked.answer.send(Err(error.clone()));
    }
}
