//! Where log lines go.

use std::io;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

/// Logs to standard error from now on, what the filter lets through.
///
/// # Errors
/// When the filter is not one.
pub fn log_to_stderr(filter: &str, format: LogFormat) -> Result<(), String> {
    // What openraft says is news to its authors, a page of it for each lost connection; lockring
    // tells itself of leaders, members and failures. Who wants it says `info,openraft=info`. The
    // history tells of sled's failures, which are no emergency: it is derived from the log.
    let quiet = format!("openraft=off,sled=off,{filter}");
    let filter = EnvFilter::try_new(quiet)
        .map_err(|error| format!("the log filter `{filter}` is none: {error}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => lines
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| format!("logging is set up twice: {error}"))
}
