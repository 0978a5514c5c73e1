//! Work that blocks, done where it holds nobody up: on the runtime's threads for blocking work.
//!
//! A simulation wants the same order each time: where chance repeats, it is done at once, in the
//! caller.

use std::io;

use tokio::task::spawn_blocking;

use crate::chance;

/// Does something that blocks, and waits for it without blocking.
///
/// # Errors
/// It panicked, or the runtime is going down.
pub(crate) async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if chance::repeats() {
        return Ok(work());
    }
    spawn_blocking(work).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_only_thread_of_a_runtime_goes_on_while_work_blocks() {
        let (send, receive) = mpsc::channel();
        let work = offload(move || receive.recv_timeout(Duration::from_secs(30)));
        let (worked, sent) = tokio::join!(work, async { send.send(7) });
        assert_eq!((worked.unwrap(), sent), (Ok(7), Ok(())));
    }

    #[tokio::test]
    async fn a_simulation_has_it_done_at_once() {
        chance::repeat_from(1);
        let here = std::thread::current().id();
        assert_eq!(offload(|| std::thread::current().id()).await.unwrap(), here);
    }
}
