//! Parse, dispatch, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    lockring::cli::main()
}
