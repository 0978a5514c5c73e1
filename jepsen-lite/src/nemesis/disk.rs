//! Disks that are slow or fail, and descriptors that run out.
//!
//! strace can delay or fail single system calls of a running process, without root where a
//! process may trace its own children's siblings. Where it is not installed or not allowed, the
//! fault is skipped and says so.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tokio::process::{Child, Command};

use super::stage::Stage;
use super::{Status, Struck};
use crate::history::{Event, Kind, NEMESIS};

/// How long each fdatasync takes under the slow fault.
const SYNC_DELAY: Duration = Duration::from_millis(400);

/// All nodes' flushes are slow, or one node's next flush or write fails.
pub(super) async fn slow_or_broken(stage: &mut Stage, hold: Duration) -> Struck {
    match stage.dice.below(3) {
        0 | 1 => slow(stage, hold).await,
        _ => broken(stage, hold).await,
    }
}

/// Whatever is acknowledged while every flush of every node takes so long must take as long.
async fn slow(stage: &mut Stage, hold: Duration) -> Struck {
    let inject = format!("fdatasync:delay_enter={}", SYNC_DELAY.as_micros());
    let mut tracers = Vec::new();
    for id in stage.cluster.ids() {
        match attach(stage.cluster.pid(id)?, "fdatasync", &inject).await {
            Ok(tracer) => tracers.push(tracer),
            Err(error) => return Ok((String::new(), Status::Skipped(format!("{error:#}")))),
        }
    }
    let from = stage.now();
    stage.hold(hold.max(SYNC_DELAY * 6)).await;
    let until = stage.now();
    for tracer in &mut tracers {
        tracer.kill().await?;
    }
    // A tracer that is killed leaves its process running; one that was stopped goes on.
    for id in stage.cluster.ids() {
        stage.cluster.resume(id)?;
    }
    stage.told.push(Event {
        t: from,
        process: NEMESIS,
        kind: Kind::Info,
        f: "slow-sync".to_owned(),
        value: Some(json!({
            "delay_ns": u64::try_from(SYNC_DELAY.as_nanos()).unwrap_or(u64::MAX),
            "until": until,
        })),
        ..Event::default()
    });
    Ok((
        format!("each fdatasync of each node takes {SYNC_DELAY:?}"),
        Status::Installed,
    ))
}

/// One node's next flush fails, or its disk is full: it must end and not go on.
async fn broken(stage: &mut Stage, hold: Duration) -> Struck {
    let id = stage.shuffled()[0];
    let (what, status) = if stage.dice.happens(50) {
        let inject = "fdatasync:error=EIO:when=1+";
        match attach(stage.cluster.pid(id)?, "fdatasync", inject).await {
            Ok(mut tracer) => {
                let status = ends(stage, id, hold).await;
                tracer.kill().await?;
                (format!("fdatasync of node {id} fails with EIO"), status)
            }
            Err(error) => (String::new(), Status::Skipped(format!("{error:#}"))),
        }
    } else {
        stage.cluster.fill_disk(id)?;
        let status = ends(stage, id, hold).await;
        (format!("the disk of node {id} is full"), status)
    };
    if stage.cluster.is_up(id)? {
        stage.cluster.kill(id)?;
    }
    Ok((what, status))
}

/// A node that cannot write has to end.
async fn ends(stage: &mut Stage, id: u64, hold: Duration) -> Status {
    let ended = stage.cluster.wait_exit(id, Duration::from_secs(20)).await;
    stage.hold(hold / 2).await;
    match ended {
        Ok(_) => Status::Installed,
        Err(_) => Status::Indeterminate(format!("node {id} goes on although it cannot write")),
    }
}

/// A tracer that makes this call of this process fail or late.
async fn attach(pid: u32, call: &str, inject: &str) -> anyhow::Result<Child> {
    let mut tracer = Command::new("strace")
        .args([
            "-f",
            "-q",
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={inject}"),
        ])
        .args(["-o", "/dev/null", "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("strace is not installed")?;
    for _ in 0..200 {
        if let Some(how) = tracer.try_wait()? {
            anyhow::bail!("strace may not trace the node: {how}");
        }
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let traced = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        if traced.is_some_and(|by| by.trim() != "0") {
            return Ok(tracer);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("strace does not get hold of the node")
}

/// A node may open hardly any more files or connections.
pub(super) async fn few_descriptors(stage: &mut Stage, hold: Duration) -> Struck {
    let id = stage.shuffled()[0];
    let pid = stage.cluster.pid(id)?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let kernel_pid = Pid::from_raw(pid.cast_signed()).context("pid 0")?;
    let few = Rlimit {
        current: Some(open + 2),
        // Unchanged: to raise it again would need a privilege.
        maximum: hard_limit(pid)?,
    };
    let before = prlimit(Some(kernel_pid), Resource::Nofile, few);
    let before = match before {
        Ok(before) => before,
        Err(error) => return Ok((String::new(), Status::Skipped(error.to_string()))),
    };
    // Callers that come now find no descriptor; those that are there are served.
    let api = stage.cluster.api(id);
    let calls = (0..8).map(|_| api.get("/readyz"));
    let asked = async {
        let mut answered = 0;
        for call in calls {
            let call = tokio::time::timeout(Duration::from_secs(1), call).await;
            answered += u32::from(matches!(call, Ok(Ok(_))));
        }
        answered
    };
    let answered = asked.await;
    stage.hold(hold).await;
    if stage.cluster.is_up(id)? {
        prlimit(Some(kernel_pid), Resource::Nofile, before)?;
    }
    Ok((
        format!(
            "node {id} may open {} files; {answered} of 8 new callers got an answer",
            open + 2
        ),
        Status::Installed,
    ))
}

/// The hard limit of a process's open files; none if it has none.
fn hard_limit(pid: u32) -> anyhow::Result<Option<u64>> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(hard.and_then(|hard| hard.parse().ok()))
}
