//! The command: started, signalled, waited for.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::ExitStatus;

use anyhow::Context;
use clap::Args;
use lockring_client::LockGuard;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{self, SignalKind};

use super::margins::Step;
use crate::cli::exit::Exit;

/// The command cannot be executed; the shells' code for it.
const NOT_EXECUTABLE: u8 = 126;
/// The command was not found; the shells' code for it.
const NOT_FOUND: u8 = 127;

/// What `exec` runs its command through: it ties the command's life to its own.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExecChild {
    /// The process of `exec`
    parent: u32,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl ExecChild {
    /// Becomes the command; comes back only if that cannot be.
    pub(in crate::cli) fn run(self) -> anyhow::Result<()> {
        // The wish survives becoming another program, in this same process.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // Whoever died before the wish was made does not signal any more.
        if std::os::unix::process::parent_id() != self.parent {
            return Err(Exit::silent(super::LOST).into());
        }
        let (program, arguments) = self.command.split_first().context("no command")?;
        let error = std::process::Command::new(program).args(arguments).exec();
        let code = match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        };
        Err(Exit {
            code,
            message: format!("{}: {error}", program.display()),
        }
        .into())
    }
}

/// The signals that the command shall have instead of us.
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// From now on they do not end us. To be called before the command starts: a signal in
    /// between would end us and leave it running.
    pub(super) fn catch() -> io::Result<Self> {
        let passed_on = [
            (Signal::HUP, SignalKind::hangup()),
            (Signal::INT, SignalKind::interrupt()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
        ];
        let caught = passed_on.map(|(signal, kind)| Ok((signal, unix::signal(kind)?)));
        Ok(Self(caught.into_iter().collect::<io::Result<_>>()?))
    }

    /// The next that comes. Cancellation-safe.
    pub(super) async fn next(&mut self) -> Signal {
        let waits = self.0.iter_mut().map(|(signal, arrivals)| {
            let signal = *signal;
            Box::pin(async move {
                arrivals.recv().await;
                signal
            })
        });
        futures_util::future::select_all(waits).await.0
    }
}

/// The command as it runs.
pub(super) struct Child {
    process: tokio::process::Child,
    group: Pid,
}

impl Child {
    pub(super) fn start(command: &[OsString], guard: &LockGuard) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let process = tokio::process::Command::new(program)
            .arg("exec-child")
            .arg(std::process::id().to_string())
            .arg("--")
            .args(command)
            .env("LOCKRING_LOCK", guard.lock())
            .env("LOCKRING_FENCE", guard.fence().to_string())
            .env("LOCKRING_SESSION", guard.session())
            .process_group(0)
            .spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = group.context("the command ended as it was started")?;
        Ok(Self { process, group })
    }

    /// Waits for its end, and answers its exit code as a shell would tell it. Cancellation-safe.
    pub(super) async fn wait(&mut self) -> io::Result<u8> {
        Ok(code_of(self.process.wait().await?))
    }

    pub(super) fn pass_on(&self, signal: Signal) {
        // A group that is gone needs no signal any more.
        let _ = kill_process_group(self.group, signal);
    }

    /// Does what the step says, to the whole group.
    pub(super) fn end(&self, step: Step) {
        match step {
            Step::Run => {}
            Step::Terminate => {
                self.pass_on(Signal::TERM);
                // A stopped process gets its signals only once it goes on.
                self.pass_on(Signal::CONT);
            }
            Step::Kill => self.pass_on(Signal::KILL),
        }
    }

    /// Kills what the command left behind, so that nothing of it outlives the lease.
    pub(super) fn clear_group(&self) {
        self.pass_on(Signal::KILL);
    }
}

/// The code, or 128 and the signal's number.
fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}
