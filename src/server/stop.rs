//! When a node is to stop: a signal, or the end of the process that started it.

use std::io::Read;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells when to stop.
#[derive(Debug)]
pub struct Stop {
    orphaned: Option<watch::Receiver<bool>>,
}

impl Stop {
    /// What [`Self::asked`] says when the process that started this one is gone.
    pub const ORPHANED: &str = "the parent process is gone";

    /// On SIGTERM or SIGINT.
    #[must_use]
    pub fn on_signal() -> Self {
        Self { orphaned: None }
    }

    /// On SIGTERM or SIGINT, or when standard input ends. A parent that holds the other end of
    /// that pipe need not say goodbye: it ends with the parent, also on SIGKILL.
    #[must_use]
    pub fn on_signal_or_orphaned() -> Self {
        let (orphaned, seen) = watch::channel(false);
        // Nobody joins this thread: it sleeps in `read` for as long as the parent lives, and
        // ends with the process.
        std::thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            let mut ignored = [0; 64];
            while input.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
            orphaned.send_replace(true);
        });
        Self {
            orphaned: Some(seen),
        }
    }

    /// Waits until the node is to stop, and says why, for the log.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn asked(mut self) -> (Asked, &'static str) {
        let mut terminate = listen(SignalKind::terminate());
        let mut interrupt = listen(SignalKind::interrupt());
        let orphaned = async {
            match &mut self.orphaned {
                Some(seen) => {
                    let _ = seen.wait_for(|gone| *gone).await;
                }
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = orphaned => Self::ORPHANED,
        };
        let again = Asked {
            terminate,
            interrupt,
        };
        (again, why)
    }
}

/// Waits for somebody to ask a second time.
#[derive(Debug)]
pub struct Asked {
    terminate: Signal,
    interrupt: Signal,
}

impl Asked {
    /// Waits for another SIGTERM or SIGINT.
    pub async fn again(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Signal {
    signal(kind).expect("a runtime with signals, and neither signal is forbidden to handle")
}
