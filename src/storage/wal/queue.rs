//! What callers and the writer thread share: the view of the log, and the queue of what is to be
//! written.
//!
//! One lock covers both, so that the order in which calls change the view is the order in which
//! they reach the file.

use std::io;
use std::mem;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::record::Record;
use super::view::View;
use crate::storage::poison::Poison;

/// Told once whether a request is durable.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Something to be written.
pub(super) enum Request {
    Append {
        first: u64,
        entries: Vec<Bytes>,
        done: Done,
    },
    Note {
        record: Record,
        done: Option<Done>,
    },
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) poison: Poison,
    /// There is something to write, or the log is closing.
    work: Condvar,
    /// The queue has been emptied.
    space: Condvar,
    queue_bytes_max: usize,
}

pub(super) struct State {
    pub(super) view: View,
    queue: Vec<Request>,
    queue_bytes: usize,
    /// The newest commit, which nobody waits for: it goes to the file with the next batch.
    committed: Option<Bytes>,
    closing: bool,
}

impl Shared {
    pub(super) fn new(view: View, poison: Poison, queue_bytes_max: usize) -> Self {
        let state = State {
            view,
            queue: Vec::new(),
            queue_bytes: 0,
            committed: None,
            closing: false,
        };
        Self {
            state: Mutex::new(state),
            poison,
            work: Condvar::new(),
            space: Condvar::new(),
            queue_bytes_max,
        }
    }

    /// Changes the view and queues what the change says, in one step.
    ///
    /// Waits while the queue is full, which is while the disk is a whole queue behind.
    pub(super) fn submit(
        &self,
        bytes: usize,
        change: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        while state.queue_bytes > self.queue_bytes_max && self.poison.check().is_ok() {
            self.space.wait(&mut state);
        }
        self.poison.check()?;
        if state.closing {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the log is closed",
            ));
        }
        change(&mut state)?;
        state.queue_bytes += bytes;
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Keeps the newest commit for the next batch.
    pub(super) fn set_committed(&self, bytes: Bytes) -> io::Result<()> {
        self.poison.check()?;
        self.state.lock().committed = Some(bytes);
        Ok(())
    }

    /// Waits for work and takes all of it; `false` when this is the last.
    pub(super) fn take(&self, requests: &mut Vec<Request>, records: &mut Vec<Record>) -> bool {
        let mut state = self.state.lock();
        while state.queue.is_empty() && !state.closing {
            self.work.wait(&mut state);
        }
        self.take_from(&mut state, requests, records)
    }

    /// Takes all of the work, if there is any.
    pub(super) fn try_take(
        &self,
        requests: &mut Vec<Request>,
        records: &mut Vec<Record>,
    ) -> Option<bool> {
        let mut state = self.state.lock();
        let idle = state.queue.is_empty() && !state.closing;
        (!idle).then(|| self.take_from(&mut state, requests, records))
    }

    fn take_from(
        &self,
        state: &mut State,
        requests: &mut Vec<Request>,
        records: &mut Vec<Record>,
    ) -> bool {
        mem::swap(&mut state.queue, requests);
        records.extend(state.committed.take().map(Record::Committed));
        if state.queue_bytes > self.queue_bytes_max {
            self.space.notify_all();
        }
        state.queue_bytes = 0;
        !state.closing
    }

    /// Lets the writer end when it has written what is queued.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.work.notify_one();
    }

    /// Answers all that is queued with the fault.
    pub(super) fn fail_all(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        let requests = mem::take(&mut state.queue);
        drop(state);
        self.space.notify_all();
        for request in requests {
            match request {
                Request::Append { done, .. }
                | Request::Note {
                    done: Some(done), ..
                } => {
                    done(self.poison.check());
                }
                Request::Note { done: None, .. } => {}
            }
        }
    }
}

impl State {
    pub(super) fn push(&mut self, request: Request) {
        self.queue.push(request);
    }
}
