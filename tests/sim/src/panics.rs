//! Panics on this thread: tokio catches them in its tasks, and here each is a violation.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static HOOK: Once = Once::new();

/// Keeps from now on what panics on any thread that asks.
pub fn watch() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let simulated = std::thread::current().name() == Some(THREAD);
            if simulated {
                SEEN.with_borrow_mut(|seen| seen.push(panic.to_string()));
            } else {
                before(panic);
            }
        }));
    });
}

/// Does something on a thread of its own, where panics are kept.
///
/// # Panics
/// If the thread itself does: then the simulation is wrong, and not what it simulates.
pub fn kept<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    watch();
    let thread = std::thread::Builder::new().name(THREAD.into());
    let thread = thread.spawn(move || {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.map_err(|_| take().join("\n"))
    });
    let done = thread.expect("a thread can be started").join();
    match done.expect("its panics are caught") {
        Ok(done) => done,
        Err(why) => panic!("the simulation itself failed: {why}"),
    }
}

/// The name of threads that runs are made on.
pub const THREAD: &str = "simulation";

/// What panicked on this thread since the last look.
#[must_use]
pub fn take() -> Vec<String> {
    SEEN.take()
}

/// Begins anew.
pub fn forget() {
    SEEN.take();
}
