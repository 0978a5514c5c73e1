//! Links that are there and bad.

use std::time::Duration;

use super::stage::Stage;
use super::{Status, Struck};
use crate::link::{Doors, End, Flow, Weather};
use crate::seed::Dice;

/// Some weather for a bad link.
fn weather(dice: &mut Dice) -> Weather {
    let ms = Duration::from_millis;
    let flow = match dice.below(6) {
        0 => Flow::Late {
            delay: ms(dice.between(5, 150)),
            jitter: ms(dice.between(0, 150)),
        },
        // Longer than an election: answers that arrive in another term.
        1 => Flow::Late {
            delay: ms(dice.between(700, 1_500)),
            jitter: ms(dice.between(0, 500)),
        },
        2 => Flow::Narrow {
            bytes_per_second: dice.between(2_000, 60_000),
        },
        3 => Flow::Stalled,
        4 => Flow::Lost,
        _ => Flow::Clear,
    };
    let (there, back) = match dice.below(3) {
        0 => (flow, Flow::Clear),
        1 => (Flow::Clear, flow),
        _ => (flow, flow),
    };
    let doors = match (flow, dice.below(4)) {
        (Flow::Clear, 0) => Doors::HalfOpen,
        (Flow::Clear, 1) => Doors::SlowClose(ms(dice.between(200, 2_000))),
        (Flow::Clear, _) => Doors::Reset,
        _ => Doors::Open,
    };
    Weather { there, back, doors }
}

/// A few links are bad, each in its own way.
pub(super) async fn trouble(stage: &mut Stage, hold: Duration) -> Struck {
    let mut links: Vec<(End, End)> = stage
        .cluster
        .mesh()
        .iter()
        .map(|(from, to, _)| (from, to))
        .filter(|(_, to)| matches!(to, End::Node(id) if stage.cluster.ids().any(|up| up == *id)))
        .collect();
    if links.is_empty() {
        let why = "the links are direct".to_owned();
        return Ok((String::new(), Status::Skipped(why)));
    }
    stage.dice.shuffle(&mut links);
    // Between nodes more often than to clients: there it matters most.
    links.sort_by_key(|(from, _)| matches!(from, End::Worker(_)));
    let to_clients = usize::try_from(stage.dice.below(3))?;
    let between = usize::try_from(stage.dice.between(1, 3))?;
    let clients = links
        .iter()
        .rev()
        .take(to_clients)
        .copied()
        .collect::<Vec<_>>();
    let bad: Vec<(End, End)> = links.into_iter().take(between).chain(clients).collect();
    let before = stage.cluster.mesh().hindered();
    let mut shown = Vec::new();
    for (from, to) in bad {
        let weather = weather(&mut stage.dice);
        if let Some(link) = stage.cluster.mesh().link(from, to) {
            link.set(weather);
            shown.push(format!("{} {weather:?}", Stage::arrow(from, to)));
        }
    }
    stage.hold(hold).await;
    let status = match stage.cluster.mesh().hindered() - before {
        0 => Status::Indeterminate("nobody used the bad links".to_owned()),
        _ => Status::Installed,
    };
    Ok((shown.join("; "), status))
}
