//! One command's way to its outcome, for as long as its caller has time.

use std::sync::Arc;
use std::time::Duration;

use lockring_core::{Command, Reply};
use tokio::time::{Instant, timeout_at};

use super::desk::{Desk, Full, Place, Verdict};
use super::dispatch::Breaks;
use super::{ProposeError, Role};
use crate::clock;
use crate::watch;

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
            let role = self.role.borrow().clone();
            match self.attempt(&mut place, deadline, repeatable).await {
                Attempt::Told(Verdict::Applied(reply)) => return Ok(reply),
                Attempt::Told(Verdict::Nothing) => {
                    pause = match self.led_anew(&role, deadline.min(now() + pause)).await {
                        true => PAUSE_MIN,
                        false => (pause * 2).min(PAUSE_MAX),
                    };
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

    /// Waits until then, or only until somebody begins to lead who did not in `role`: between a
    /// leader's death and the next election's end there is nothing to ask for, and right after it
    /// nothing to wait for.
    async fn led_anew(&self, role: &Role, until: Instant) -> bool {
        let mut known = self.role.clone();
        let led = async {
            let begins = |now: &Role| now.leader.is_some() && now != role;
            if known.wait_for(begins).await.is_err() {
                // The replica has stopped; the desk is about to say so.
                std::future::pending::<()>().await;
            }
        };
        timeout_at(until, led).await.is_ok()
    }

    fn unready(&self) -> ProposeError {
        let leader = self.role.borrow().leader;
        ProposeError::Unready { leader }
    }
}

#[cfg(test)]
mod tests {
    use lockring_core::{Op, Outcome, RequestId, SessionId};
    use tokio::task::JoinHandle;

    use super::super::desk::Run;
    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    struct Bench {
        desk: Arc<Desk>,
        role: watch::Receiver<Role>,
        breaks: Arc<Breaks>,
        leadership: watch::Sender<Role>,
    }

    impl Bench {
        fn new() -> Self {
            let (leadership, role) = watch::channel(Role::default());
            Self {
                desk: Desk::new(1, 1),
                role,
                breaks: Arc::default(),
                leadership,
            }
        }

        fn propose(
            &self,
            request: Option<RequestId>,
            within: Duration,
        ) -> JoinHandle<Result<Reply, ProposeError>> {
            let (desk, role) = (Arc::clone(&self.desk), self.role.clone());
            let breaks = Arc::clone(&self.breaks);
            let session = SessionId::from_bits(1);
            let op = Op::Close { session };
            tokio::spawn(async move {
                let proposer = Proposer {
                    desk: &desk,
                    role: &role,
                    breaks: &breaks,
                };
                proposer.propose(Command { request, op }, within).await
            })
        }

        async fn taken(&self) -> Run {
            loop {
                if let Some(run) = self.desk.take(1).pop() {
                    return run;
                }
                self.desk.bell.notified().await;
            }
        }

        fn apply(&self, run: &Run) {
            let reply = Reply {
                revision: 7,
                replayed: false,
                outcome: Outcome::Released,
            };
            let verdict = Verdict::Applied(reply);
            self.desk.settle(&run.origin, std::iter::once(verdict));
        }
    }

    #[tokio::test]
    async fn what_surely_had_no_effect_is_handed_in_again() {
        let bench = Bench::new();
        let proposed = bench.propose(None, WITHIN);
        for _ in 0..3 {
            let run = bench.taken().await;
            bench.desk.refuse(&run.origin);
        }
        let run = bench.taken().await;
        bench.apply(&run);
        assert_eq!(proposed.await.unwrap().unwrap().revision, 7);
    }

    #[tokio::test]
    async fn a_pause_ends_when_somebody_begins_to_lead() {
        let bench = Bench::new();
        let proposer = Proposer {
            desk: &bench.desk,
            role: &bench.role,
            breaks: &bench.breaks,
        };
        let before = bench.role.borrow().clone();
        let soon = now() + Duration::from_millis(5);
        assert!(!proposer.led_anew(&before, soon).await);
        let pause = proposer.led_anew(&before, now() + Duration::from_secs(3600));
        let leadership = async {
            bench.leadership.send_modify(|role| role.term = 1);
            tokio::task::yield_now().await;
            bench.leadership.send_modify(|role| role.leader = Some(2));
        };
        let paused = tokio::time::timeout(WITHIN, async { tokio::join!(pause, leadership).0 });
        assert_eq!(paused.await, Ok(true));
    }

    #[tokio::test]
    async fn a_doubtful_command_is_repeated_under_its_request_id() {
        let bench = Bench::new();
        let proposed = bench.propose(Some(RequestId::from_bits(5)), WITHIN);
        let lost = bench.taken().await;
        bench.breaks.add();
        let again = bench.taken().await;
        assert_eq!(lost.commands, again.commands);
        bench.apply(&again);
        assert!(proposed.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_doubtful_command_without_a_request_id_only_waits() {
        let bench = Bench::new();
        let proposed = bench.propose(None, LOOK_EVERY * 4);
        let _lost = bench.taken().await;
        bench.breaks.add();
        let outcome = proposed.await.unwrap();
        assert_eq!(outcome, Err(ProposeError::Indeterminate));
        assert!(bench.desk.take(1).is_empty());
    }

    #[tokio::test]
    async fn what_nobody_took_in_time_surely_did_not_happen() {
        let bench = Bench::new();
        let outcome = bench
            .propose(None, Duration::from_millis(20))
            .await
            .unwrap();
        assert_eq!(outcome, Err(ProposeError::Unready { leader: None }));
        assert!(bench.desk.take(1).is_empty());
    }
}
