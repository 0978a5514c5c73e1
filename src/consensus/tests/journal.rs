//! openraft's own suite for storage, over the real write-ahead log, and what it does not test.

use std::sync::Arc;

use lockring_core::{ClusterTime, Entry};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader, StorageError};
use tempfile::TempDir;

use crate::clock::ClusterClock;
use crate::consensus::applier::Applier;
use crate::consensus::journal::Journal;
use crate::consensus::open::shared;
use crate::consensus::raft::{LogEntry, LogId, Proposal, Types, Vote};
use crate::consensus::snapshot::SnapshotStore;
use crate::storage::Poison;
use crate::storage::disk::RealDisk;
use crate::storage::snapshots::Snapshots;
use crate::storage::wal::{FileCare, Options, Wal};

fn open(directory: &TempDir) -> Journal {
    let options = Options {
        segment_bytes: 64 << 10,
        cache_bytes: 4 << 10,
        files: FileCare::Inline,
        ..Options::default()
    };
    let path = directory.path().join("wal");
    let opened = Wal::open(Arc::new(RealDisk), &path, options, Poison::new());
    let (wal, recovered) = opened.unwrap();
    Journal::open(wal, &recovered).unwrap()
}

struct Builder;

impl StoreBuilder<Types, Journal, Applier, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Journal, Applier), StorageError<Types>> {
        let directory = TempDir::new().unwrap();
        let journal = open(&directory);
        let snapshots = directory.path().join("snapshots");
        let snapshots = Snapshots::open(Arc::new(RealDisk), &snapshots).unwrap();
        let snapshots = Arc::new(SnapshotStore::open(snapshots).unwrap());
        let applier = Applier::new(
            Arc::new(shared(1, ClusterClock::default())),
            snapshots,
            None,
        );
        Ok((directory, journal, applier))
    }
}

#[tokio::test]
async fn it_passes_the_suite_of_openraft() {
    Suite::test_all(Builder).await.unwrap();
}

fn entry(term: u64, index: u64) -> LogEntry {
    let proposal = Proposal::new(Entry::tick(term, ClusterTime(index), 0), Vec::new());
    LogEntry::new(log_id(term, index), EntryPayload::Normal(proposal))
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(
        openraft::vote::RaftLeaderId::to_committed(&leader(term)),
        index,
    )
}

fn leader(term: u64) -> openraft::alias::LeaderIdOf<Types> {
    openraft::vote::RaftLeaderId::new(term, 1)
}

async fn append(journal: &mut Journal, entries: impl Iterator<Item = LogEntry> + Send) {
    let entries: Vec<_> = entries.collect();
    let (sender, flushed) = Types::oneshot();
    let appended = journal.append(entries, IOFlushed::signal(sender)).await;
    appended.unwrap();
    flushed.await.unwrap().unwrap();
}

async fn indexes(journal: &mut Journal) -> Vec<(u64, u64)> {
    let entries = journal.try_get_log_entries(0..).await.unwrap();
    let id = |entry: &LogEntry| (entry.log_id.leader_id.term, entry.log_id.index);
    entries.iter().map(id).collect()
}

#[tokio::test]
async fn a_reopened_journal_is_the_journal_that_was_closed() {
    let directory = TempDir::new().unwrap();
    let mut journal = open(&directory);
    let vote = Vote::new_committed(3, 1);
    journal.save_vote(&vote).await.unwrap();
    append(&mut journal, (0..2_000).map(|index| entry(3, index))).await;
    journal
        .truncate_after(Some(log_id(3, 1_499)))
        .await
        .unwrap();
    append(&mut journal, (1_500..1_510).map(|index| entry(4, index))).await;
    journal
        .save_committed(Some(log_id(3, 1_400)))
        .await
        .unwrap();
    journal.purge(log_id(3, 99)).await.unwrap();
    let before = indexes(&mut journal).await;
    drop(journal);

    let mut journal = open(&directory);
    assert_eq!(journal.read_vote().await.unwrap(), Some(vote));
    assert_eq!(indexes(&mut journal).await, before);
    assert_eq!(before.first(), Some(&(3, 100)));
    assert_eq!(before.last(), Some(&(4, 1_509)));
    let state = journal.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(3, 99)));
    assert_eq!(state.last_log_id, Some(log_id(4, 1_509)));
    let committed = journal.read_committed().await.unwrap();
    assert_eq!(committed, Some(log_id(3, 1_400)));
}

#[tokio::test]
async fn a_message_to_a_peer_is_bounded_in_bytes_and_never_empty() {
    let directory = TempDir::new().unwrap();
    let mut journal = open(&directory);
    let count = 30_000;
    append(&mut journal, (0..count).map(|index| entry(1, index))).await;
    let mut next = 0;
    while next < count {
        let entries = journal.limited_get_log_entries(next, count).await.unwrap();
        assert_eq!(entries[0].log_id.index, next);
        assert!(entries.len() < 25_000, "{}", entries.len());
        next += entries.len() as u64;
    }
}
