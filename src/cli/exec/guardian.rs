//! The guardian: a process beside `exec` that sees to it that the command dies in time, also when
//! `exec` itself is stopped and can do nothing.
//!
//! It starts the command and is told, over and over, until when the lease is certain. When it has
//! not been told better in time, it warns and kills, and everything that the command started with
//! it. When its line to `exec` ends, `exec` is dead and nobody renews: it warns at once, and
//! kills when the lease runs out.
//!
//! It has a process group of its own, so that what a terminal sends to `exec` does not reach it,
//! and signals do not end it: who ends a command under a lock ends `exec`.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lockring_client::BootTime;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::descendants;
use super::line::{self, Line, News, Order};
use super::margins::{Margins, Step};
use super::signals::Signals;
use crate::cli::endpoints::run_calls;

/// What watches over the command of `exec`; its standard input is its line to it.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExecGuardian {
    /// The TTL of the lease, in milliseconds
    ttl_ms: u64,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl ExecGuardian {
    pub(in crate::cli) fn run(self) -> anyhow::Result<()> {
        run_calls(self.watch())
    }

    async fn watch(self) -> anyhow::Result<()> {
        let mut not_for_us = Signals::catch()?;
        let mut child_changed = signal(SignalKind::child())?;
        descendants::adopt()?;
        let end = io::stdin().as_fd().try_clone_to_owned()?;
        let Some((Order::Until(until), input)) = line::receive_first(end.as_fd())? else {
            return Ok(());
        };
        let line = Line::new(end)?;
        let command = start(&self.command, input)?;
        line.tell(&News::Began(command.as_raw_pid()));
        let mut watch = Watch {
            line,
            command,
            until: BootTime::from_nanos(until),
            margins: Margins::of(Duration::from_millis(self.ttl_ms)),
            step: Step::Run,
            code: None,
        };
        while watch.code.is_none() {
            let look_again = watch.look();
            if watch.step == Step::Kill {
                break;
            }
            tokio::select! {
                order = watch.line.next() => watch.follow(order?),
                _ = child_changed.recv() => watch.reap(),
                _ = not_for_us.next() => {}
                () = sleep(look_again) => {}
            }
        }
        watch.finish();
        Ok(())
    }
}

struct Watch {
    line: Line,
    command: Pid,
    until: BootTime,
    margins: Margins,
    step: Step,
    /// How the command ended, once it has.
    code: Option<u8>,
}

impl Watch {
    /// Does what is due, and answers when to look again.
    fn look(&mut self) -> Duration {
        let (due, look_again) = self.margins.step(BootTime::now().until(self.until));
        self.go_on_to(due);
        look_again
    }

    fn go_on_to(&mut self, due: Step) {
        if due <= self.step {
            return;
        }
        self.step = due;
        if due == Step::Terminate {
            self.pass(Signal::TERM);
            // A stopped process gets its signals only once it goes on.
            self.pass(Signal::CONT);
        }
    }

    fn follow(&mut self, order: Option<Order>) {
        match order {
            Some(Order::Until(nanos)) => self.until = BootTime::from_nanos(nanos),
            Some(Order::Pass(raw)) => {
                if let Some(signal) = Signal::from_named_raw(raw) {
                    self.pass(signal);
                }
            }
            None => self.go_on_to(Step::Terminate),
        }
    }

    fn pass(&self, signal: Signal) {
        // Not reaped yet, so the number is still the group's; it may be gone all the same.
        let _ = kill_process_group(self.command, signal);
    }

    fn reap(&mut self) {
        let Self {
            line,
            command,
            code,
            ..
        } = self;
        descendants::reap(WaitOptions::UNTRACED, |pid, status| {
            if pid != *command {
                return;
            }
            match status.stopping_signal() {
                Some(stopped_by) => line.tell(&News::Stopped(stopped_by)),
                None => *code = Some(code_of(status)),
            }
        });
    }

    /// Kills what is left, so that nothing of it outlives the lease, and says how it ended.
    fn finish(mut self) {
        if self.code.is_none() {
            self.pass(Signal::KILL);
        }
        let (command, code) = (self.command, &mut self.code);
        descendants::kill_all(|pid, status| {
            if pid == command && !status.stopped() {
                *code = Some(code_of(status));
            }
        });
        self.line.tell(&News::Ended {
            code: self.code.unwrap_or(u8::MAX),
            lost: self.step != Step::Run,
        });
    }
}

fn start(command: &[OsString], input: OwnedFd) -> anyhow::Result<Pid> {
    let program = std::env::current_exe().context("where this program is")?;
    let process = std::process::Command::new(program)
        .arg("exec-child")
        .arg(std::process::id().to_string())
        .arg("--")
        .args(command)
        .stdin(Stdio::from(input))
        .process_group(0)
        .spawn()?;
    Pid::from_raw(process.id().cast_signed()).context("a process has a number")
}

/// The code, or 128 and the signal's number.
fn code_of(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}
