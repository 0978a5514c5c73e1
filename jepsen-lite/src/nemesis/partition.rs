//! Networks that fall apart, in the shapes that elections find hard.

use std::time::Duration;

use super::stage::Stage;
use super::{Status, Struck};
use crate::link::{End, Flow};
use crate::seed::Dice;

/// How a network falls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// In two, at random.
    Halves,
    /// In two, with the leader on the side of the few.
    LeaderMinority,
    /// Nothing from one node reaches the others, or nothing reaches it.
    OneWay,
    /// In two, and one node between them reaches both.
    Bridge,
    /// Each node reaches only its neighbours on a circle: every one sees a majority, and no two
    /// the same.
    Ring,
    /// Halves that are cut and mended in turns.
    Flapping,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Halves,
        Self::LeaderMinority,
        Self::OneWay,
        Self::Bridge,
        Self::Ring,
        Self::Flapping,
    ];

    /// From whom to whom nothing gets through.
    #[must_use]
    pub fn cuts(self, nodes: &[u64], leader: u64, dice: &mut Dice) -> Vec<(u64, u64)> {
        let mut order = nodes.to_vec();
        dice.shuffle(&mut order);
        let few = order.len() / 2;
        match self {
            Self::Halves | Self::Flapping => between(&order[..few], &order[few..]),
            Self::LeaderMinority => {
                order.sort_by_key(|id| *id != leader);
                let few = few.max(1).min((order.len().saturating_sub(1)) / 2).max(1);
                between(&order[..few], &order[few..])
            }
            Self::OneWay => {
                let (one, others) = (order[0], &order[1..]);
                let hears = dice.happens(50);
                let cut = |other: &u64| if hears { (one, *other) } else { (*other, one) };
                others.iter().map(cut).collect()
            }
            Self::Bridge => {
                // Followers hardly talk to each other: the leader must be on one side.
                if order[0] == leader && order.len() > 1 {
                    order.swap(0, 1);
                }
                let (_, apart) = order.split_at(1);
                let few = apart.len() / 2;
                between(&apart[..few], &apart[few..])
            }
            Self::Ring => {
                let count = order.len();
                let reach = count / 4 + 1;
                let mut cuts = Vec::new();
                for from in 0..count {
                    for to in 0..count {
                        let apart = from.abs_diff(to);
                        if apart.min(count - apart) > reach.min(count / 2).max(1) {
                            cuts.push((order[from], order[to]));
                        }
                    }
                }
                // On three nodes everybody is everybody's neighbour; the nearest thing to it is a
                // circle on which each hears only the one before it.
                if cuts.is_empty() && count > 1 {
                    cuts = (0..count)
                        .map(|at| (order[at], order[(at + 1) % count]))
                        .collect();
                }
                cuts
            }
        }
    }
}

/// Both ways between two groups.
fn between(one: &[u64], other: &[u64]) -> Vec<(u64, u64)> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
    pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

fn apply(stage: &Stage, cuts: &[(u64, u64)], flow: Flow) {
    for (from, to) in cuts {
        stage
            .cluster
            .mesh()
            .treat(End::Node(*from), End::Node(*to), flow);
    }
}

/// Cuts the network in one of the shapes.
pub(super) async fn cut(stage: &mut Stage, hold: Duration) -> Struck {
    let leader = stage.leader().await;
    let nodes: Vec<u64> = stage.cluster.ids().collect();
    let shape = *stage.dice.pick(&Shape::ALL).unwrap_or(&Shape::Halves);
    let cuts = shape.cuts(&nodes, leader, &mut stage.dice);
    let flow = if stage.dice.happens(50) {
        Flow::Lost
    } else {
        Flow::Stalled
    };
    let before = stage.cluster.mesh().hindered();
    if shape == Shape::Flapping {
        let turns = 6;
        for turn in 0..turns {
            apply(stage, &cuts, if turn % 2 == 0 { flow } else { Flow::Clear });
            stage.hold(hold / turns).await;
        }
    } else {
        apply(stage, &cuts, flow);
        stage.hold(hold).await;
    }
    let hindered = stage.cluster.mesh().hindered() - before;
    let shown: Vec<_> = cuts
        .iter()
        .map(|(from, to)| format!("n{from}→n{to}"))
        .collect();
    let what = format!("{shape:?}, {flow:?}, leader n{leader}: {}", shown.join(" "));
    let status = match hindered {
        0 => Status::Indeterminate("nobody sent anything over the links that were cut".to_owned()),
        _ => Status::Installed,
    };
    Ok((what, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(shape: Shape, count: u64, leader: u64) -> Vec<(u64, u64)> {
        let nodes: Vec<u64> = (1..=count).collect();
        shape.cuts(&nodes, leader, &mut Dice::new(3, "shapes"))
    }

    fn reaches(cuts: &[(u64, u64)], from: u64, to: u64) -> bool {
        !cuts.contains(&(from, to))
    }

    #[test]
    fn the_leader_of_a_minority_reaches_no_majority() {
        for count in [3, 5, 7] {
            let cuts = cuts(Shape::LeaderMinority, count, 2);
            let reached = (1..=count)
                .filter(|other| reaches(&cuts, 2, *other))
                .count();
            assert!(reached as u64 * 2 < count, "{count}: {cuts:?}");
            let back = (1..=count)
                .filter(|other| reaches(&cuts, *other, 2))
                .count();
            assert_eq!(reached, back);
        }
    }

    #[test]
    fn one_way_is_one_way() {
        let cuts = cuts(Shape::OneWay, 5, 1);
        assert_eq!(cuts.len(), 4);
        assert!(cuts.iter().all(|(from, to)| reaches(&cuts, *to, *from)));
    }

    #[test]
    fn a_bridge_reaches_both_sides_that_do_not_reach_each_other() {
        let cuts = cuts(Shape::Bridge, 5, 1);
        let bridges = (1..=5).filter(|id| (1..=5).all(|to| reaches(&cuts, *id, to)));
        assert_eq!(bridges.count(), 1);
        assert_eq!(cuts.len(), 2 * 2 * 2);
    }

    #[test]
    fn on_a_ring_all_see_a_majority_and_no_two_the_same() {
        let cuts = cuts(Shape::Ring, 5, 1);
        let seen = |from| -> Vec<u64> { (1..=5).filter(|to| reaches(&cuts, from, *to)).collect() };
        let views: Vec<_> = (1..=5).map(seen).collect();
        for (at, view) in views.iter().enumerate() {
            assert!(view.len() >= 3 && view.len() < 5, "{view:?}");
            assert!(!views[..at].contains(view));
        }
        assert_eq!(self::cuts(Shape::Ring, 3, 1).len(), 3);
    }

    #[test]
    fn every_shape_cuts_something_also_where_there_are_two() {
        for shape in Shape::ALL {
            assert!(!cuts(shape, 3, 1).is_empty(), "{shape:?}");
            let on_two = cuts(shape, 2, 1);
            assert!(on_two.iter().all(|(from, to)| from != to), "{shape:?}");
        }
    }
}
