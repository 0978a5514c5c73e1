//! Whoever leads.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

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

/// How long a leader that was cut off may take to lead again.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// The leader is cut off until another leads, and is handed the leadership back as soon as the
/// links are whole.
///
/// For a while two nodes believe that they lead. Whatever the old one still answers from what it
/// knows is the past; and what it took on meanwhile must not count when it leads again, for it was
/// stamped by a clock that ran on while that of the cluster stood still. In one of two cases all
/// links are cut first, so that nobody leads for some time and the two clocks are far apart; then
/// its clients cannot reach it either, and what it takes on comes right before the links are whole.
pub(super) async fn comeback(stage: &mut Stage, hold: Duration) -> Struck {
    let mut back = Vec::new();
    for _ in 0..3 {
        let leader = stage.leader().await;
        let others = stage.cluster.others(leader);
        let alone = stage.dice.happens(50);
        cut_off(stage, leader, alone);
        if alone {
            let gap = stage.dice.between(1_200, 2_200);
            stage.hold(Duration::from_millis(gap)).await;
            join(stage, &others);
        }
        let next = stage.leader_of_others(leader).await?;
        stage.hold((hold / 4).max(Duration::from_millis(700))).await;
        let late = late_calls(stage, leader).await;
        stage.cluster.mesh().heal();
        if handed_back(stage, next, leader).await {
            back.push(format!("n{leader} after n{next}"));
        }
        drop(late);
        stage.mend().await?;
    }
    let status = match back.is_empty() {
        true => Status::Indeterminate("no leader came back".to_owned()),
        false => Status::Installed,
    };
    Ok((format!("led again: {}", back.join(", ")), status))
}

/// Cuts a leader off; with `alone` every node from every other, and it from its clients.
fn cut_off(stage: &Stage, leader: u64, alone: bool) {
    let mesh = stage.cluster.mesh();
    for (from, to, _) in mesh.iter() {
        let between_nodes = matches!((from, to), (End::Node(_), End::Node(_)));
        let of_leader = [from, to].contains(&End::Node(leader));
        if (between_nodes && of_leader) || (alone && (between_nodes || of_leader)) {
            mesh.treat(from, to, Flow::Stalled);
            mesh.treat(to, from, Flow::Stalled);
        }
    }
}

/// Mends the links among these.
fn join(stage: &Stage, nodes: &[u64]) {
    for from in nodes {
        for to in nodes.iter().filter(|to| *to != from) {
            let (from, to) = (End::Node(*from), End::Node(*to));
            stage.cluster.mesh().treat(from, to, Flow::Clear);
        }
    }
}

/// Calls to a node that still believes it leads, past its links. Nobody waits for their answers.
async fn late_calls(stage: &Stage, leader: u64) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let api = stage.cluster.api(leader);
        calls.spawn(async move {
            let body = json!({"ttl_ms": 500, "owner": "comeback"});
            // It may be refused, or taken up by whoever leads then; both is right.
            let _ = timeout(BACK_WITHIN, api.post("/v1/sessions", body)).await;
        });
        stage.hold(Duration::from_millis(15)).await;
    }
    calls
}

/// Asks who leads now to hand over to who led before, until it does or refuses for too long.
async fn handed_back(stage: &Stage, now: u64, to: u64) -> bool {
    let api = stage.cluster.api(now);
    let until = Instant::now() + BACK_WITHIN;
    while Instant::now() < until {
        let asked = api.post("/v1/cluster/transfer", json!({"to": to}));
        if let Ok(Ok(answer)) = timeout(BACK_WITHIN, asked).await
            && answer.status == 200
        {
            return true;
        }
        stage.hold(Duration::from_millis(10)).await;
    }
    false
}
