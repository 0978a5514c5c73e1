//! A change of members whose leader falls halfway.
//!
//! A change of voters is two entries, and between them both sets of voters have to agree. openraft
//! leaves the second entry to whoever asked for the change; if that leader falls, the next one
//! would lead under both sets for ever, and a majority of the cluster might not be enough.

use lockring::consensus::{Replica, Timing};
use lockring_sim::net::address;
use lockring_sim::panics::kept;
use lockring_sim::world::World;

fn leader(world: &World) -> Option<&Replica> {
    let life = world.nodes[world.leader()?].life.as_ref()?;
    Some(&life.replica)
}

/// Kills the leader so long after a node began to join. Answers whether the next one began halfway.
fn killed_after(ms: u64) -> bool {
    let mut world = World::new(ms, 3, 1, Timing::default());
    assert!(world.until(10_000, |world| world.leader().is_some()));
    world.start(3);
    world.until(200, |_| false);
    let first = world.leader().unwrap();
    let life = world.nodes[first].life.as_ref().unwrap();
    let replica = life.replica.clone();
    life.runtime.spawn(async move {
        let _ = replica.join(4, "http://node-4".into(), address(4)).await;
    });
    world.until(ms, |_| false);
    world.kill(first, 60_000);
    let another = |world: &mut World| world.leader().is_some_and(|at| at != first);
    assert!(world.until(5_000, another), "nobody leads");
    let halfway = leader(&world).unwrap().status().changing;
    let whole = world.until(3_000, |world| {
        leader(world).is_some_and(|replica| !replica.status().changing)
    });
    assert!(whole, "halfway for ever, if its leader falls after {ms} ms");
    halfway
}

#[test]
fn a_change_of_members_whose_leader_falls_halfway_is_finished_by_the_next() {
    kept(|| {
        let halfway = (1..80).filter(|ms| killed_after(*ms)).count();
        assert!(halfway > 0, "no leader fell halfway, so this says nothing");
    });
}
