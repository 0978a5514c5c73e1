//! The membership changes under load.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::stage::Stage;
use super::{Status, Struck};
use crate::cluster::wait_for;

/// How long a new process may take to open its ports.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);

/// A node joins, is part of it for a while, and leaves.
pub(super) async fn come_and_go(stage: &mut Stage, hold: Duration) -> Struck {
    let asked = stage.shuffled()[0];
    let api = stage.cluster.api(asked);
    let id = stage.cluster.start_another()?;
    // Before it listens, nobody can ask it who it is.
    let newcomer = stage.cluster.api(id);
    wait_for("the new node listens", LISTENS_WITHIN, async || {
        newcomer.get("/healthz").await.ok()
    })
    .await?;
    let joined = async {
        let body = json!({
            "id": id,
            "api": stage.cluster.url_for(0, id),
            "peer": stage.cluster.peer(id),
        });
        let answer = api.post("/v1/cluster/nodes", body).await?;
        ensure!(answer.status == 200, "joining: {}", answer.body);
        tokio::time::sleep(hold).await;
        let answer = api.delete(&format!("/v1/cluster/nodes/{id}")).await?;
        ensure!(answer.status == 200, "leaving: {}", answer.body);
        anyhow::Ok(())
    };
    let joined = joined.await;
    if joined.is_err() {
        // However far it came, it must not stay a member that is away.
        api.delete(&format!("/v1/cluster/nodes/{id}")).await?;
    }
    stage.cluster.retire(id)?;
    joined?;
    Ok((
        format!("node {id} joined and left, asked of node {asked}"),
        Status::Installed,
    ))
}
