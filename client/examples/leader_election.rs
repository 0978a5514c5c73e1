//! Leader election: some candidates, one leader, and everybody knows which.
//!
//! Start a cluster with `lockring dev`, and in further terminals, each with an address of its own,
//! `cargo run -p lockring-client --example leader_election -- http://10.0.0.1:80 [ENDPOINT…]`.
//! Kill the leader, or stop it with `kill -STOP` for longer than its TTL.

// An example talks.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use lockring_client::{Client, Error, Leadership};

const ELECTION: &str = "examples/leader_election";

/// Campaigns under this address and leads until the work is done, the leadership is lost, or
/// nobody grants it. `true` if the work was done.
pub async fn run<W: Future<Output = ()>>(
    endpoints: Vec<String>,
    address: &str,
    lead: impl FnOnce(u64) -> W,
) -> Result<bool, Error> {
    let client = Client::new(endpoints)?;
    let session = client
        .session()
        .ttl(Duration::from_secs(2))
        .owner(address)
        .open()
        .await?;
    let election = session.election(ELECTION);
    if let Some(leader) = election.leader().await? {
        println!("{address}: {} leads, at {}", leader.owner, leader.value);
    }
    let leadership: Leadership = election.campaign(address).await?;
    println!("{address}: leading under fence {}", leadership.fence());
    let is_done = tokio::select! {
        biased;
        cause = leadership.lost() => {
            println!("{address}: no longer the leader: {cause}");
            false
        }
        () = lead(leadership.fence().number()) => {
            leadership.resign().await?;
            println!("{address}: resigned");
            true
        }
    };
    // One that is lost is gone already.
    if let Err(error) = session.close().await {
        println!("{address}: the session had ended: {error}");
    }
    Ok(is_done)
}

/// Tells of `changes` changes of the leader.
pub async fn follow(endpoints: Vec<String>, changes: usize) -> Result<Vec<Option<String>>, Error> {
    let mut observer = Client::new(endpoints)?.observe(ELECTION);
    let mut seen = Vec::new();
    while seen.len() < changes {
        let leader = observer.next().await?.map(|leader| leader.value);
        println!("leader: {leader:?}");
        seen.push(leader);
    }
    Ok(seen)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.unwrap_or_else(|| format!("process {}", std::process::id()));
    let mut endpoints: Vec<String> = arguments.collect();
    if endpoints.is_empty() {
        endpoints.push("http://127.0.0.1:7420".to_owned());
    }
    loop {
        run(endpoints.clone(), &address, |fence| async move {
            for step in 1..=10 {
                println!("step {step} under fence {fence}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
        .await?;
    }
}
