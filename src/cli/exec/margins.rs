//! When a command must be warned, and when it must be dead.

use std::time::Duration;

/// What is done to the command; it only gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// It runs.
    Run,
    /// It has been asked to end.
    Terminate,
    /// It is killed.
    Kill,
}

/// How much of a lease has to be left.
///
/// A session is renewed every third of its TTL, so in good times two thirds are left at least.
/// What is below one third is trouble, and half of that is time for the command to clean up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Margins {
    terminate: Duration,
    kill: Duration,
}

/// Nobody needs longer to clean up.
const TERMINATE_MAX: Duration = Duration::from_secs(30);
/// From SIGKILL to the end of the process, on a machine that is busy.
const KILL_MAX: Duration = Duration::from_secs(2);
/// The countdown is looked at at least so often: it runs in suspend, and the timer does not.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Margins {
    pub(super) fn of(ttl: Duration) -> Self {
        let kill = (ttl / 10).min(KILL_MAX);
        let terminate = kill + (ttl / 6).min(TERMINATE_MAX);
        Self { terminate, kill }
    }

    /// How long the guardian may take to kill before it is not waited for any more.
    pub(super) fn guardian(&self) -> Duration {
        self.kill / 2
    }

    /// What is to be done with so much left, and when to look again.
    pub(super) fn step(&self, remaining: Duration) -> (Step, Duration) {
        let (step, until) = if remaining <= self.kill {
            (Step::Kill, LOOK_EVERY)
        } else if remaining <= self.terminate {
            (Step::Terminate, remaining - self.kill)
        } else {
            (Step::Run, remaining - self.terminate)
        };
        (step, until.min(LOOK_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_warned_and_then_killed_while_the_lease_still_lives() {
        for ttl_ms in [500, 1_500, 10_000, 60_000, 3_600_000] {
            let ttl = Duration::from_millis(ttl_ms);
            let margins = Margins::of(ttl);
            let at = |part: f64| margins.step(ttl.mul_f64(part)).0;
            assert_eq!(at(1.0), Step::Run);
            // Two renewals in a row have failed.
            assert_eq!(at(0.34), Step::Run, "{ttl:?}");
            assert_eq!(margins.step(margins.terminate).0, Step::Terminate);
            assert_eq!(margins.step(margins.kill).0, Step::Kill);
            assert_eq!(margins.step(Duration::ZERO).0, Step::Kill);
            assert!(margins.kill < margins.terminate);
            assert!(
                margins.kill >= ttl.min(Duration::from_secs(20)) / 10,
                "{ttl:?}"
            );
        }
    }

    #[test]
    fn the_next_look_is_not_later_than_the_next_step() {
        let margins = Margins::of(Duration::from_secs(1));
        let remaining = margins.terminate + Duration::from_millis(3);
        assert_eq!(
            margins.step(remaining),
            (Step::Run, Duration::from_millis(3))
        );
    }
}
