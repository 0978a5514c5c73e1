//! From an error to the exit code that scripts branch on.

use std::fmt;
use std::process::ExitCode;

use lockring_client::Error;
use lockring_client::wire::ErrorCode;

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
    let call = error.downcast_ref::<Error>();
    let code = match (exit, call) {
        (Some(exit), _) => exit.code,
        (None, Some(call)) => code_of_call(call),
        (None, None) => 1,
    };
    if exit.is_none_or(|exit| !exit.message.is_empty()) {
        print::note(format_args!("lockring: {error:#}"));
    }
    ExitCode::from(code)
}

/// What a call to the cluster came to, as an exit code.
fn code_of_call(error: &Error) -> u8 {
    match error {
        Error::Invalid { .. } => 2,
        Error::NoAnswer { .. } | Error::Distrusted { .. } => 5,
        Error::Lost(_) => 4,
        Error::Foreign { .. } => 1,
        Error::Refused { problem, .. } => match problem.code {
            ErrorCode::Held | ErrorCode::WaitTimeout | ErrorCode::Delayed => 3,
            ErrorCode::Unready | ErrorCode::Indeterminate | ErrorCode::Limit => 5,
            ErrorCode::Invalid
            | ErrorCode::TooLarge
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::MethodNotAllowed
            | ErrorCode::Malformed => 2,
            ErrorCode::Deadlock
            | ErrorCode::LimitMismatch
            | ErrorCode::UpgradeConflict
            | ErrorCode::SessionGone
            | ErrorCode::FenceStale
            | ErrorCode::NotFound
            | ErrorCode::Unauthenticated
            | ErrorCode::Forbidden => 4,
            ErrorCode::Bug => 1,
        },
    }
}
