//! What nemeses have in their hands.

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::cluster::{Cluster, wait_for};
use crate::history::Event;
use crate::seed::Dice;
use crate::{clock, link};

/// A process that can be stopped and woken.
#[derive(Clone, Debug)]
pub struct Sufferer {
    /// What it is called.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl Sufferer {
    /// Stops it (SIGSTOP).
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.kernel_pid()?, Signal::STOP)?)
    }

    /// Wakes it (SIGCONT).
    ///
    /// # Errors
    /// When it is gone.
    pub fn wake(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.kernel_pid()?, Signal::CONT)?)
    }

    fn kernel_pid(&self) -> anyhow::Result<Pid> {
        Pid::from_raw(self.pid.cast_signed()).context("pid 0")
    }
}

/// The cluster, its clients, and the chance that decides what happens to them.
#[derive(Debug)]
pub struct Stage {
    /// The nodes.
    pub cluster: Cluster,
    /// The workers.
    pub holders: Vec<Sufferer>,
    /// How long the workers' sessions live without renewal.
    pub ttl: Duration,
    /// What decides.
    pub dice: Dice,
    /// What was seen on the way and is to be judged.
    pub told: Vec<Event>,
    began: u64,
}

/// How long a mended cluster may take to be whole again.
const MENDED_WITHIN: Duration = Duration::from_secs(60);

impl Stage {
    /// A healthy cluster with these clients; `began` is the run's beginning.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        holders: Vec<Sufferer>,
        ttl: Duration,
        dice: Dice,
        began: u64,
    ) -> Self {
        Self {
            cluster,
            holders,
            ttl,
            dice,
            told: Vec::new(),
            began,
        }
    }

    /// The time of the run.
    #[must_use]
    pub fn now(&self) -> u64 {
        clock::now().saturating_sub(self.began)
    }

    /// Waits.
    pub async fn hold(&self, time: Duration) {
        sleep(time).await;
    }

    /// The ids of all nodes in random order.
    pub fn shuffled(&mut self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.cluster.ids().collect();
        self.dice.shuffle(&mut ids);
        ids
    }

    /// How many nodes may be away without the cluster losing its majority.
    #[must_use]
    pub fn minority(&self) -> usize {
        (self.cluster.ids().count() - 1) / 2
    }

    /// Who leads; the least id if nobody can say.
    pub async fn leader(&self) -> u64 {
        let looking = self.cluster.leader();
        let found = tokio::time::timeout(Duration::from_secs(10), looking).await;
        match found {
            Ok(Ok(leader)) => leader,
            Ok(Err(_)) | Err(_) => 1,
        }
    }

    /// Who leads while this node is away.
    pub async fn leader_of_others(&self, away: u64) -> anyhow::Result<u64> {
        self.cluster.leader_among(&self.cluster.others(away)).await
    }

    /// A node that does not lead.
    pub async fn follower(&mut self) -> anyhow::Result<u64> {
        let leader = self.leader().await;
        let others = self.shuffled();
        let other = others.into_iter().find(|id| *id != leader);
        other.context("a cluster of one has no follower")
    }

    /// Everything runs, is awake, connected and ready, as it was at first.
    ///
    /// # Errors
    /// When a node does not become ready.
    pub async fn mend(&mut self) -> anyhow::Result<()> {
        self.cluster.mesh().heal();
        for holder in &self.holders {
            // One that is gone needs no waking.
            let _ = holder.wake();
        }
        for id in self.cluster.ids() {
            if !self.cluster.is_up(id)? {
                self.cluster.restart(id)?;
            }
            self.cluster.resume(id)?;
        }
        for id in self.cluster.ids() {
            let api = self.cluster.api(id);
            let what = format!("node {id} is ready after a fault");
            let mended = wait_for(&what, MENDED_WITHIN, async || {
                let answer = tokio::time::timeout(Duration::from_secs(2), api.get("/readyz")).await;
                let answer = answer.ok()?.ok()?;
                (answer.status == 200).then_some(())
            });
            mended.await?;
        }
        Ok(())
    }

    /// A link's ends as people read them.
    #[must_use]
    pub fn arrow(from: link::End, to: link::End) -> String {
        format!("{from}→{to}")
    }
}
