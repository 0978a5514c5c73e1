//! The machine in the log's hands: committed entries in, outcomes and news out.
//!
//! **Where it stands.** openraft calls `apply` on every replica with what is committed, in order.
//! This is the only place where the machine changes, and it changes it under a lock that readers
//! share, for the length of one entry.
//!
//! **After each entry**, in this order: the waiting callers of this node get their outcomes
//! (`desk.rs`), the history and subscribers get the events, and the progress moves, for those who
//! wait until a revision or an index is applied here. Whoever was told of a revision therefore
//! finds it applied.
//!
//! **Snapshots are taken off the apply path**: freezing the machine is cheap whatever its size,
//! and encoding and writing it happens on a blocking thread while entries go on being applied. The
//! machine lives in memory alone; after a restart it is the newest snapshot plus the log after
//! it, and the log is purged only behind a durable snapshot.
//!
//! **An installed snapshot skips entries.** Callers whose commands were among them are not told;
//! they are reminded to repeat what is safe to repeat, and subscribers are told of the gap.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt};
use lockring_core::{Machine, Reply};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::RwLock;
use tokio::sync::broadcast;

use super::News;
use super::desk::{Desk, Verdict};
use super::dispatch::Breaks;
use super::raft::{LogId, Membership, Proposal, SnapshotMeta, Types};
use super::snapshot::{Snapshot, SnapshotStore};
use crate::clock::ClusterClock;
use crate::storage::history::{Events, History};
use crate::storage::offload::offload;
use crate::watch;

pub(super) type Raft = openraft::Raft<Types, Applier>;

/// How far this replica has applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The log index after the newest applied entry, so 0 before the first.
    pub(super) next_index: u64,
    /// The machine's revision.
    pub(super) revision: u64,
}

/// What the applier shares with the rest of the replica.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) machine: RwLock<Machine>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) news: broadcast::Sender<Arc<News>>,
    /// The newest term in which an entry was applied here; moves when the clock is anchored.
    pub(super) anchored: watch::Sender<u64>,
    pub(super) clock: Arc<ClusterClock>,
    pub(super) desk: Arc<Desk>,
    pub(super) breaks: Arc<Breaks>,
    /// Bytes of the log that no snapshot covers yet.
    pub(super) uncovered: watch::Sender<u64>,
    /// Whether an apply panicked.
    pub(super) broken: watch::Sender<bool>,
}

/// The state machine that openraft drives.
#[derive(Debug)]
pub(super) struct Applier {
    applied: Arc<Applied>,
    snapshots: Arc<SnapshotStore>,
    last_applied: Option<LogId>,
    membership: Membership,
    history: Option<Arc<History>>,
    /// The revision up to which the history has been told.
    told: u64,
}

impl Applier {
    pub(super) fn new(
        applied: Arc<Applied>,
        snapshots: Arc<SnapshotStore>,
        history: Option<Arc<History>>,
    ) -> Self {
        Self {
            applied,
            snapshots,
            last_applied: None,
            membership: Membership::default(),
            history,
            told: 0,
        }
    }

    fn tell_history(&mut self, upto: u64, events: Events) {
        if let Some(history) = &self.history {
            history.record(self.told, upto, events);
            self.told = upto;
        }
    }

    fn apply_proposal(&mut self, term: u64, proposal: &Proposal) {
        let shared = Arc::clone(&self.applied);
        let (outcome, revision) = {
            let mut machine = shared.machine.write();
            let outcome = machine.apply(term, proposal.entry());
            (outcome, machine.revision())
        };
        let mut replies = outcome.replies.into_iter();
        for origin in proposal.origins() {
            if outcome.void {
                shared.desk.refuse(origin);
                continue;
            }
            let of_this_run = replies.by_ref().take(origin.count as usize);
            settle(&shared.desk, origin, of_this_run);
        }
        if !outcome.events.is_empty() {
            let events = outcome.events;
            let gap = false;
            let news = Arc::new(News {
                revision,
                events,
                gap,
            });
            self.tell_history(revision, Arc::clone(&news) as Events);
            // Nobody need be listening.
            let _ = shared.news.send(news);
        }
    }

    fn moved_to(&mut self, last: LogId) {
        let shared = &self.applied;
        let (clock, revision) = {
            let machine = shared.machine.read();
            (machine.clock(), machine.revision())
        };
        let term = last.leader_id.term;
        if shared.clock.anchor(term, clock) {
            shared.anchored.send_replace(term);
        }
        self.last_applied = Some(last);
        shared.progress.send_replace(Progress {
            next_index: last.index + 1,
            revision,
        });
    }
}

/// Tells when an apply panics. Its task is gone then, and with it this replica's machine; openraft
/// would notice with the next entry, and until then the node would pretend to be well.
struct PanicWatch(Arc<Applied>);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.send_replace(true);
        }
    }
}

/// Hands a run's replies to its waiters; all of the run's replies are consumed, whoever waits.
fn settle(desk: &Desk, origin: &super::raft::Origin, replies: impl Iterator<Item = Reply>) {
    let mut verdicts = replies.map(Verdict::Applied);
    desk.settle(origin, verdicts.by_ref());
    verdicts.for_each(drop);
}

impl RaftStateMachine<Types> for Applier {
    type SnapshotData = Snapshot;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let _watch = PanicWatch(Arc::clone(&self.applied));
        let mut bytes = 0;
        while let Some((entry, responder)) = entries.try_next().await? {
            match &entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(proposal) => {
                    bytes += proposal.size() as u64;
                    self.apply_proposal(entry.log_id.leader_id.term, proposal);
                }
                EntryPayload::Membership(membership) => {
                    self.membership = Membership::new(Some(entry.log_id), membership.clone());
                }
            }
            self.moved_to(entry.log_id);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        self.applied.uncovered.send_modify(|sum| *sum += bytes);
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.applied.uncovered.send_replace(0);
        let frozen = self.applied.machine.read().freeze();
        // Revisions without events at its end are known too, or they would look like a gap.
        self.tell_history(frozen.revision(), Arc::new([]));
        Builder {
            frozen,
            history: self.history.clone(),
            meta: SnapshotMeta {
                last_log_id: self.last_applied,
                last_membership: self.membership.clone(),
            },
            snapshots: Arc::clone(&self.snapshots),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Snapshot) -> io::Result<()> {
        let _watch = PanicWatch(Arc::clone(&self.applied));
        let machine = self.snapshots.install(meta.clone(), data).await?;
        let revision = machine.revision();
        *self.applied.machine.write() = machine;
        // What the snapshot skipped is a gap in the history, and the next record says so.
        self.told = revision;
        self.membership = meta.last_membership.clone();
        if let Some(last) = meta.last_log_id {
            self.moved_to(last);
        }
        self.applied.breaks.add();
        let _ = self.applied.news.send(Arc::new(News {
            revision,
            events: Vec::new(),
            gap: true,
        }));
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<openraft::alias::SnapshotOf<Types, Snapshot>>> {
        let current = self.snapshots.current();
        Ok(current.map(|(meta, snapshot)| openraft::Snapshot { meta, snapshot }))
    }
}

/// A frozen machine on its way into a file.
#[derive(Debug)]
pub(super) struct Builder {
    frozen: lockring_core::Frozen,
    meta: SnapshotMeta,
    snapshots: Arc<SnapshotStore>,
    history: Option<Arc<History>>,
}

impl Builder {
    /// The log behind a snapshot is purged, and with it what could make its events again.
    async fn settle_history(&mut self) -> io::Result<()> {
        let Some(history) = self.history.take() else {
            return Ok(());
        };
        let synced = offload(move || history.sync()).await;
        if let Err(error) = synced? {
            tracing::warn!(%error, "the log is purged although the history may lack events");
        }
        Ok(())
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Snapshot;

    async fn build_snapshot(&mut self) -> io::Result<openraft::alias::SnapshotOf<Types, Snapshot>> {
        self.settle_history().await?;
        let meta = self.meta.clone();
        let snapshot = self
            .snapshots
            .write(meta.clone(), self.frozen.clone())
            .await?;
        Ok(openraft::Snapshot { meta, snapshot })
    }
}

#[cfg(test)]
mod tests {
    use lockring_core::{
        ClusterTime, Command, Entry, NewSession, Op, Owner, SessionId, Stamp, Ttl,
    };
    use openraft::entry::RaftEntry;
    use openraft::vote::RaftLeaderId;
    use tempfile::TempDir;
    use tokio::task::spawn_blocking;

    use super::super::open::shared;
    use super::super::raft::LogEntry;
    use super::*;
    use crate::storage::disk::RealDisk;
    use crate::storage::history;
    use crate::storage::snapshots::Snapshots;

    fn applier() -> (TempDir, Applier) {
        let directory = TempDir::new().unwrap();
        let applier = applier_in(&directory, None);
        (directory, applier)
    }

    fn applier_in(directory: &TempDir, history: Option<Arc<History>>) -> Applier {
        let files = directory.path().join("snapshots");
        let files = Snapshots::open(Arc::new(RealDisk), &files).unwrap();
        let store = SnapshotStore::open(files).unwrap();
        Applier::new(
            Arc::new(shared(1, ClusterClock::default())),
            Arc::new(store),
            history,
        )
    }

    fn history_in(directory: &TempDir) -> Arc<History> {
        let path = directory.path().join("history");
        Arc::new(History::open(&path, history::Options::default()).unwrap())
    }

    /// Has a close of no session wait, and applies the entry that it is in.
    async fn apply(applier: &mut Applier, stamp_term: u64, log_term: u64, index: u64) -> Verdict {
        let session = SessionId::from_bits(9);
        apply_op(applier, Op::Close { session }, stamp_term, log_term, index).await
    }

    async fn apply_op(
        applier: &mut Applier,
        op: Op,
        stamp_term: u64,
        log_term: u64,
        index: u64,
    ) -> Verdict {
        let desk = Arc::clone(&applier.applied.desk);
        let mut place = desk.enter(Command { request: None, op }).unwrap();
        let run = desk.take(1).pop().unwrap();
        let stamp = Stamp {
            term: stamp_term,
            at: ClusterTime(1_000 * index),
            wall_ms: 0,
        };
        let commands = run.commands;
        let proposal = Proposal::new(Entry { stamp, commands }, vec![run.origin]);
        let leader = openraft::alias::LeaderIdOf::<Types>::new(log_term, 1).to_committed();
        let log_id = LogId::new(leader, index);
        let entry = LogEntry::new(log_id, EntryPayload::Normal(proposal));
        let entries = futures_util::stream::iter([Ok((entry, None))]);
        applier.apply(entries).await.unwrap();
        place.verdict.try_recv().unwrap()
    }

    #[tokio::test]
    async fn an_entry_stamped_in_another_term_tells_its_callers_that_nothing_happened() {
        let (_directory, mut applier) = applier();
        let counted = apply(&mut applier, 1, 1, 1).await;
        assert!(matches!(counted, Verdict::Applied(_)), "{counted:?}");
        let clock = applier.applied.machine.read().clock();
        let void = apply(&mut applier, 1, 2, 2).await;
        assert!(matches!(void, Verdict::Nothing), "{void:?}");
        assert_eq!(applier.applied.machine.read().clock(), clock);
    }

    #[tokio::test]
    async fn the_clock_is_anchored_by_the_first_entry_of_a_term() {
        let (_directory, mut applier) = applier();
        apply(&mut applier, 1, 1, 1).await;
        assert_eq!(applier.applied.clock.anchored_term(), Some(1));
        apply(&mut applier, 3, 3, 2).await;
        assert_eq!(applier.applied.clock.anchored_term(), Some(3));
        assert_eq!(applier.applied.clock.stamp(1), None);
    }

    #[tokio::test]
    async fn a_panic_in_apply_is_told() {
        let (_directory, mut applier) = applier();
        let broken = applier.applied.broken.subscribe();
        let panicking = tokio::spawn(async move {
            let entries = futures_util::stream::poll_fn(|_| panic!("an entry that cannot be"));
            applier.apply(entries).await
        });
        assert!(panicking.await.unwrap_err().is_panic());
        assert!(*broken.borrow());
    }

    fn open_session(number: u128) -> Op {
        Op::Open(NewSession {
            session: SessionId::from_bits(number),
            ttl: Ttl::parse(10_000).unwrap(),
            owner: Owner::default(),
            lock_delay_ms: 0,
            metadata: String::new(),
        })
    }

    #[tokio::test]
    async fn the_history_has_no_gap_over_a_snapshot_and_a_restart() {
        let directory = TempDir::new().unwrap();
        let history = history_in(&directory);
        let mut applier = applier_in(&directory, Some(Arc::clone(&history)));
        apply_op(&mut applier, open_session(1), 1, 1, 1).await;
        // A revision without an event is the last that the snapshot holds.
        apply(&mut applier, 1, 1, 2).await;
        let built = applier.get_snapshot_builder().await.build_snapshot().await;
        let built = built.unwrap();
        apply_op(&mut applier, open_session(2), 1, 1, 3).await;
        history.close();

        let history = history_in(&directory);
        let mut applier = applier_in(&directory, Some(Arc::clone(&history)));
        applier
            .install_snapshot(&built.meta, built.snapshot)
            .await
            .unwrap();
        apply_op(&mut applier, open_session(2), 1, 1, 3).await;
        apply_op(&mut applier, open_session(3), 1, 1, 4).await;
        let asked = Arc::clone(&history);
        let told = spawn_blocking(move || asked.since(0, 10))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(told.missing, []);
        let revisions: Vec<u64> = told.events.iter().map(|event| event.revision).collect();
        assert_eq!(revisions, [1, 3, 4]);
    }
}
