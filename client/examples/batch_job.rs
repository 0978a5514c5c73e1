//! A batch job over many locks: it moves amounts between accounts, each of which has a lock.
//!
//! Taken one by one, two locks in two orders are a deadlock. Taken in one step there is no order:
//! the job has all of them or none, and waits without holding any.
//!
//! Start a cluster with `lockring dev`, and some of these:
//! `cargo run -p lockring-client --example batch_job -- [ENDPOINT…]`.

// An example talks.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use lockring_client::{Client, Error, MultiGuard, Want};

/// One step of the job: from which account, to which, how much.
pub type Step = (usize, usize, u64);

/// Does the steps one after the other, each under the locks of its accounts and a shared one, which
/// whoever closes the books takes exclusively.
pub async fn run(
    endpoints: Vec<String>,
    owner: &str,
    steps: Vec<Step>,
    apply: impl AsyncFn(&MultiGuard, Step),
) -> Result<usize, Error> {
    let client = Client::new(endpoints)?;
    let session = client
        .session()
        .ttl(Duration::from_secs(5))
        .owner(owner)
        .open()
        .await?;
    let account = |number: usize| format!("examples/account/{number}");
    let mut done = 0;
    for step in steps {
        let (from, to, _) = step;
        let wants = [
            Want::exclusive(account(from)),
            Want::exclusive(account(to)),
            Want::shared("examples/books"),
        ];
        let guards = session.acquire_all(wants).await?;
        tokio::select! {
            biased;
            cause = guards.lost() => {
                println!("{owner} stops: {cause}");
                break;
            }
            () = apply(&guards, step) => {}
        }
        guards.release().await?;
        done += 1;
    }
    session.close().await?;
    Ok(done)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut endpoints: Vec<String> = std::env::args().skip(1).collect();
    if endpoints.is_empty() {
        endpoints.push("http://127.0.0.1:7420".to_owned());
    }
    let owner = format!("batch_job/{}", std::process::id());
    let steps = (0..10).map(|n| (n, n + 1, 100)).collect();
    let apply = async |guards: &MultiGuard, (from, to, amount): Step| {
        for guard in guards.iter() {
            println!("{} under fence {}", guard.lock(), guard.fence());
        }
        println!("moving {amount} from {from} to {to}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let done = run(endpoints, &owner, steps, apply).await?;
    println!("{done} steps are done");
    Ok(())
}
