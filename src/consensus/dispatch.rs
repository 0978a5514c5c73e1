//! Where commands become entries: one task a node, which takes what has gathered at the desk.
//!
//! **Group commit without delay.** On the leader, all commands that are waiting when there is
//! room for another entry become one entry. Few entries are in flight at a time, so that while
//! one is being made durable the next gathers: the batch grows with the load by itself, and a
//! single caller waits for nobody.
//!
//! **On a follower** the same batches travel to the leader in one call each. The reply to that
//! call says only whether the leader took the batch into the log; outcomes are seen in the local
//! apply. A batch that was surely not taken goes back to its callers; one whose call broke is
//! left alone, for it may still be committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use lockring_core::planted::{self, Plant};
use lockring_core::{Command, Entry};
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Role;
use super::applier::Raft;
use super::desk::{Desk, Run};
use super::links::Links;
use super::raft::{Origin, Proposal};
use crate::clock::ClusterClock;
use crate::watch;

/// Entries that the leader has in flight: one that is being made durable, and one that is on its
/// way there. More would only make the batches smaller.
const ENTRIES_IN_FLIGHT: usize = 2;

/// Batches that a follower has under way to the leader.
const CALLS_IN_FLIGHT: usize = 4;

/// Commands in one entry.
const BATCH_MAX: usize = 512;

/// How long a follower waits for the leader to say that it took a batch.
const TAKE_WITHIN: Duration = Duration::from_secs(5);

/// What became of a batch on its way into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// It was committed and applied.
    Taken,
    /// It surely has no effect.
    Refused,
    /// It may be in the log.
    Unknown,
}

/// What others ask the dispatcher for.
#[derive(Debug)]
pub(super) enum Job {
    /// A follower's batch.
    Runs(Vec<Run>, oneshot::Sender<Fate>),
    /// An entry even if there is no command.
    Tick(oneshot::Sender<Fate>),
}

/// Counts what might have cost commands their answer: a broken call, a discarded entry.
#[derive(Debug, Default)]
pub(super) struct Breaks(AtomicU64);

impl Breaks {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Who is waiting for an entry to settle.
struct Flight {
    local: Vec<Origin>,
    replies: Vec<oneshot::Sender<Fate>>,
    fate: Fate,
    /// The entry itself, if a planted bug is to propose it again as it is.
    again: Option<Proposal>,
}

pub(super) struct Dispatcher {
    pub(super) desk: Arc<Desk>,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) clock: Arc<ClusterClock>,
    pub(super) raft: Raft,
    pub(super) links: Arc<Links>,
    pub(super) breaks: Arc<Breaks>,
    /// What a planted bug proposes under another term than it was stamped in.
    pub(super) stamped: Option<(Batch, Proposal)>,
}

impl Dispatcher {
    /// Runs until everybody who could send a job is gone.
    pub(super) async fn run(mut self) {
        let mut flights: FuturesUnordered<BoxFuture<'static, Flight>> = FuturesUnordered::new();
        let mut job = None;
        loop {
            let role = self.role.borrow_and_update().clone();
            if role.leads {
                while flights.len() < ENTRIES_IN_FLIGHT
                    && let Some(flight) = self.next_entry(&role, &mut job).await
                {
                    flights.push(flight);
                }
            } else {
                if let Some(job) = job.take() {
                    refuse(job);
                }
                while flights.len() < CALLS_IN_FLIGHT
                    && let Some(flight) = self.next_call(&role)
                {
                    flights.push(flight);
                }
            }
            let room = job.is_none();
            tokio::select! {
                biased;
                Some(flight) = flights.next(), if !flights.is_empty() => self.land(flight),
                next = self.jobs.recv(), if room => match next {
                    Some(next) => job = Some(next),
                    None => return,
                },
                () = self.desk.bell.notified() => {}
                changed = self.role.changed() => if changed.is_err() { return },
            }
        }
    }

    /// An entry of all that waits; nothing if nothing does.
    async fn next_entry(
        &mut self,
        role: &Role,
        job: &mut Option<Job>,
    ) -> Option<BoxFuture<'static, Flight>> {
        if let Some((batch, proposal)) = self.stamped.take() {
            return self.write(batch, proposal).await;
        }
        let mut batch = Batch::default();
        while batch.commands.len() < BATCH_MAX
            && let Some(next) = job.take().or_else(|| self.jobs.try_recv().ok())
        {
            batch.add_job(next);
        }
        for run in self
            .desk
            .take(BATCH_MAX.saturating_sub(batch.commands.len()))
        {
            batch.local.push(run.origin);
            batch.add(run);
        }
        if batch.commands.is_empty() && !batch.tick {
            return None;
        }
        let Some(stamp) = self.clock.stamp(role.term) else {
            self.land(batch.settle(Fate::Refused));
            return None;
        };
        let entry = Entry {
            stamp,
            commands: std::mem::take(&mut batch.commands),
        };
        let proposal = Proposal::new(entry, std::mem::take(&mut batch.origins));
        self.write(batch, proposal).await
    }

    /// Hands an entry to openraft.
    async fn write(
        &mut self,
        batch: Batch,
        proposal: Proposal,
    ) -> Option<BoxFuture<'static, Flight>> {
        let again = planted::is(Plant::NoTermGuard).then(|| proposal.clone());
        // The message is sent here, not in the future below, so that entries enter the log in
        // the order of their stamps.
        let (responder, written) = ProgressResponder::complete_only();
        if self
            .raft
            .client_write_ff(proposal, Some(responder))
            .await
            .is_err()
        {
            self.land(batch.settle(Fate::Unknown));
            return None;
        }
        let settled = async move {
            let flight = batch.settle(match written.await {
                Ok(Ok(_)) => Fate::Taken,
                Ok(Err(ClientWriteError::ForwardToLeader(_))) => Fate::Refused,
                Ok(Err(_)) | Err(_) => Fate::Unknown,
            });
            Flight { again, ..flight }
        };
        Some(settled.boxed())
    }

    /// A batch on its way to the leader, if there is a leader and something to send.
    fn next_call(&self, role: &Role) -> Option<BoxFuture<'static, Flight>> {
        let leader = role.leader.filter(|leader| *leader != self.links.id())?;
        let runs = self.desk.take(BATCH_MAX);
        if runs.is_empty() {
            return None;
        }
        let local = runs.iter().map(|run| run.origin).collect();
        let links = Arc::clone(&self.links);
        let sent = async move {
            let fate = links.propose(leader, runs, TAKE_WITHIN).await;
            Flight {
                local,
                replies: Vec::new(),
                fate,
                again: None,
            }
        };
        Some(sent.boxed())
    }

    fn land(&mut self, flight: Flight) {
        if flight.fate == Fate::Refused
            && let Some(proposal) = flight.again
        {
            let batch = Batch {
                local: flight.local,
                replies: flight.replies,
                ..Batch::default()
            };
            self.stamped = Some((batch, proposal));
            return;
        }
        match flight.fate {
            Fate::Taken => {}
            Fate::Refused => {
                for origin in &flight.local {
                    self.desk.refuse(origin);
                }
            }
            Fate::Unknown => self.breaks.add(),
        }
        for reply in flight.replies {
            // Whoever asked may have gone; the log does not mind.
            let _ = reply.send(flight.fate);
        }
    }
}

/// What becomes one entry.
#[derive(Default)]
pub(super) struct Batch {
    commands: Vec<Command>,
    origins: Vec<Origin>,
    local: Vec<Origin>,
    replies: Vec<oneshot::Sender<Fate>>,
    tick: bool,
}

impl Batch {
    fn add_job(&mut self, job: Job) {
        match job {
            Job::Tick(reply) => {
                self.tick = true;
                self.replies.push(reply);
            }
            Job::Runs(runs, reply) => {
                self.replies.push(reply);
                for run in runs {
                    self.add(run);
                }
            }
        }
    }

    fn add(&mut self, mut run: Run) {
        self.origins.push(run.origin);
        if self.commands.is_empty() {
            self.commands = run.commands;
        } else {
            self.commands.append(&mut run.commands);
        }
    }

    fn settle(self, fate: Fate) -> Flight {
        Flight {
            local: self.local,
            replies: self.replies,
            fate,
            again: None,
        }
    }
}

fn refuse(job: Job) {
    let (Job::Runs(_, reply) | Job::Tick(reply)) = job;
    let _ = reply.send(Fate::Refused);
}
