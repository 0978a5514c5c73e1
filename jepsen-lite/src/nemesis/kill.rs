//! Processes that end without a word, or with one.

use std::time::Duration;

use super::stage::Stage;
use super::{Status, Struck};

/// One node, or as many as the cluster can spare.
pub(super) async fn some(stage: &mut Stage, hold: Duration) -> Struck {
    let most = stage.minority().max(1) as u64;
    let count = usize::try_from(stage.dice.between(1, most))?;
    let victims: Vec<u64> = stage.shuffled().into_iter().take(count).collect();
    for id in &victims {
        stage.cluster.kill(*id)?;
    }
    stage.hold(hold).await;
    Ok((format!("SIGKILL to nodes {victims:?}"), Status::Installed))
}

/// All nodes at once; acknowledged is only what is on disk.
pub(super) async fn all(stage: &mut Stage, hold: Duration) -> Struck {
    for id in stage.cluster.ids() {
        stage.cluster.kill(id)?;
    }
    stage.hold(hold / 4).await;
    stage.mend().await?;
    // The window reaches into the time after, in which what was acknowledged must be there.
    stage.hold(hold / 2).await;
    Ok(("SIGKILL to all nodes".to_owned(), Status::Installed))
}

/// One after the other is asked to stop and started again, as an upgrade does.
pub(super) async fn rolling(stage: &mut Stage) -> Struck {
    for id in stage.shuffled() {
        let how = stage.cluster.terminate(id).await?;
        if !how.success() {
            let why = format!("node {id} ended with {how} when it was asked to stop");
            return Ok((why.clone(), Status::Indeterminate(why)));
        }
        stage.cluster.restart(id)?;
        stage.cluster.wait_ready(id).await?;
    }
    Ok((
        "each node stopped and started".to_owned(),
        Status::Installed,
    ))
}
