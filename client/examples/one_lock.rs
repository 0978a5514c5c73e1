//! One lock: taken, held for a while with its countdown in sight, given back.
//!
//! Start a cluster with `lockring dev` in one terminal, and in two others
//! `cargo run -p lockring-client --example one_lock`. The second waits until the first is done.
//! Kill the leader meanwhile, or stop the first with `kill -STOP` for longer than its TTL.
//!
//! Other addresses are taken from the command line.

// An example talks.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use lockring_client::{Client, Error, LockGuard};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut endpoints: Vec<String> = std::env::args().skip(1).collect();
    if endpoints.is_empty() {
        endpoints = [7420, 7430, 7440]
            .map(|port| format!("http://127.0.0.1:{port}"))
            .into();
    }
    let client = Client::new(endpoints)?;
    let owner = format!("one_lock/{}", std::process::id());
    let session = client
        .session()
        .ttl(Duration::from_secs(3))
        .owner(owner)
        .open()
        .await?;

    println!("asking for examples/one_lock");
    let guard = match session.try_acquire("examples/one_lock").await {
        Err(error) if error.is_held() => {
            for holder in error
                .problem()
                .and_then(|p| p.holders.as_ref())
                .into_iter()
                .flatten()
            {
                println!(
                    "{} holds it since {} ms; waiting",
                    holder.owner, holder.held_ms
                );
            }
            session
                .acquire_for("examples/one_lock", Duration::from_secs(60))
                .await?
        }
        decided => decided?,
    };

    tokio::select! {
        () = work(&guard) => {
            guard.release().await?;
            println!("released");
        }
        cause = guard.lost() => println!("lost, and so stopped at once: {cause}"),
    }
    session.close().await.map(|_| ())
}

/// Stands for writes to whatever the lock protects, each of which carries the fence.
async fn work(guard: &LockGuard) {
    for step in 1..=10 {
        println!(
            "step {step} under fence {}, sure for {:?}",
            guard.fence(),
            guard.remaining()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
