//! Foreign crates behind their doors, and clocks where time is made.

use crate::code::{code, is_test_file, paths, without_tests};
use crate::tree::File;

/// A foreign crate and the only places that may name it.
const DOORS: &[(&str, &[&str])] = &[
    (
        "anyhow",
        &[
            "src/cli/",
            "src/main.rs",
            "jepsen-lite/",
            "examples/",
            "client/examples/",
        ],
    ),
    ("arc_swap", &["client/src/", "src/cache/"]),
    ("axum", &["src/http/", "tests/cache/", "tests/stores/"]),
    (
        "clap",
        &["src/cli/", "src/main.rs", "jepsen-lite/", "tests/sim/"],
    ),
    ("clap_complete", &["src/cli/"]),
    ("openraft", &["src/consensus/"]),
    ("quick_cache", &["src/cache/store/"]),
    (
        "redis",
        &["client/src/fence/", "tests/stores/", "tests/cache/"],
    ),
    ("redis_protocol", &["src/cache/tests/"]),
    ("openraft_rt", &["src/consensus/"]),
    ("sha1", &["core/src/"]),
    ("sled", &["src/storage/"]),
    ("tokio_postgres", &["client/src/fence/", "tests/stores/"]),
    (
        "tokio_rustls",
        &["src/network/", "src/http/", "client/src/", "jepsen-lite/"],
    ),
    ("toml", &["src/config/"]),
    ("tower", &["src/http/"]),
    ("tower_layer", &["client/src/fence/"]),
    ("tower_service", &["client/src/fence/"]),
    (
        "tracing_subscriber",
        &["src/server/", "jepsen-lite/", "tests/sim/"],
    ),
];

/// Where the server may look at a clock: the clock itself, and where nothing is decided by it but
/// durations are measured for people. The other crates are clients, and core has no `std`.
const CLOCKS: &[&str] = &["src/clock.rs", "src/http/", "src/cache/", "src/cli/"];

pub(crate) fn check_crates(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for path in paths(&code(&file.text)) {
        let door = DOORS.iter().find(|(name, _)| *name == path[0]);
        let Some((name, places)) = door else { continue };
        let is_within = places.iter().any(|place| file.path.starts_with(place));
        let complaint = format!("{} names {name}, whose door is {places:?}", file.path);
        if !is_within && !complaints.contains(&complaint) {
            complaints.push(complaint);
        }
    }
    complaints
}

pub(crate) fn check_clocks(file: &File) -> Vec<String> {
    let exempt = is_test_file(&file.path)
        || !file.path.starts_with("src/")
        || CLOCKS.iter().any(|place| file.path.starts_with(place));
    if exempt {
        return Vec::new();
    }
    let product = without_tests(&code(&file.text));
    let reads = ["Instant::now", "SystemTime::now", "UNIX_EPOCH"];
    let found = reads.iter().filter(|read| product.contains(*read));
    found
        .map(|read| format!("{} reads a clock: {read}", file.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_found_however_it_is_named() {
        let count = |path: &str, text: &str| check_crates(&File::new(path, text)).len();
        for text in [
            "use openraft::Raft;",
            "use openraft as raft;",
            "fn f() -> openraft::Config { ::openraft::f() }",
            "#[derive(openraft::Name)] struct A;",
            "use {openraft::Raft, std::fmt};",
        ] {
            assert_eq!(count("src/service/locks.rs", text), 1, "{text}");
            assert_eq!(count("src/consensus/raft.rs", text), 0, "{text}");
        }
        assert_eq!(
            count("src/service/locks.rs", "// openraft::Raft\nlet sled = 1;"),
            0
        );
        assert_eq!(
            count("src/service/locks.rs", "use crate::axum::sled::clap;"),
            0
        );
    }

    #[test]
    fn a_clock_is_found_outside_tests() {
        let count = |path: &str, text: &str| check_clocks(&File::new(path, text)).len();
        let text = "let t = std::time::Instant::now();";
        assert_eq!(count("src/consensus/term.rs", text), 1);
        assert_eq!(
            count("src/consensus/term.rs", "tokio::time::Instant::now();"),
            1
        );
        assert_eq!(count("src/storage/wal/mod.rs", "SystemTime::now()"), 1);
        assert_eq!(count("src/clock.rs", text), 0);
        assert_eq!(count("src/cli/bench.rs", text), 0);
        assert_eq!(
            count(
                "src/consensus/term.rs",
                &format!("#[cfg(test)] mod t {{{text}}}")
            ),
            0
        );
        assert_eq!(count("src/consensus/term.rs", "// not Instant::now"), 0);
    }
}
