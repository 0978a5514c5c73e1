//! Processes that are stopped for a while and wake up believing what they believed.

use std::fs;
use std::time::Duration;

use super::stage::Stage;
use super::{Status, Struck};

/// Whether the kernel says that a process is stopped.
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('T'));
    state.unwrap_or_default()
}

/// SIGSTOP is delivered soon, not at once.
async fn wait_stopped(pid: u32) -> Status {
    for _ in 0..200 {
        if is_stopped(pid) {
            return Status::Installed;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Status::Indeterminate(format!("process {pid} does not stop"))
}

/// A node.
pub(super) async fn node(stage: &mut Stage, hold: Duration) -> Struck {
    let leader = stage.leader().await;
    let any = stage.shuffled()[0];
    let id = if stage.dice.happens(50) { leader } else { any };
    stage.cluster.pause(id)?;
    let status = wait_stopped(stage.cluster.pid(id)?).await;
    stage.hold(hold).await;
    stage.cluster.resume(id)?;
    Ok((format!("SIGSTOP to node {id}"), status))
}

/// Every second worker, past its TTL, while the others go on: each workload has one that sleeps
/// and one that is awake.
pub(super) async fn holder(stage: &mut Stage) -> Struck {
    let mut names = Vec::new();
    let mut status = Status::Skipped("there are no workers".to_owned());
    for _ in 0..2 {
        let first = usize::try_from(stage.dice.below(2))?;
        let sleepers: Vec<_> = stage
            .holders
            .iter()
            .skip(first)
            .step_by(2)
            .cloned()
            .collect();
        for holder in &sleepers {
            holder.stop()?;
        }
        for holder in &sleepers {
            status = wait_stopped(holder.pid).await;
        }
        stage.hold(stage.ttl * 2).await;
        for holder in &sleepers {
            holder.wake()?;
        }
        names.extend(sleepers.into_iter().map(|holder| holder.name));
        stage.hold(stage.ttl / 4).await;
    }
    Ok((
        format!("SIGSTOP past the TTL to {}", names.join(", ")),
        status,
    ))
}

/// The leader again and again, each time for less than an election takes: it goes on leading, and
/// what fell due meanwhile falls due all at once.
pub(super) async fn stutter(stage: &mut Stage, hold: Duration) -> Struck {
    let leader = stage.leader().await;
    let pid = stage.cluster.pid(leader)?;
    let mut status = Status::Skipped("there was no time".to_owned());
    let until = tokio::time::Instant::now() + hold * 2;
    let mut stops = 0;
    while tokio::time::Instant::now() < until {
        stage.cluster.pause(leader)?;
        status = wait_stopped(pid).await;
        let stopped = stage.dice.between(100, 250);
        stage.hold(Duration::from_millis(stopped)).await;
        stage.cluster.resume(leader)?;
        stops += 1;
        let awake = stage.dice.between(20, 120);
        stage.hold(Duration::from_millis(awake)).await;
    }
    Ok((
        format!("node {leader} stopped {stops} times, each for less than an election"),
        status,
    ))
}
