//! How long a lease may still be believed in, told by the holder's own clock.
//!
//! A holder cannot ask the cluster before every write whether its lease is in force: the answer
//! would be old when it arrives. So it counts for itself, and the count must always end before the
//! cluster's does, or two holders would act at once. Three choices make it so:
//!
//! - It counts from **before** the request was sent. The cluster stamped the renewal after that,
//!   so whatever time the request and its answer took is counted against the holder.
//! - It counts one part in a hundred less than it was promised, because two clocks that run free
//!   drift apart. Quartz is wrong by 0.01 %; a hundred times that leaves room for a bad one.
//! - It counts on the boot-time clock, which goes on while the machine sleeps. A laptop that was
//!   shut for an hour must not believe in a lease of ten seconds.
//!
//! What it cannot do is stop a process that was paused between looking at the count and acting on
//! it. No clock can; that is what the fence is for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

/// The share of a promise that is not believed: one part in this many.
const DRIFT: u32 = 100;

/// A moment on the boot-time clock, in nanoseconds since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(u64);

impl BootTime {
    /// The end of time, which nothing reaches.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        #[cfg(test)]
        if let Some(now) = crate::tests::simulated_nanos() {
            return Self(now);
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = rustix::time::ClockId::Boottime;
        // Elsewhere the monotonic clock is the nearest there is; on Apple's systems it is the same.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = rustix::time::ClockId::Monotonic;
        let at = rustix::time::clock_gettime(clock);
        let seconds = u64::try_from(at.tv_sec).expect("boot time counts upwards from 0");
        let nanos = u64::try_from(at.tv_nsec).expect("nanoseconds are from 0 to 10^9");
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// The moment that another process of this machine calls by this number.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Its number, which means the same to every process until the machine is started again.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This much later; saturates at the end of time, 584 years on.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// From here to `later`; zero when that is not later.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

/// When a promise of `promised`, asked for at `sent`, must no longer be believed.
pub(crate) fn end_of(sent: BootTime, promised: Duration) -> BootTime {
    sent.plus(promised - promised / DRIFT)
}

/// The end of a session as its holder counts it. It can be moved on by a renewal that came in
/// time, and it can be ended; once it has passed, nothing moves it again.
#[derive(Debug)]
pub(crate) struct Countdown {
    /// Nanoseconds of a [`BootTime`]; 0 when ended.
    end: AtomicU64,
}

impl Countdown {
    pub(crate) fn new(sent: BootTime, promised: Duration) -> Self {
        Self::until(end_of(sent, promised))
    }

    /// One that ends then.
    pub(crate) const fn until(end: BootTime) -> Self {
        Self {
            end: AtomicU64::new(end.0),
        }
    }

    /// What is left at `now`.
    pub(crate) fn remaining(&self, now: BootTime) -> Duration {
        now.until(BootTime(self.end.load(Ordering::Acquire)))
    }

    /// Waits until nothing is left. The timer is the runtime's, whose clock stops while the machine
    /// sleeps, and other tasks may come first; so whenever the future is looked at for whatever
    /// reason, it looks at the boot-time clock.
    pub(crate) async fn run_out(&self) {
        loop {
            let left = self.remaining(BootTime::now());
            if left.is_zero() {
                return;
            }
            let mut timer = pin!(tokio::time::sleep(left));
            poll_fn(|context| {
                if self.remaining(BootTime::now()).is_zero() {
                    return Poll::Ready(());
                }
                timer.as_mut().poll(context)
            })
            .await;
        }
    }

    /// Takes a renewal that was sent at `sent` and answered by `now`. `false` when it came too
    /// late: the count had passed, its holder may have been told so, and that stands.
    ///
    /// A renewal never shortens the count: the promise before it still holds.
    pub(crate) fn extend(&self, sent: BootTime, promised: Duration, now: BootTime) -> bool {
        let new = end_of(sent, promised).0;
        self.end
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |end| {
                (now.0 < end).then_some(end.max(new))
            })
            .is_ok()
    }

    /// Ends it now, for good.
    pub(crate) fn finish(&self) {
        self.end.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> BootTime {
        BootTime(ms * 1_000_000)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_counts_one_in_a_hundred_less_from_before_the_request() {
        let countdown = Countdown::new(at(1_000), ms(10_000));
        assert_eq!(countdown.remaining(at(1_000)), ms(9_900));
        assert_eq!(countdown.remaining(at(10_899)), ms(1));
        assert_eq!(countdown.remaining(at(10_900)), ms(0));
        assert_eq!(countdown.remaining(at(99_000)), ms(0));
    }

    #[test]
    fn a_renewal_in_time_moves_it_and_one_too_late_does_not() {
        let countdown = Countdown::new(at(0), ms(1_000));
        assert!(countdown.extend(at(500), ms(1_000), at(600)));
        assert_eq!(countdown.remaining(at(600)), ms(890));
        assert!(!countdown.extend(at(1_400), ms(1_000), at(1_490)));
        assert_eq!(countdown.remaining(at(1_490)), ms(0));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_shorten_it() {
        let countdown = Countdown::new(at(0), ms(1_000));
        assert!(countdown.extend(at(500), ms(1_000), at(510)));
        assert!(countdown.extend(at(100), ms(1_000), at(520)));
        assert_eq!(countdown.remaining(at(520)), ms(970));
    }

    #[test]
    fn once_finished_it_stays_so() {
        let countdown = Countdown::new(at(0), ms(1_000));
        countdown.finish();
        assert_eq!(countdown.remaining(at(1)), ms(0));
        assert!(!countdown.extend(at(1), ms(1_000), at(2)));
    }

    #[test]
    fn the_clock_of_the_machine_runs_forward() {
        let before = BootTime::now();
        assert!(BootTime::now() >= before);
        assert!(before > BootTime(0));
    }
}
