//! Each node dials its peers, and is dialed by callers, through proxies that break one direction
//! at a time.

use std::time::Duration;

use jepsen_lite::link::{End, Flow};
use jepsen_lite::{Api, Cluster, Options, Wiring, wait_for};

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_leader_that_nobody_hears_is_followed_no_longer() {
    let cluster = Cluster::start(Options {
        wiring: Wiring::Proxied {
            workers: 1,
            spares: 0,
        },
        ..Options::new(env!("CARGO_BIN_EXE_lockring"))
    });
    let cluster = cluster.await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let others = cluster.others(leader);

    // Nothing from the leader reaches anybody; it still hears all of them.
    for other in &others {
        cluster
            .mesh()
            .treat(End::Node(leader), End::Node(*other), Flow::Lost);
    }
    let second = cluster.leader_among(&others).await.unwrap();
    assert_ne!(second, leader);

    // A caller's link to one node breaks alone.
    let (worker, deaf) = (End::Worker(1), End::Node(others[0]));
    let through = |id| Api::new(&cluster.url_for(1, id));
    assert_eq!(
        through(others[0]).get("/healthz").await.unwrap().status,
        200
    );
    let link = cluster.mesh().link(worker, deaf).unwrap();
    let before = link.traffic().hindered();
    cluster.mesh().treat(worker, deaf, Flow::Lost);
    let deaf = through(others[0]);
    let asked = tokio::spawn(async move { deaf.get("/healthz").await });
    wait_for("a call that is held up", WITHIN, async || {
        (link.traffic().hindered() > before).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        through(others[1]).get("/healthz").await.unwrap().status,
        200
    );
    asked.abort();

    cluster.mesh().heal();
    wait_for("the old leader's following", WITHIN, async || {
        let seen = cluster.api(leader).get("/v1/cluster").await.ok()?;
        let ready = cluster.api(leader).get("/readyz").await.ok()?.status == 200;
        (ready && seen.body["leader"].is_number()).then_some(())
    })
    .await
    .unwrap();
}
