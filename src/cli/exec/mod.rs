//! `lockring exec NAME -- CMD`: runs a command under a lock.
//!
//! **The problem.** A lock that a script takes, and a command that it then runs, are two things:
//! if the script's machine loses the cluster, its lease ends, the next one gets the lock, and the
//! command runs on beside that one's.
//!
//! **The answer.** The lease is kept alive while the command runs, and the command lives no
//! longer than the lease: when renewals are not answered any more it gets SIGTERM while there is
//! still time, and SIGKILL before the lease can end. "Before" is by a countdown that starts when
//! the last acknowledged renewal was *sent* and runs a little fast, on a clock that does not stop
//! in suspend; cluster time never runs faster than real time, so the lease ends later than that.
//!
//! **The parts.** `exec` itself renews, and tells a *guardian* until when the lease is certain.
//! That is a process beside it, which starts the command and kills it when it has not been told
//! better in time. So either of the two can be stopped or killed and the command still dies in
//! time:
//!
//! | what happens | what the command gets |
//! |---|---|
//! | no renewal is answered | SIGTERM, time to clean up, SIGKILL |
//! | the lock is asked back (`lockring revoke`) | SIGTERM at once, SIGKILL before the deadline |
//! | the lease is gone, by the cluster's own word | SIGKILL: another may hold the lock already |
//! | `exec` is stopped (SIGSTOP, ^Z) for longer than the lease | the same from the guardian |
//! | `exec` is killed | SIGTERM from the guardian at once, SIGKILL when the lease runs out |
//! | the guardian is killed | SIGKILL from the kernel, and from `exec` for what it started |
//! | the guardian is stopped | `exec` kills it when the lease runs out, and so the command |
//!
//! The command runs in a process group of its own, and warnings and passed-on signals go to all of
//! it. What is killed is everything that it started, also what has left the group
//! ([`descendants`]). That is done at its own end too, before the lock is released.
//!
//! **What it does not do.** When both are stopped at once, or all processes of the machine are (a
//! hypervisor, a frozen container, a closed lid), the command may run for a moment after waking.
//! A process in an uninterruptible wait dies when that ends, and one that runs as another user
//! (`sudo`) cannot be killed by us. All of that is what `LOCKRING_FENCE` is for: let the resource
//! refuse lower fences.

mod child;
mod descendants;
mod guarded;
mod guardian;
mod line;
mod margins;
mod signals;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use clap::Args;
use lockring_client::{BootTime, LockGuard, Revocation, Session};
use rustix::process::{Signal, getpid, kill_process};
use tokio::time::sleep;

use super::endpoints::{Endpoints, run_calls};
use super::modes::Modes;
use super::{exit, print, span};
pub(super) use child::ExecChild;
use guarded::Guarded;
pub(super) use guardian::ExecGuardian;
use line::News;
use margins::{Margins, Step};
use signals::Signals;

/// The command line is wrong.
pub(super) const USAGE: u8 = 120;
/// The lock was not granted in time.
const HELD: u8 = 121;
/// The cluster could not be reached, or refused.
const FAILED: u8 = 122;
/// The lease was lost while the command ran, and the command was ended.
const LOST: u8 = 123;
/// The guardian was killed, and the command with it.
const UNWATCHED: u8 = 124;

/// Run a command while holding a lock
///
/// The lock is taken, kept alive while the command runs, and released when it ends. The command
/// finds LOCKRING_LOCK, LOCKRING_FENCE and LOCKRING_SESSION in its environment; it should send
/// the fence along with what it writes, and the receiver refuse lower ones than it has seen.
///
/// If the lease can no longer be renewed, the command gets SIGTERM and then SIGKILL, early enough
/// to be dead before anyone else is granted the lock; that holds also while this process itself is
/// stopped or after it was killed. What the command leaves behind when it ends is killed too,
/// daemons included. INT, TERM, HUP, QUIT, USR1 and USR2 are passed on to it. ^Z stops it; for
/// longer than the lease lasts it must not be stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  the command's own; 128 + N if signal N ended it
  120  the command line is wrong
  121  the lock is held by another, and --wait is over
  122  the cluster could not be reached or refused; the command was not started
  123  the lease was lost or asked back while the command ran; the command was ended
  124  the process that watches over the command was killed, and so was the command
  126  the command cannot be executed
  127  the command was not found

Examples:
  lockring exec nightly-report -- ./report.sh
  lockring exec render --permits 1/4 --wait 1h -- ./render.sh
  lockring exec db/migrate --ttl 30s --wait 10m -- sh -c 'migrate --fence $LOCKRING_FENCE'")]
pub(super) struct Exec {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
    #[command(flatten)]
    modes: Modes,
    /// How long the lease lives without renewal, and so how long after a crash of this machine
    /// others wait for it
    #[arg(long, value_parser = span::parse, value_name = "TIME", default_value = "10s")]
    ttl: Duration,
    /// How long to stand in the queue; not at all if not said
    #[arg(long, value_parser = span::parse, value_name = "TIME", default_value = "0")]
    wait: Duration,
    /// Who you are, for others to see; this machine and process if not said
    #[arg(long)]
    owner: Option<String>,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// How the command ended.
enum Ended {
    /// By itself, or by a signal that was passed on.
    Itself(u8),
    /// It was ended, because the lease was lost.
    Lost,
    /// It was ended, because nobody watched over it any more.
    Unwatched,
}

impl Exec {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // Codes below 120 are the command's.
        run_calls(self.hold_and_run()).map_err(|error| match error.downcast::<exit::Exit>() {
            Ok(exit) => exit.into(),
            Err(error) => exit::Exit {
                code: FAILED,
                message: format!("{error:#}"),
            }
            .into(),
        })
    }

    async fn hold_and_run(self) -> anyhow::Result<()> {
        let session = self.open().await.map_err(|error| failed(&error))?;
        let request = session.lock(&self.name).mode(self.modes.mode());
        let acquired = request.acquire_for(self.wait).await;
        let done = match acquired {
            Ok(guard) => self.run_under(&guard).await.map(|ended| (ended, guard)),
            Err(error) => Err(failed(&error).into()),
        };
        let (ended, guard) = match done {
            Ok(done) => done,
            Err(error) => {
                let _ = session.close().await;
                return Err(error);
            }
        };
        match ended {
            Ended::Lost => {
                // It was asked back, and its time is not over.
                if guard.is_valid() {
                    self.give_back(guard, session).await;
                }
                Err(exit::Exit::silent(LOST).into())
            }
            Ended::Unwatched => {
                self.give_back(guard, session).await;
                Err(exit::Exit::silent(UNWATCHED).into())
            }
            Ended::Itself(code) => {
                self.give_back(guard, session).await;
                match code {
                    0 => Ok(()),
                    code => Err(exit::Exit::silent(code).into()),
                }
            }
        }
    }

    async fn open(&self) -> Result<Session, lockring_client::Error> {
        let owner = self.owner.clone().unwrap_or_else(|| {
            let machine = rustix::system::uname();
            let machine = machine.nodename().to_string_lossy();
            format!("{machine}/{}", std::process::id())
        });
        let client = self.endpoints.client()?;
        client.session().ttl(self.ttl).owner(owner).open().await
    }

    /// Runs the command for as long as the lease lives.
    async fn run_under(&self, guard: &LockGuard) -> anyhow::Result<Ended> {
        let mut signals = Signals::catch()?;
        // Should the guardian die, what it watched over becomes ours.
        descendants::adopt()?;
        let mut command = Guarded::start(&self.command, guard, self.ttl)?;
        let margins = Margins::of(self.ttl);
        let mut step = Step::Run;
        let mut asked_back: Option<Revocation> = None;
        loop {
            // In this order, so that whatever comes between is counted against us.
            let now = BootTime::now();
            let certain = certain_for(guard, asked_back.as_ref());
            command.tell_until(now.plus(certain));
            let (due, look_again) = margins.step(certain);
            if due > step {
                step = due;
                self.tell(step);
            }
            tokio::select! {
                news = command.news() => match news? {
                    Some(News::Began(_)) => {}
                    Some(News::Stopped(by)) => self.tell_stopped(by),
                    Some(News::Ended { code, lost }) => {
                        command.leave().await?;
                        let lost = lost || step != Step::Run;
                        return Ok(if lost { Ended::Lost } else { Ended::Itself(code) });
                    }
                    None => {
                        descendants::kill_all(|_, _| {});
                        let lost = step != Step::Run || !guard.is_valid();
                        return Ok(if lost { Ended::Lost } else { Ended::Unwatched });
                    }
                },
                signal = signals.next() => pass_on(&command, signal)?,
                () = sleep(look_again), if step != Step::Kill => {}
                asked = guard.revoke_requested(), if asked_back.is_none() => {
                    self.end_as_asked(&command, &asked);
                    step = step.max(Step::Terminate);
                    asked_back = Some(asked);
                }
                // The cluster's word that the session is gone is final: another may hold the
                // lock already, so there is no time for a polite signal.
                _ = guard.lost(), if step != Step::Kill => {}
                // The guardian should have said by now that all is over. It is stopped, or in
                // trouble: without it the command is ours to kill.
                () = sleep(margins.guardian()), if step == Step::Kill => command.kill_guardian(),
            }
        }
    }

    /// The command has until the deadline, less what it takes to kill it.
    fn end_as_asked(&self, command: &Guarded, asked: &Revocation) {
        let (name, reason) = (&self.name, &asked.reason);
        print::note(format_args!(
            "lockring: {name} is asked back, {reason:?}: ending the command"
        ));
        command.pass_on(Signal::TERM);
        // A stopped process gets its signals only once it goes on.
        command.pass_on(Signal::CONT);
    }

    fn tell_stopped(&self, by: i32) {
        let waits = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
        if waits.contains(&by) {
            print::note(format_args!(
                "lockring: the command under {} wants the terminal, which it cannot have: give it \
                 another input, or `< /dev/null`",
                self.name
            ));
        }
    }

    fn tell(&self, step: Step) {
        let name = &self.name;
        match step {
            Step::Run => {}
            Step::Terminate => print::note(format_args!(
                "lockring: the lease of {name} is not being renewed: ending the command"
            )),
            Step::Kill => print::note(format_args!(
                "lockring: the lease of {name} is lost: the command is killed"
            )),
        }
    }

    /// The command is done. If the release is not heard, the lease ends with its TTL.
    async fn give_back(&self, guard: LockGuard, session: Session) {
        if let Err(error) = guard.release().await {
            print::note(format_args!(
                "lockring: {} is not released: {error}",
                self.name
            ));
        }
        let closed = tokio::time::timeout(Duration::from_secs(1), session.close());
        let _ = closed.await;
    }
}

/// For how long the lease is certain: at the deadline of a revoke it is taken.
fn certain_for(guard: &LockGuard, asked_back: Option<&Revocation>) -> Duration {
    let deadline = asked_back.map(|asked| asked.deadline);
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    guard.remaining().min(left.unwrap_or(Duration::MAX))
}

/// Lets the command have a signal that came to us, and stops when that was its meaning.
fn pass_on(command: &Guarded, signal: Signal) -> anyhow::Result<()> {
    command.pass_on(signal);
    if signal == Signal::TSTP {
        // Whoever started us waits for us to stop. The guardian does not, and keeps the time;
        // the signal that lets us go on is passed on when it comes.
        kill_process(getpid(), Signal::STOP)?;
    }
    Ok(())
}

fn failed(error: &lockring_client::Error) -> exit::Exit {
    let code = match error {
        lockring_client::Error::Invalid { .. } => USAGE,
        error if error.is_held() => HELD,
        error if error.code() == Some(lockring_client::wire::ErrorCode::Invalid) => USAGE,
        _ => FAILED,
    };
    exit::Exit {
        code,
        message: error.to_string(),
    }
}
