//! One command's way to its outcome, for as long as its caller has time.

use std::sync::Arc;
use std::time::Duration;

use lockring_core::{Command, Reply};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::desk::{Desk, Full, Place, Verdict};
use super::dispatch::Breaks;
use super::{ProposeError, Role};
use crate::clock;

/// How often a waiting command looks whether something may have cost it its answer.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The first pause before a command that surely had no effect is handed in again; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(50);

pub(super) struct Proposer<'a> {
    pub(super) desk: &'a Arc<Desk>,
    pub(super) role: &'a watch::Receiver<Role>,
    pub(super) breaks: &'a Breaks,
}

/// How one attempt ended.
enum Attempt {
    Told(Verdict),
    /// Something happened that may have cost the command its answer.
    Doubtful,
    /// The caller's time is over.
    Late,
}

fn now() -> Instant {
    Instant::from_std(clock::instant())
}

impl Proposer<'_> {
    pub(super) async fn propose(
        &self,
        command: Command,
        within: Duration,
    ) -> Result<Reply, ProposeError> {
        let deadline = now() + within;
        let mut certain = true;
        let mut pause = PAUSE_MIN;
        loop {
            let mut place = match self.desk.enter(command.clone()) {
                Ok(place) => place,
                Err(Full::Closed) if certain => return Err(ProposeError::Stopped),
                Err(Full::TooMany) if certain => return Err(self.unready()),
                Err(Full::Closed | Full::TooMany) => return Err(ProposeError::Indeterminate),
            };
            // Repeating is safe only under a request id, which gives both the same outcome.
            let repeatable = command.request.is_some();
            match self.attempt(&mut place, deadline, repeatable).await {
                Attempt::Told(Verdict::Applied(reply)) => return Ok(reply),
                Attempt::Told(Verdict::Nothing) => {
                    sleep_until(deadline.min(now() + pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Attempt::Told(Verdict::Stopped) => return Err(ProposeError::Stopped),
                Attempt::Doubtful => certain &= place.withdraw(),
                Attempt::Late => {
                    let certain = place.withdraw() && certain;
                    return Err(match certain {
                        true => self.unready(),
                        false => ProposeError::Indeterminate,
                    });
                }
            }
            if now() >= deadline {
                return Err(match certain {
                    true => self.unready(),
                    false => ProposeError::Indeterminate,
                });
            }
        }
    }

    /// Waits for the verdict; gives up when its time is over, or, if the command may be repeated,
    /// when the leader has changed or a batch was lost since it was handed in.
    async fn attempt(&self, place: &mut Place, deadline: Instant, repeatable: bool) -> Attempt {
        let situation = || {
            let role = self.role.borrow();
            (role.term, role.leader, self.breaks.count())
        };
        let entered = situation();
        loop {
            let look_at = deadline.min(now() + LOOK_EVERY);
            match timeout_at(look_at, &mut place.verdict).await {
                Ok(Ok(verdict)) => return Attempt::Told(verdict),
                // The desk settles every place it keeps, or closes.
                Ok(Err(_)) => return Attempt::Told(Verdict::Stopped),
                Err(_) if now() >= deadline => return Attempt::Late,
                Err(_) if repeatable && situation() != entered => return Attempt::Doubtful,
                Err(_) => {}
            }
        }
    }

    fn unready(&self) -> ProposeError {
        let leader = self.role.borrow().leader;
        ProposeError::Unready { leader }
    }
}
