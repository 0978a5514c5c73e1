//! From an error to the exit code that scripts branch on.

use std::fmt;
use std::process::ExitCode;

use super::print;

/// An error that is not the plain "it failed" of code 1.
#[derive(Debug)]
pub(super) struct Exit {
    /// The exit code; `lockring --help` lists them.
    pub(super) code: u8,
    /// What to say; nothing if it is empty.
    pub(super) message: String,
}

impl Exit {
    /// The command line or the configuration is wrong.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self {
            code: 2,
            message: message.to_string(),
        }
    }

    /// Ends with this code, having said all there is to say.
    pub(super) fn silent(code: u8) -> Self {
        Self {
            code,
            message: String::new(),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}

/// Says what went wrong and answers the code for it.
pub(super) fn code_of(done: anyhow::Result<()>) -> ExitCode {
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    // Whoever read our output has seen enough, as `head` does: that is no failure of ours.
    if let Some(io) = error.downcast_ref::<std::io::Error>()
        && io.kind() == std::io::ErrorKind::BrokenPipe
    {
        return ExitCode::SUCCESS;
    }
    let exit = error.downcast_ref::<Exit>();
    let code = exit.map_or(1, |exit| exit.code);
    if exit.is_none_or(|exit| !exit.message.is_empty()) {
        print::note(format_args!("lockring: {error:#}"));
    }
    ExitCode::from(code)
}
