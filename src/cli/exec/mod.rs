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
//! **The parts.** The command runs in a process group of its own, so that both signals reach what
//! it started, and signals that we get are passed on to it. It is started through `exec-child`,
//! which asks the kernel to kill it if this process dies, SIGKILL included.
//!
//! **What it does not do.** A process that leaves the group (setsid) is out of reach. If the
//! machine itself sleeps past the lease, the command may run for a moment after waking before it
//! is killed. Both are what `LOCKRING_FENCE` is for: let the resource refuse lower fences.

mod child;
mod margins;

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use lockring_client::{LockGuard, Session};
use tokio::time::sleep;

use super::endpoints::{Endpoints, run_calls};
use super::{exit, print, span};
pub(super) use child::ExecChild;
use child::{Child, Signals};
use margins::{Margins, Step};

/// The command line is wrong.
pub(super) const USAGE: u8 = 120;
/// The lock was not granted in time.
const HELD: u8 = 121;
/// The cluster could not be reached, or refused.
const FAILED: u8 = 122;
/// The lease was lost while the command ran, and the command was ended.
const LOST: u8 = 123;

/// Run a command while holding a lock
///
/// The lock is taken, kept alive while the command runs, and released when it ends. The command
/// finds LOCKRING_LOCK, LOCKRING_FENCE and LOCKRING_SESSION in its environment; it should send
/// the fence along with what it writes, and the receiver refuse lower ones than it has seen.
///
/// If the lease can no longer be renewed, the command gets SIGTERM and then SIGKILL, early enough
/// to be dead before anyone else is granted the lock. What it leaves behind in its process group
/// when it ends is killed too.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  the command's own; 128 + N if signal N ended it
  120  the command line is wrong
  121  the lock is held by another, and --wait is over
  122  the cluster could not be reached or refused; the command was not started
  123  the lease was lost while the command ran; the command was ended
  126  the command cannot be executed
  127  the command was not found

Examples:
  lockring exec nightly-report -- ./report.sh
  lockring exec db/migrate --ttl 30s --wait 10m -- sh -c 'migrate --fence $LOCKRING_FENCE'")]
pub(super) struct Exec {
    /// The lock
    name: String,
    #[command(flatten)]
    endpoints: Endpoints,
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
        let acquired = session.acquire_for(&self.name, self.wait).await;
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
            Ended::Lost => Err(exit::Exit::silent(LOST).into()),
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
        let mut child = Child::start(&self.command, guard)?;
        let margins = Margins::of(self.ttl);
        let mut step = Step::Run;
        loop {
            let (next, look_again) = margins.step(guard.remaining());
            let next = next.max(step);
            if next != step {
                step = next;
                self.tell(step);
                child.end(step);
            }
            if step == Step::Kill {
                child.wait().await?;
                return Ok(Ended::Lost);
            }
            let mut passed_on = None;
            tokio::select! {
                code = child.wait() => {
                    child.clear_group();
                    let code = code?;
                    return Ok(if step == Step::Run { Ended::Itself(code) } else { Ended::Lost });
                }
                signal = signals.next() => passed_on = Some(signal),
                () = sleep(look_again) => {}
                // The cluster's word that the session is gone is final: another may hold the
                // lock already, so there is no time for a polite signal.
                _ = guard.lost() => {}
            }
            if let Some(signal) = passed_on {
                child.pass_on(signal);
            }
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
