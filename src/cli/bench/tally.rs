//! What was counted: operations, errors, and how long the timed call took.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The counts of one run. All workers share it: they run on one thread.
#[derive(Debug)]
pub(super) struct Tally {
    operations: Cell<u64>,
    errors: Cell<u64>,
    timed: RefCell<Histogram<u64>>,
}

/// Percentiles, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let timed = Histogram::new_with_bounds(1, 600_000_000, 3)
            .expect("the bounds are in order and three digits are allowed");
        Self {
            operations: Cell::new(0),
            errors: Cell::new(0),
            timed: RefCell::new(timed),
        }
    }

    /// One operation that is counted.
    pub(super) fn count(&self) {
        self.operations.set(self.operations.get() + 1);
    }

    /// One operation that is counted and timed.
    pub(super) fn time(&self, took: Duration) {
        self.count();
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.timed.borrow_mut().saturating_record(us);
    }

    /// One operation that did not come to what it should have.
    pub(super) fn fail(&self) {
        self.errors.set(self.errors.get() + 1);
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations.get()
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.get()
    }

    /// How many were timed.
    pub(super) fn timed(&self) -> u64 {
        self.timed.borrow().len()
    }

    /// Forgets how long what was timed so far took.
    pub(super) fn forget_times(&self) {
        self.timed.borrow_mut().reset();
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let timed = self.timed.borrow();
        Percentiles {
            p50: timed.value_at_quantile(0.50),
            p99: timed.value_at_quantile(0.99),
            p999: timed.value_at_quantile(0.999),
            max: timed.max(),
        }
    }
}
