//! Whoever leads.

use std::time::Duration;

use serde_json::json;

use super::stage::Stage;
use super::{Status, Struck};
use crate::link::{End, Flow};

/// Kills, stops or cuts off the leader, waits for another, and does it again.
pub(super) async fn hunt(stage: &mut Stage, hold: Duration) -> Struck {
    let mut done = Vec::new();
    for _ in 0..2 {
        let leader = stage.leader().await;
        match stage.dice.below(3) {
            0 => {
                stage.cluster.kill(leader)?;
                done.push(format!("SIGKILL to n{leader}"));
                stage.hold(hold / 3).await;
            }
            1 => {
                stage.cluster.pause(leader)?;
                done.push(format!("SIGSTOP to n{leader}"));
                stage.hold(hold / 3).await;
                stage.cluster.resume(leader)?;
            }
            _ => {
                let flow = if stage.dice.happens(50) {
                    Flow::Lost
                } else {
                    Flow::Stalled
                };
                for other in stage.cluster.others(leader) {
                    let (one, other) = (End::Node(leader), End::Node(other));
                    stage.cluster.mesh().treat(one, other, flow);
                    stage.cluster.mesh().treat(other, one, flow);
                }
                done.push(format!("n{leader} cut off"));
                stage.hold(hold / 3).await;
            }
        }
        stage.mend().await?;
    }
    Ok((done.join(", then "), Status::Installed))
}

/// Asks the leader to hand over, three times.
pub(super) async fn transfer(stage: &mut Stage) -> Struck {
    let mut done = Vec::new();
    for _ in 0..3 {
        let to = stage.follower().await?;
        let asked = stage.shuffled()[0];
        let api = stage.cluster.api(asked);
        let answer = api.post("/v1/cluster/transfer", json!({"to": to})).await?;
        if answer.status == 200 {
            done.push(format!("to n{to}"));
        }
        stage.hold(Duration::from_millis(300)).await;
    }
    let status = match done.is_empty() {
        true => Status::Indeterminate("no transfer was acknowledged".to_owned()),
        false => Status::Installed,
    };
    Ok((
        format!("leadership handed over {}", done.join(", ")),
        status,
    ))
}
