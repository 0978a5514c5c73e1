//! One node: the floors assembled bottom to top, and taken down top to bottom.
//!
//! A node ends in one of three ways. It is asked to (a signal): then parked callers are sent to
//! another node, leadership is handed over, what is under way is answered, the log is closed, and
//! the exit code is 0. It cannot start: one ERROR line says why, and the code is 1. Its disk
//! fails: then what it has in memory may be ahead of what it has promised, so it says so in one
//! ERROR line and ends at once, without taking anything down; the next start reads from the disk
//! what is true.

mod assembly;
mod stop;
mod telemetry;

pub use stop::Stop;
pub use telemetry::{LogFormat, log_to_stderr};

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{error, info, warn};

use crate::config::Config;
use assembly::Node;
use stop::Asked;

/// The node has stopped because it could not go on; the reason has been logged.
#[derive(Debug)]
pub struct Failed;

/// Runs a node until it is told to stop.
///
/// # Errors
/// [`Failed`] when it could not start or not go on.
pub fn run(config: Config, stop: Stop) -> Result<(), Failed> {
    allow_many_files();
    let runtime = runtime(config.node.workers).map_err(|error| {
        error!(%error, "no threads to run on");
        Failed
    })?;
    let done = runtime.block_on(run_node(config, stop));
    // After a failure a thread may hang in the disk for ever; it ends with the process.
    runtime.shutdown_background();
    done
}

/// The threads that serve: so many, or what suits the machine if that is 0.
///
/// # Errors
/// What the system says when there are none to be had.
pub fn runtime(told: usize) -> io::Result<tokio::runtime::Runtime> {
    let workers = workers(told);
    let mut runtime = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime
        .enable_all()
        .thread_name("lockring")
        .worker_threads(workers)
        .build()
}

/// How many threads serve. Unless told, half of the cores: the log's thread, the kernel and
/// whatever else is there need some too, and a hand-over from thread to thread costs more than it
/// gains where there is no core free to take it.
fn workers(told: usize) -> usize {
    match told {
        0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
        told => told,
    }
}

async fn run_node(config: Config, stop: Stop) -> Result<(), Failed> {
    let id = config.node.id;
    let asked = stop.asked();
    tokio::pin!(asked);
    let node = tokio::select! {
        // A disk that has much to read is no reason not to stop.
        _ = &mut asked => return Ok(()),
        node = Node::start(config) => node.map_err(|why| {
            error!("node {id} cannot start: {why}");
            Failed
        })?,
    };
    let (again, why) = tokio::select! {
        asked = &mut asked => asked,
        why = node.failed() => {
            error!("node {id} stops, and nothing that it had not confirmed counts: {why}");
            return Err(Failed);
        }
    };
    info!("stopping: {why}");
    take_down(node, again).await
}

async fn take_down(node: Node, again: Asked) -> Result<(), Failed> {
    tokio::select! {
        () = node.stop() => {
            info!("stopped");
            Ok(())
        }
        () = again.again() => {
            warn!("asked a second time: ending at once");
            Err(Failed)
        }
    }
}

/// Raises the limit of open files as far as it goes without asking: thousands of connections need
/// more than the 1024 that are customary.
pub fn allow_many_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, ?current, ?maximum, "the limit of open files stays as it is");
    }
}
