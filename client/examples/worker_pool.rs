//! A pool of workers on many machines, of which only so many may work at a time: each takes one of
//! a number of permits for a task, and the licences or connections that the permits stand for are
//! never overdrawn, whoever dies.
//!
//! Start a cluster with `lockring dev`, and some of these:
//! `cargo run -p lockring-client --example worker_pool -- [ENDPOINT…]`.

// An example talks.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use lockring_client::{Client, Error, Session};
use tokio::task::JoinSet;

const POOL: &str = "examples/worker_pool";
/// How many may work at a time, on all machines together. All must say the same.
pub const PERMITS: u32 = 3;

/// Does a task for each of `workers` workers, as soon as there is a permit for it.
pub async fn run<W: Future<Output = ()> + Send + 'static>(
    endpoints: Vec<String>,
    workers: usize,
    task: impl Fn(usize) -> W + Send + Sync + 'static,
) -> Result<usize, Error> {
    let client = Client::new(endpoints)?;
    let task = Arc::new(task);
    let mut pool = JoinSet::new();
    for worker in 0..workers {
        // A session each: it is sessions that hold permits.
        let session = client
            .session()
            .ttl(Duration::from_secs(5))
            .owner(format!("worker {worker}"))
            .open()
            .await?;
        let task = task.clone();
        pool.spawn(async move { work(session, worker, &*task).await });
    }
    let mut done = 0;
    for worker in pool.join_all().await {
        done += usize::from(worker?);
    }
    client.settled().await;
    Ok(done)
}

/// One task under a permit; whether it was done.
async fn work<W: Future<Output = ()>>(
    session: Session,
    worker: usize,
    task: &impl Fn(usize) -> W,
) -> Result<bool, Error> {
    let permit = session.lock(POOL).permits(1, PERMITS).acquire().await?;
    println!("worker {worker} works under fence {}", permit.fence());
    tokio::select! {
        biased;
        cause = permit.lost() => {
            println!("worker {worker} stops: {cause}");
            Ok(false)
        }
        () = task(worker) => {
            permit.release().await?;
            println!("worker {worker} is done");
            Ok(true)
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut endpoints: Vec<String> = std::env::args().skip(1).collect();
    if endpoints.is_empty() {
        endpoints.push("http://127.0.0.1:7420".to_owned());
    }
    let task = |_| tokio::time::sleep(Duration::from_secs(2));
    let done = run(endpoints, 10, task).await?;
    println!("{done} tasks are done");
    Ok(())
}
