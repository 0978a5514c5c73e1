//! The tool and the server as programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub(crate) fn tool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_jepsen-lite"))
}

/// The server of this workspace: built if it is not there yet, or is older than its sources.
pub(crate) fn lockring() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--workspace", "--bin", "lockring"]);
        // Whoever runs the tests with bugs to plant has such a binary, and it is not to be
        // replaced by another while other tests use it.
        if std::env::var_os("LOCKRING_PLANT").is_some() {
            build.args(["--features", "lockring-sim/planted"]);
        }
        let build = build.current_dir(root).status();
        assert!(build.unwrap().success());
        Path::new(env!("CARGO_BIN_EXE_jepsen-lite")).with_file_name("lockring")
    });
    built.clone()
}

pub(crate) fn says(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    format!("{out}\n{error}")
}

pub(crate) fn exits_with(output: &Output, code: i32, what: &str) {
    let said = says(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(what), "{said}");
}
