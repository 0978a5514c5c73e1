//! Who believes to hold the lock, and who does.

use std::sync::{Arc, Mutex, MutexGuard};

use super::world::Found;
use crate::LockGuard;

/// What the judge knows; the programs tell it what they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Judge(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) found: Found,
    /// One for each program that has a guard.
    believers: Vec<Believer>,
    /// The fence of the newest grant.
    newest: u64,
}

#[derive(Debug)]
struct Believer {
    program: usize,
    guard: Arc<LockGuard>,
    was_told: bool,
    /// It was suspended since: then `lost` comes when it is next asked, not by itself.
    slept: bool,
}

impl Judge {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    /// A program has the lock.
    pub(super) fn holds(&self, program: usize, guard: Arc<LockGuard>) {
        self.known().believers.push(Believer {
            program,
            guard,
            was_told: false,
            slept: false,
        });
    }

    /// A program was told that its lease is lost.
    pub(super) fn told(&self, program: usize) {
        for believer in &mut self.known().believers {
            believer.was_told |= believer.program == program;
        }
    }

    /// A program lets the lock go, or is no more.
    pub(super) fn lets_go(&self, program: usize) {
        let mut known = self.known();
        let gone = known.believers.iter().position(|b| b.program == program);
        let gone = gone.map(|at| known.believers.swap_remove(at));
        drop(known);
        // Dropping a guard has effects of its own.
        drop(gone);
    }

    pub(super) fn slept(&self, program: usize) {
        for believer in &mut self.known().believers {
            believer.slept |= believer.program == program;
        }
    }

    /// A program goes on working under this fence, because nothing told it not to.
    pub(super) fn works(&self, program: usize, fence: u64, valid: bool, now: u64) {
        let mut known = self.known();
        known.found.writes += 1;
        let newest = known.newest;
        if !valid || fence < newest {
            known.found.violations.push(format!(
                "at {now} program {program} works under fence {fence}, valid: {valid}; the newest \
                 is {newest}"
            ));
        }
    }
}

impl Known {
    /// The cluster granted the lock.
    pub(super) fn granted(&mut self, fence: u64, runs: impl Fn(usize) -> bool, now: u64) {
        self.newest = fence;
        let mut violations = Vec::new();
        for believer in &self.believers {
            let (program, guard) = (believer.program, &believer.guard);
            if guard.fence().number() >= fence {
                continue;
            }
            self.found.takeovers += 1;
            let is_owed = runs(program) && !believer.slept;
            if guard.is_valid() || is_owed && !believer.was_told {
                violations.push(format!(
                    "at {now} fence {fence} is granted; program {program} has {} and believes in \
                     it: {}, was told: {}",
                    guard.fence(),
                    guard.is_valid(),
                    believer.was_told
                ));
            }
        }
        self.found.violations.append(&mut violations);
    }
}
