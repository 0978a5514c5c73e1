//! Data that is lost or wrong while its node is down.
//!
//! A node whose directory is lost must not come back as the voter it was, and one whose log or
//! snapshot has a bit flipped or its end cut off must not start as if nothing had been there: both
//! could make the cluster forget what it acknowledged. What the node did about it is told to the
//! history as `refusal`, and judged like everything else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::stage::Stage;
use super::{Status, Struck};
use crate::history::{Event, Kind, NEMESIS};
use crate::seed::Dice;

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

/// A follower's log or snapshot is not what it wrote: a bit is flipped, or the end cut off.
pub(super) async fn corrupt(stage: &mut Stage, hold: Duration) -> Struck {
    let id = stage.follower().await?;
    stage.cluster.kill(id)?;
    let dir = stage.cluster.data_dir(id);
    // Some harm is only done where a node has to refuse it; where it is not, a bit of the log is.
    let harm: Harm = match stage.dice.below(6) {
        0 => cut_log,
        1 => cut_snapshot,
        2 => flip_snapshot,
        _ => flip_log,
    };
    let done = harm(&dir, &mut stage.dice).or_else(|_| flip_log(&dir, &mut stage.dice));
    let harm = match done {
        Ok(harm) => harm,
        Err(error) => return Ok((String::new(), Status::Skipped(format!("{error:#}")))),
    };
    stage.cluster.restart(id)?;
    let served = serves(stage, id).await;
    tell(stage, &harm, id, served);
    stage.hold(hold / 2).await;
    if stage.cluster.is_up(id)? {
        stage.cluster.kill(id)?;
    }
    stage.cluster.wipe(id)?;
    stage.cluster.restart(id)?;
    replace(stage, id).await?;
    Ok((format!("node {id}: {harm}"), Status::Installed))
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

/// Does harm to the files in a data directory, and says what.
type Harm = fn(&Path, &mut Dice) -> anyhow::Result<String>;

/// Below that, what is changed could be part of the last batch, which a crash may have torn.
const LOG_BYTES_MIN: usize = 16_384;
/// A log file that was filled beforehand ends with at least so many zeros. Of one that grows
/// nobody can tell that its end is missing.
const FILLED_BYTES_MIN: usize = 1 << 20;
/// With so many entries behind it, a node cannot do without its snapshot: its log does not begin
/// with the first entry any more.
const SNAPSHOT_INDEX_MIN: u64 = 1_000;

/// Flips a bit in the middle of the newest log file that has enough in it.
fn flip_log(dir: &Path, dice: &mut Dice) -> anyhow::Result<String> {
    let (path, mut bytes, used) = newest_log(dir)?;
    let at = share(used, dice.between(40, 70));
    bytes[at] ^= 0x10;
    fs::write(&path, &bytes)?;
    Ok(format!("a bit of {} flipped at {at}", name(&path)))
}

/// Cuts the newest log file off in the middle of what is written.
fn cut_log(dir: &Path, dice: &mut Dice) -> anyhow::Result<String> {
    let (path, bytes, used) = newest_log(dir)?;
    ensure!(bytes.len() >= used + FILLED_BYTES_MIN, "the log grows");
    let at = share(used, dice.between(40, 70));
    fs::write(&path, &bytes[..at])?;
    Ok(format!("{} was cut off at {at} of {used}", name(&path)))
}

/// Flips a bit of the only snapshot.
fn flip_snapshot(dir: &Path, dice: &mut Dice) -> anyhow::Result<String> {
    let (path, mut bytes) = only_snapshot(dir)?;
    let at = share(bytes.len(), dice.between(5, 95));
    bytes[at] ^= 0x10;
    fs::write(&path, &bytes)?;
    Ok(format!("a bit of {} flipped at {at}", name(&path)))
}

/// Cuts the end of the only snapshot off.
fn cut_snapshot(dir: &Path, dice: &mut Dice) -> anyhow::Result<String> {
    let (path, bytes) = only_snapshot(dir)?;
    let at = share(bytes.len(), dice.between(5, 95));
    fs::write(&path, &bytes[..at])?;
    let whole = bytes.len();
    Ok(format!("{} was cut off at {at} of {whole}", name(&path)))
}

/// The newest log file that has enough in it, what is in it, and where that ends.
fn newest_log(dir: &Path) -> anyhow::Result<(PathBuf, Vec<u8>, usize)> {
    for path in files(&dir.join("wal"))?.into_iter().rev() {
        let bytes = fs::read(&path)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        if used >= LOG_BYTES_MIN {
            return Ok((path, bytes, used));
        }
    }
    bail!("the log is too short to be damaged in its middle")
}

/// A snapshot that its node cannot do without.
fn only_snapshot(dir: &Path) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let mut files = files(&dir.join("snapshots"))?;
    files.retain(|path| path.extension().is_some_and(|end| end == "snapshot"));
    let [path] = &files[..] else {
        bail!("there are {} snapshots", files.len());
    };
    let index = name(path).split('-').next().map(str::parse::<u64>);
    let late = matches!(index, Some(Ok(index)) if index >= SNAPSHOT_INDEX_MIN);
    ensure!(late, "the log may still begin with the first entry");
    Ok((path.clone(), fs::read(path)?))
}

/// The files in a directory, in the order of their names.
fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let found = fs::read_dir(dir).with_context(|| format!("no {}", dir.display()))?;
    let mut files: Vec<PathBuf> = found
        .map(|file| Ok(file?.path()))
        .collect::<anyhow::Result<_>>()?;
    files.sort();
    Ok(files)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

fn share(of: usize, percent: u64) -> usize {
    of * usize::try_from(percent).unwrap_or(50) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir(files: &[(&str, usize, usize)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, written, zeros) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = [vec![7; *written], vec![0; *zeros]].concat();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    fn length(dir: &tempfile::TempDir, path: &str) -> usize {
        fs::read(dir.path().join(path)).unwrap().len()
    }

    #[test]
    fn an_end_is_cut_off_within_what_was_written_of_a_file_that_was_filled() {
        let dice = &mut Dice::new(1, "damage");
        let dir = data_dir(&[("wal/1.wal", 20_000, 2 << 20), ("wal/2.wal", 100, 2 << 20)]);
        cut_log(dir.path(), dice).unwrap();
        assert!((8_000..=14_000).contains(&length(&dir, "wal/1.wal")));
        assert_eq!(length(&dir, "wal/2.wal"), 100 + (2 << 20));
        let grows = data_dir(&[("wal/1.wal", 20_000, 0)]);
        assert!(cut_log(grows.path(), dice).is_err());
        assert_eq!(length(&grows, "wal/1.wal"), 20_000);
    }

    #[test]
    fn a_snapshot_is_damaged_only_where_its_node_cannot_do_without() {
        let dice = &mut Dice::new(1, "damage");
        let (early, late) = ("snapshots/0999-a.snapshot", "snapshots/1000-b.snapshot");
        let dir = data_dir(&[(late, 1_000, 0)]);
        cut_snapshot(dir.path(), dice).unwrap();
        let cut = length(&dir, late);
        assert!((50..=950).contains(&cut));
        flip_snapshot(dir.path(), dice).unwrap();
        let bytes = fs::read(dir.path().join(late)).unwrap();
        assert_eq!(bytes.len(), cut);
        assert_eq!(bytes.iter().filter(|byte| **byte != 7).count(), 1);
        for files in [&[(early, 9, 0)][..], &[(early, 9, 0), (late, 9, 0)]] {
            assert!(cut_snapshot(data_dir(files).path(), dice).is_err());
            assert!(flip_snapshot(data_dir(files).path(), dice).is_err());
        }
    }
}
