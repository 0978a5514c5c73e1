//! The table of `architecture.md` §2.

use std::collections::BTreeMap;

use crate::code::{code, is_test_file, paths, without_tests};
use crate::tree::File;

/// A folder or file at the top of `src/`, and what it may import of the others.
const FLOORS: &[(&str, &[&str])] = &[
    ("planted", &["core"]),
    ("chance", &[]),
    ("watch", &[]),
    ("clock", &["core", "planted"]),
    ("storage", &["core", "planted", "chance", "watch"]),
    ("network", &["core", "chance", "watch"]),
    ("config", &["core"]),
    (
        "consensus",
        &[
            "core", "planted", "chance", "watch", "clock", "storage", "network",
        ],
    ),
    (
        "service",
        &[
            "core",
            "chance",
            "watch",
            "consensus",
            "config",
            "storage::history",
        ],
    ),
    ("http", &["core", "watch", "client::wire", "service"]),
    ("cache", &["core", "client"]),
    (
        "server",
        &[
            "core",
            "client",
            "watch",
            "clock",
            "storage",
            "network",
            "config",
            "consensus",
            "service",
            "http",
            "cache",
        ],
    ),
    (
        "cli",
        &["core", "planted", "server", "config", "client", "cache"],
    ),
    ("main", &["server", "config", "client", "cache", "cli"]),
    ("lib", &[]),
];

/// The order inside core: a module may use those above it in this list and those in its own line.
const CORE: &[&[&str]] = &[
    &[
        "limits", "name", "slot", "time", "fence", "mode", "digest", "paged", "planted",
    ],
    &["command", "outcome", "event", "view"],
    TABLES,
    &["machine"],
    &["audit"],
    &["snapshot"],
];

/// The one line whose modules do not know each other; only the machine joins them.
const TABLES: &[&str] = &["session", "lock", "ring", "deadlines"];

/// The floor of a file of the server, and what it may import.
pub(crate) fn of(path: &str) -> Option<(&'static str, &'static [&'static str])> {
    let inside = path.strip_prefix("src/")?;
    let top = inside.split('/').next()?;
    let top = top.strip_suffix(".rs").unwrap_or(top);
    FLOORS.iter().find(|(floor, _)| *floor == top).copied()
}

/// What a crate's root calls by a short name, and the module where it really is.
pub(crate) fn exports(root: &str) -> BTreeMap<String, String> {
    let code = code(root);
    let uses = code
        .split(';')
        .filter_map(|statement| statement.split_once("pub use "));
    let paths = uses.flat_map(|(_, path)| paths(&format!("use {path}")));
    let long = paths.filter(|path| path.len() > 1);
    long.map(|path| (path[path.len() - 1].clone(), path[0].clone()))
        .collect()
}

/// Complaints about a file of any crate of the workspace.
pub(crate) fn check(file: &File, exports: &BTreeMap<String, String>) -> Vec<String> {
    let top = file.path.split('/').next().unwrap_or_default();
    let allowed: &[&str] = match top {
        "src" => match of(&file.path) {
            Some(("lib", _)) | None => return Vec::new(),
            Some((_, allowed)) => allowed,
        },
        // Their own name is how their examples and tests see them.
        "core" => &["core"],
        "client" => &["core", "client"],
        "jepsen-lite" => &["client"],
        _ => return Vec::new(),
    };
    let own = of(&file.path).map(|(floor, _)| floor);
    let mut complaints: Vec<String> = paths(&code(&file.text))
        .iter()
        .filter_map(|path| imported(path, &file.path, exports))
        .filter(|import| Some(import.split("::").next().unwrap_or_default()) != own)
        .filter(|import| !allowed.iter().any(|allowed| is_within(import, allowed)))
        .map(|import| format!("{} imports {import}, may import {allowed:?}", file.path))
        .collect();
    complaints.sort();
    complaints.dedup();
    complaints
}

fn is_within(import: &str, allowed: &str) -> bool {
    import == allowed
        || import
            .strip_prefix(allowed)
            .is_some_and(|rest| rest.starts_with("::"))
}

/// What of the workspace a path names, if anything: `core`, `client::wire`, `storage::history`, …
fn imported(path: &[String], file: &str, exports: &BTreeMap<String, String>) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let of_crate = |name: &str| {
        let module = rest
            .first()
            .filter(|module| module.starts_with(char::is_lowercase));
        Some(module.map_or(name.to_owned(), |module| format!("{name}::{module}")))
    };
    match first.as_str() {
        "lockring_core" => of_crate("core"),
        "lockring_client" => of_crate("client"),
        // The binary and the tools see the server's crate by its name.
        "lockring" if !file.starts_with("src/") => Some("the server".to_owned()),
        "lockring" => of_server(rest, exports),
        "crate" if file.starts_with("src/") => of_server(rest, exports),
        "super" if file.starts_with("src/") => {
            let ups = path.iter().take_while(|word| *word == "super").count();
            let inside = file.strip_prefix("src/")?.trim_end_matches(".rs");
            let depth = inside.trim_end_matches("/mod").split('/').count();
            (ups == depth)
                .then(|| of_server(&path[ups..], exports))
                .flatten()
        }
        _ => None,
    }
}

fn of_server(rest: &[String], exports: &BTreeMap<String, String>) -> Option<String> {
    let first = rest.first()?;
    let floor = exports.get(first).unwrap_or(first);
    FLOORS.iter().find(|(name, _)| name == floor)?;
    let deeper = rest
        .get(1)
        .filter(|module| module.starts_with(char::is_lowercase));
    Some(deeper.map_or(floor.clone(), |deeper| format!("{floor}::{deeper}")))
}

/// Complaints about the order inside core.
pub(crate) fn check_core(file: &File, exports: &BTreeMap<String, String>) -> Vec<String> {
    let inside = file.path.strip_prefix("core/src/");
    let Some(inside) = inside.filter(|_| !is_test_file(&file.path)) else {
        return Vec::new();
    };
    let own = inside
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    if own == "lib" {
        return Vec::new();
    }
    let line = |module: &str| CORE.iter().position(|line| line.contains(&module));
    let Some(own_line) = line(own) else {
        return vec![format!("{} has no place in the order of core", file.path)];
    };
    let is_below = |module: &str| match line(module) {
        Some(other) if other == own_line => module == own || CORE[own_line] != TABLES,
        Some(other) => other < own_line,
        // A name of the root that no module exports.
        None => true,
    };
    let product = without_tests(&code(&file.text));
    let mut complaints: Vec<String> = paths(&product)
        .iter()
        .filter(|path| path[0] == "crate" && path.len() > 1)
        .map(|path| exports.get(&path[1]).unwrap_or(&path[1]).as_str())
        .filter(|module| !is_below(module))
        .map(|module| format!("{} imports {module}, which is not below it", file.path))
        .collect();
    complaints.sort();
    complaints.dedup();
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        let root = "pub mod consensus; pub use consensus::Replica;";
        check(&File::new(path, text), &exports(root)).len()
    }

    #[test]
    fn what_lies_below_may_be_imported_and_nothing_else() {
        assert_eq!(
            complaints("src/consensus/raft.rs", "use crate::{clock, storage::wal};"),
            0
        );
        assert_eq!(
            complaints("src/network/dial.rs", "use super::frame::Frame;"),
            0
        );
        assert_eq!(
            complaints("src/network/dial.rs", "use lockring_core::NodeId;"),
            0
        );
        assert_eq!(
            complaints("src/service/feed.rs", "use crate::storage::history::Page;"),
            0
        );

        assert_eq!(
            complaints("src/storage/mod.rs", "use crate::network::Frame;"),
            1
        );
        assert_eq!(
            complaints("src/storage/mod.rs", "use crate::{core, consensus as c};"),
            1
        );
        assert_eq!(
            complaints("src/storage/mod.rs", "use super::consensus::Replica;"),
            1
        );
        assert_eq!(
            complaints("src/storage/wal/a.rs", "super::super::super::http::f();"),
            1
        );
        assert_eq!(
            complaints("src/storage/mod.rs", "fn f(r: crate::Replica) {}"),
            1
        );
        assert_eq!(
            complaints("src/service/feed.rs", "use crate::storage::wal::Wal;"),
            1
        );
        assert_eq!(
            complaints("src/http/locks.rs", "use lockring_client::Client;"),
            1
        );
    }

    #[test]
    fn the_other_crates_keep_to_their_place() {
        assert_eq!(
            complaints("jepsen-lite/src/lib.rs", "use lockring_client::Client;"),
            0
        );
        assert_eq!(
            complaints("jepsen-lite/src/lib.rs", "use lockring::server::run;"),
            1
        );
        assert_eq!(
            complaints("jepsen-lite/src/lib.rs", "use lockring_core::Op;"),
            1
        );
        assert_eq!(
            complaints("client/src/client.rs", "use lockring_core::LockName;"),
            0
        );
        assert_eq!(
            complaints("core/src/lib.rs", "use lockring_client::wire;"),
            1
        );
    }

    #[test]
    fn the_tables_of_the_core_do_not_know_each_other() {
        let root = exports("pub use machine::Machine; pub use name::{LockName, NodeId};");
        let count = |path: &str, text: &str| check_core(&File::new(path, text), &root).len();
        assert_eq!(count("core/src/lock/mod.rs", "use crate::LockName;"), 0);
        assert_eq!(
            count("core/src/lock/queue.rs", "use crate::lock::lease::Lease;"),
            0
        );
        assert_eq!(
            count("core/src/lock/mod.rs", "use crate::session::Table;"),
            1
        );
        assert_eq!(
            count("core/src/lock/mod.rs", "use crate::{Machine, NodeId};"),
            1
        );
        assert_eq!(count("core/src/name.rs", "use crate::command::Op;"), 1);
        assert_eq!(
            count("core/src/machine.rs", "use crate::session::Table;"),
            0
        );
    }
}
