//! The client against a world whose time is made up.

use std::cell::Cell;

thread_local! {
    static NOW: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The boot-time clock of a simulation on this thread, if there is one.
pub(crate) fn simulated_nanos() -> Option<u64> {
    NOW.get()
}
