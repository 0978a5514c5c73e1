//! The command as `exec` sees it: through the guardian.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use lockring_client::{BootTime, LockGuard};
use rustix::process::Signal;

use super::line::{self, Line, News, Order};

/// The guardian and, behind it, the command.
pub(super) struct Guarded {
    guardian: tokio::process::Child,
    line: Line,
}

impl Guarded {
    pub(super) fn start(
        command: &[OsString],
        guard: &LockGuard,
        ttl: Duration,
    ) -> anyhow::Result<Self> {
        let (ours, theirs) = line::pair()?;
        let program = std::env::current_exe().context("where this program is")?;
        let guardian = tokio::process::Command::new(program)
            .arg("exec-guardian")
            .arg(ttl.as_millis().to_string())
            .arg("--")
            .args(command)
            .env("LOCKRING_LOCK", guard.lock())
            .env("LOCKRING_FENCE", guard.fence().to_string())
            .env("LOCKRING_SESSION", guard.session())
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .spawn()?;
        let input = io::stdin();
        // In this order, so that whatever comes between is counted against us.
        let now = BootTime::now();
        let until = Order::Until(now.plus(guard.remaining()).nanos());
        line::send_first(ours.as_fd(), until, input.as_fd())?;
        let line = Line::new(ours)?;
        Ok(Self { guardian, line })
    }

    /// Tells the guardian until when the lease is certain.
    pub(super) fn tell_until(&self, until: BootTime) {
        self.line.tell(&Order::Until(until.nanos()));
    }

    pub(super) fn pass_on(&self, signal: Signal) {
        self.line.tell(&Order::Pass(signal.as_raw()));
    }

    /// What the guardian tells; nothing when it is dead. Cancellation-safe.
    pub(super) async fn news(&self) -> io::Result<Option<News>> {
        self.line.next().await
    }

    /// Takes the guardian away: what it watched over becomes ours.
    pub(super) fn kill_guardian(&mut self) {
        // Fails if it is dead already, and then that was wanted.
        let _ = self.guardian.start_kill();
    }

    /// Waits for the guardian to end after its last words.
    pub(super) async fn leave(mut self) -> io::Result<()> {
        self.guardian.wait().await.map(drop)
    }
}
