//! What the workers do, over and over, until the time is up.

use std::io;
use std::time::Duration;

use lockring_client::wire::route;
use tokio::time::Instant;

use super::tally::Tally;
use super::worker::Worker;

/// The longest that a waiter of the hot lock waits before it counts as an error.
pub(super) const HOT_WAIT_MS: u64 = 20_000;

/// After an answer that was no success, so that a cluster in trouble is not hammered.
const PAUSE: Duration = Duration::from_millis(10);

/// Acquires and releases a lock, again and again: one of the worker's own, or, when it may wait,
/// the one that all workers want. After a lost connection the lease may be ours or not; the next
/// acquire gets its fence either way, because a holder that asks again is told of its lease.
pub(super) async fn take_turns(
    worker: &mut Worker,
    lock: &str,
    wait_ms: u64,
    hold: Duration,
    tally: &Tally,
) {
    let acquire = worker.acquire_request(lock, wait_ms);
    worker.will_release(lock);
    loop {
        if let Err(_lost) = acquire_and_release(worker, &acquire, hold, tally).await {
            tally.fail();
            worker.reconnect().await;
        }
    }
}

/// Reads a lock, linearizably.
pub(super) async fn read(worker: &mut Worker, lock: &str, tally: &Tally) {
    let get = worker.target.request("GET", &route::lock(lock), "", "");
    loop {
        let began = Instant::now();
        match worker.call(&get).await {
            Ok(answer) if answer.status == 200 => tally.time(began.elapsed()),
            Ok(_) => {
                tally.fail();
                tokio::time::sleep(PAUSE).await;
            }
            Err(_lost) => {
                tally.fail();
                worker.reconnect().await;
            }
        }
    }
}

/// Takes each of these locks once and keeps them all.
pub(super) async fn take(worker: &mut Worker, locks: Vec<String>, tally: &Tally) -> io::Result<()> {
    for lock in locks {
        let acquire = worker.acquire_request(&lock, 0);
        let began = Instant::now();
        match worker.call(&acquire).await?.status {
            200 => tally.time(began.elapsed()),
            _ => tally.fail(),
        }
        worker.keep_alive().await?;
    }
    Ok(())
}

/// Acquires and releases each of these locks once.
pub(super) async fn use_once(
    worker: &mut Worker,
    locks: &mut dyn Iterator<Item = String>,
    tally: &Tally,
) -> io::Result<()> {
    for lock in locks {
        let acquire = worker.acquire_request(&lock, 0);
        worker.will_release(&lock);
        acquire_and_release(worker, &acquire, Duration::ZERO, tally).await?;
    }
    Ok(())
}

/// Holds a lock for so long. The runtime's timers round up by as much as two milliseconds, which
/// would be measured as the cluster's; the operating system's are good to some microseconds.
async fn keep(hold: Duration) -> io::Result<()> {
    tokio::task::spawn_blocking(move || std::thread::sleep(hold))
        .await
        .map_err(io::Error::other)
}

async fn acquire_and_release(
    worker: &mut Worker,
    acquire: &[u8],
    hold: Duration,
    tally: &Tally,
) -> io::Result<()> {
    let began = Instant::now();
    let answer = worker.call(acquire).await?;
    let (200, Some(fence)) = (answer.status, answer.fence) else {
        tally.fail();
        tokio::time::sleep(PAUSE).await;
        return worker.keep_alive().await;
    };
    tally.time(began.elapsed());
    if !hold.is_zero() {
        keep(hold).await?;
    }
    match worker.release(fence).await? {
        200 => tally.count(),
        _ => tally.fail(),
    }
    worker.keep_alive().await
}
