//! One failed write or flush ends a node's storage for good.
//!
//! After a failed `fsync` the kernel may have dropped the pages and marked them clean: a second
//! `fsync` then answers `Ok` for data that is nowhere. So nothing is ever tried again. The first
//! failure is kept here, every later call is answered with it, and whoever watches (the server)
//! ends the process; what is really on the disk is found out by the next start.

use std::io;
use std::sync::Arc;

use crate::watch;

/// Why storage has stopped: what was being done, and the error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("storage has failed and stays stopped: {doing}: {error}")]
pub struct Fault {
    /// What was being done, with the file's name.
    pub doing: String,
    /// What the operating system said.
    pub error: String,
}

/// The place where the first fault is kept; its clones share it.
#[derive(Clone, Debug)]
pub struct Poison(watch::Sender<Option<Arc<Fault>>>);

impl Default for Poison {
    fn default() -> Self {
        Self::new()
    }
}

impl Poison {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Keeps this fault, unless there was one before; answers the one that is kept, as an error.
    pub fn spread(&self, doing: impl Into<String>, error: &io::Error) -> io::Error {
        let fault = Arc::new(Fault {
            doing: doing.into(),
            error: error.to_string(),
        });
        self.0.send_if_modified(|kept| {
            let first = kept.is_none();
            if first {
                *kept = Some(fault);
            }
            first
        });
        self.check()
            .expect_err("a fault was kept just now, and none is ever taken back")
    }

    /// An error if something has failed.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> io::Result<()> {
        match &*self.0.borrow() {
            None => Ok(()),
            Some(fault) => Err(io::Error::other(Arc::clone(fault))),
        }
    }

    /// Tells of the fault when it comes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Fault>>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_kept_and_told() {
        let poison = Poison::new();
        let watched = poison.watch();
        poison.check().unwrap();
        poison.spread("writing a", &io::Error::other("disk on fire"));
        let second = poison.spread("writing b", &io::Error::other("disk gone"));
        assert!(
            second.to_string().contains("writing a: disk on fire"),
            "{second}"
        );
        assert_eq!(watched.borrow().as_ref().unwrap().doing, "writing a");
        assert!(poison.clone().check().is_err());
    }
}
