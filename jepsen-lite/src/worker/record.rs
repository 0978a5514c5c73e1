//! Where a worker's events go.

use std::io::Write;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use crate::clock;
use crate::history::Event;

/// Events on their way out; more make the hands wait, so memory is bounded.
const PENDING_MAX: usize = 10_000;

/// Stamps events and hands them to the one thread that writes.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    began: u64,
    out: mpsc::SyncSender<Event>,
}

impl Recorder {
    pub(crate) fn to_stdout(began: u64) -> (Self, JoinHandle<anyhow::Result<()>>) {
        let (out, events) = mpsc::sync_channel::<Event>(PENDING_MAX);
        let writer = thread::spawn(move || {
            let stdout = std::io::stdout();
            for event in events {
                let mut line = serde_json::to_vec(&event)?;
                line.push(b'\n');
                let mut stdout = stdout.lock();
                stdout.write_all(&line)?;
                stdout.flush()?;
            }
            Ok(())
        });
        (Self { began, out }, writer)
    }

    /// The time of the run.
    pub(crate) fn now(&self) -> u64 {
        clock::now().saturating_sub(self.began)
    }

    /// Records an event as of now.
    pub(crate) fn record(&self, event: Event) {
        let t = self.now();
        // The writer is gone when the tool is: nobody is left to read.
        let _ = self.out.send(Event { t, ..event });
    }
}
