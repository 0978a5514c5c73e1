//! A cron job that must run once, although cron starts it on every machine.
//!
//! A lock alone keeps two runs apart; it does not know that the first of them is done when the
//! second machine, a minute late, gets the lock. So the run is also marked where its results are,
//! under the lock and with the fence: whoever gets the lock looks at the mark first, and a run that
//! was paused for longer than its lease lasted finds a higher fence there and leaves it alone.
//!
//! `cargo run -p lockring-client --example cron_once -- DIRECTORY PERIOD [ENDPOINT…]`, such as
//! `/tmp/reports 2026-11-24`; the mark is the file `DIRECTORY/done`. Start it as often as you like.

// An example talks.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Duration;

use lockring_client::Client;

/// What became of this start of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// It did the work.
    Done,
    /// Somebody had done it.
    WasDone,
    /// Somebody is doing it.
    IsUnderWay,
    /// It lost the lock and stopped; somebody else will do it.
    Lost,
}

/// The fence and the period of the last run.
fn mark(directory: &Path) -> std::io::Result<Option<(u64, String)>> {
    let text = match std::fs::read_to_string(directory.join("done")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let parts = text.trim().split_once(' ');
    Ok(parts.and_then(|(fence, period)| Some((fence.parse().ok()?, period.to_owned()))))
}

/// Runs the job for a period, unless that is done or being done.
pub async fn run(
    endpoints: Vec<String>,
    directory: &Path,
    period: &str,
    work: impl Future<Output = ()>,
) -> Result<Run, Box<dyn std::error::Error>> {
    let client = Client::new(endpoints)?;
    let owner = format!("cron_once/{}", std::process::id());
    let session = client
        .session()
        .ttl(Duration::from_secs(5))
        .owner(owner)
        .open()
        .await?;
    let guard = match session.try_acquire("examples/cron_once").await {
        Err(error) if error.is_held() => return Ok(Run::IsUnderWay),
        decided => decided?,
    };
    if mark(directory)?.is_some_and(|(_, done)| done == period) {
        guard.release().await?;
        return Ok(Run::WasDone);
    }
    tokio::select! {
        biased;
        cause = guard.lost() => {
            println!("stopped: {cause}");
            return Ok(Run::Lost);
        }
        () = work => {}
    }
    // A file cannot compare and write in one step, as a database can: see the module `fence`.
    let fence = guard.fence().number();
    if mark(directory)?.is_some_and(|(newest, _)| newest > fence) {
        return Ok(Run::Lost);
    }
    let new = directory.join("done.new");
    std::fs::write(&new, format!("{fence} {period}\n"))?;
    std::fs::rename(new, directory.join("done"))?;
    guard.release().await?;
    session.close().await?;
    Ok(Run::Done)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("where is the mark to be kept?")?;
    let period = arguments.next().ok_or("which period is this run of?")?;
    let mut endpoints: Vec<String> = arguments.collect();
    if endpoints.is_empty() {
        endpoints.push("http://127.0.0.1:7420".to_owned());
    }
    let work = async {
        println!("working for {period}");
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    let run = run(endpoints, Path::new(&directory), &period, work).await?;
    println!("{run:?}");
    Ok(())
}
