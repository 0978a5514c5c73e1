//! A node that is away for so long that the log has been cut, and must be sent a snapshot.

use std::time::Duration;

use super::stage::Stage;
use super::{Status, Struck};
use crate::link::{Doors, End, Flow, Weather};

/// Takes a follower down until the log is cut, and breaks its snapshot's transfer on the way.
pub(super) async fn fall_behind(stage: &mut Stage, hold: Duration) -> Struck {
    let id = stage.follower().await?;
    stage.cluster.kill(id)?;
    let leader = stage.leader_of_others(id).await?;
    let before = snapshots(stage, leader);
    stage.hold(hold).await;
    // Narrow, so that there is a way to be cut on.
    let weather = Weather::both(Flow::Narrow {
        bytes_per_second: 200_000,
    });
    let others = stage.cluster.others(id);
    for other in &others {
        if let Some(link) = stage.cluster.mesh().link(End::Node(*other), End::Node(id)) {
            link.set(weather);
        }
    }
    stage.cluster.restart(id)?;
    for _ in 0..2 {
        let pause = stage.dice.between(50, 600);
        stage.hold(Duration::from_millis(pause)).await;
        for other in &others {
            if let Some(link) = stage.cluster.mesh().link(End::Node(*other), End::Node(id)) {
                link.set(Weather {
                    doors: Doors::Reset,
                    ..weather
                });
                link.set(weather);
            }
        }
    }
    stage.mend().await?;
    let after = snapshots(stage, leader);
    let status = match after == before {
        true => Status::Indeterminate("no snapshot was taken meanwhile".to_owned()),
        false => Status::Installed,
    };
    Ok((
        format!("node {id} fell behind; its transfer was cut twice"),
        status,
    ))
}

/// The names of a node's snapshots.
fn snapshots(stage: &Stage, id: u64) -> Vec<String> {
    let dir = stage.cluster.data_dir(id).join("snapshots");
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = files
        .map(|file| file.file_name().display().to_string())
        .collect();
    names.sort();
    names
}
