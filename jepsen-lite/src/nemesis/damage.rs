//! Data that is lost or wrong while its node is down.
//!
//! A node whose directory is lost must not come back as the voter it was, and one whose log has a
//! bit flipped must not start as if nothing had been there: both could make the cluster forget
//! what it acknowledged. What the node did about it is told to the history as `refusal`, and
//! judged like everything else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::stage::Stage;
use super::{Status, Struck};
use crate::history::{Event, Kind, NEMESIS};

/// How long a node is watched for whether it takes up service that it must refuse.
const WATCHED: Duration = Duration::from_secs(4);

/// A follower loses its directory.
pub(super) async fn wipe(stage: &mut Stage, hold: Duration) -> Struck {
    let id = stage.follower().await?;
    stage.cluster.kill(id)?;
    stage.cluster.wipe(id)?;
    stage.cluster.restart(id)?;
    let served = serves(stage, id).await;
    tell(stage, "wipe", id, served);
    stage.hold(hold / 2).await;
    replace(stage, id).await?;
    Ok((
        format!("node {id} lost its directory, and was replaced"),
        Status::Installed,
    ))
}

/// A bit of a follower's log flips, with whole records behind it.
pub(super) async fn corrupt(stage: &mut Stage, hold: Duration) -> Struck {
    let id = stage.follower().await?;
    stage.cluster.kill(id)?;
    let dir = stage.cluster.data_dir(id).join("wal");
    let flipped = flip_a_bit(&dir, stage.dice.between(40, 70));
    let (file, at) = match flipped {
        Ok(flipped) => flipped,
        Err(error) => return Ok((String::new(), Status::Skipped(format!("{error:#}")))),
    };
    stage.cluster.restart(id)?;
    let served = serves(stage, id).await;
    tell(stage, "corrupt", id, served);
    stage.hold(hold / 2).await;
    if stage.cluster.is_up(id)? {
        stage.cluster.kill(id)?;
    }
    stage.cluster.wipe(id)?;
    stage.cluster.restart(id)?;
    replace(stage, id).await?;
    let file = file.file_name().unwrap_or_default().display().to_string();
    Ok((
        format!("a bit of {file} of node {id} flipped at {at}"),
        Status::Installed,
    ))
}

/// Whether the node takes up service within a few seconds.
async fn serves(stage: &mut Stage, id: u64) -> bool {
    let api = stage.cluster.api(id);
    let until = tokio::time::Instant::now() + WATCHED;
    while tokio::time::Instant::now() < until {
        if !stage.cluster.is_up(id).unwrap_or(false) {
            return false;
        }
        let asked = tokio::time::timeout(Duration::from_secs(1), api.get("/readyz")).await;
        if matches!(asked, Ok(Ok(answer)) if answer.status == 200) {
            return true;
        }
        stage.hold(Duration::from_millis(50)).await;
    }
    false
}

fn tell(stage: &mut Stage, damage: &str, id: u64, served: bool) {
    let event = Event {
        t: stage.now(),
        process: NEMESIS,
        kind: Kind::Info,
        f: "refusal".to_owned(),
        value: Some(json!({"damage": damage, "refused": !served})),
        error: served.then(|| stage.cluster.log_tail(id)),
        node: Some(id),
        ..Event::default()
    };
    stage.told.push(event);
}

/// Brings a node with an empty directory back as a new member.
async fn replace(stage: &mut Stage, id: u64) -> anyhow::Result<()> {
    let body = json!({
        "id": id,
        "api": stage.cluster.url_for(0, id),
        "peer": stage.cluster.peer(id),
    });
    let asked = stage.cluster.others(id)[0];
    let api = stage.cluster.api(asked);
    let mut last = String::new();
    for _ in 0..100 {
        let answer = api.post("/v1/cluster/nodes", body.clone()).await?;
        if answer.status == 200 {
            return Ok(());
        }
        last = answer.body.to_string();
        stage.hold(Duration::from_millis(200)).await;
    }
    bail!("node {id} cannot be replaced: {last}")
}

/// Flips a bit of the newest log file that has enough in it, so many percent into what is written.
fn flip_a_bit(dir: &Path, percent: u64) -> anyhow::Result<(PathBuf, usize)> {
    let files = fs::read_dir(dir).with_context(|| format!("no log in {}", dir.display()))?;
    let mut files: Vec<PathBuf> = files
        .map(|file| Ok(file?.path()))
        .collect::<anyhow::Result<_>>()?;
    files.sort();
    for path in files.into_iter().rev() {
        let mut bytes = fs::read(&path)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        // Below that, the flip could hit the last batch, which a crash may have torn.
        if used < 16_384 {
            continue;
        }
        let at = used * usize::try_from(percent)? / 100;
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes)?;
        return Ok((path, at));
    }
    bail!("the log is too short to be damaged in its middle")
}
