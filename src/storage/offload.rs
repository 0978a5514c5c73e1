//! Work that blocks, done where it holds nobody up.
//!
//! On a runtime with several threads that is the pool for blocking work. A runtime of one thread
//! is a test or a simulation, which wants the same order each time: there it is done at once, in
//! the caller.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::spawn_blocking;

/// Does something that blocks, and waits for it without blocking.
///
/// # Errors
/// It panicked, or the runtime is going down.
pub(crate) async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Ok(work()),
        _ => spawn_blocking(work).await.map_err(io::Error::other),
    }
}
