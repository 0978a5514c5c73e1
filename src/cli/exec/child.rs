//! What becomes the command.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;

use anyhow::Context;
use clap::Args;
use rustix::process::Signal;

use crate::cli::exit::Exit;

/// The command cannot be executed; the shells' code for it.
const NOT_EXECUTABLE: u8 = 126;
/// The command was not found; the shells' code for it.
const NOT_FOUND: u8 = 127;

/// What the guardian runs the command through: it ties the command's life to the guardian's.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExecChild {
    /// The process of the guardian
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
