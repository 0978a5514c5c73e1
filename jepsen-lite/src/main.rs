//! The binary: see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    jepsen_lite::cli::main()
}
