//! One node: the floors assembled bottom to top, and taken down top to bottom.

mod stop;
mod telemetry;

pub use stop::Stop;
pub use telemetry::{LogFormat, log_to_stderr};

use crate::config::Config;

/// The node has stopped because it could not go on; the reason has been logged.
#[derive(Debug)]
pub struct Failed;

/// Runs a node until it is told to stop.
///
/// # Errors
/// [`Failed`] when it could not start or not go on.
pub fn run(config: Config, stop: Stop) -> Result<(), Failed> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_name("lockring");
    if config.node.workers > 0 {
        runtime.worker_threads(config.node.workers);
    }
    let runtime = runtime.build().map_err(|error| {
        tracing::error!(%error, "no threads to run on");
        Failed
    })?;
    runtime.block_on(async {
        stop.asked().await;
    });
    Ok(())
}
