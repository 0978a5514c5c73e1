//! What READMEs point at: links to files, and commands.

use crate::tree::{File, Tree};

/// What the check asks of the tree; a made-up one in the check's own tests.
pub(crate) trait Names {
    fn exists(&self, path: &str) -> bool;
    fn read(&self, path: &str) -> String;
}

impl Names for Tree {
    fn exists(&self, path: &str) -> bool {
        Tree::exists(self, path)
    }

    fn read(&self, path: &str) -> String {
        Tree::read(self, path)
    }
}

/// Subcommands of cargo that a README may use.
const CARGO: &[&str] = &[
    "add", "bench", "build", "check", "clippy", "deny", "doc", "fmt", "install", "nextest", "run",
    "test", "tree",
];

pub(crate) fn check(readme: &File, tree: &impl Names) -> Vec<String> {
    let folder = readme
        .path
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let dead = links(&readme.text)
        .into_iter()
        .filter(|link| is_dead(link, folder, tree));
    let dead = dead.map(|link| format!("the link {link:?}"));
    let wrong = commands(&readme.text).into_iter().filter_map(|command| {
        let why = wrong(&command, tree)?;
        Some(format!("`{command}`: {why}"))
    });
    dead.chain(wrong)
        .map(|what| format!("{}: {what}", readme.path))
        .collect()
}

/// The targets of `[text](target)` outside code blocks.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if in_block {
            continue;
        }
        for part in line.split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            links.push(target.to_owned());
        }
    }
    links
}

fn is_dead(link: &str, folder: &str, tree: &impl Names) -> bool {
    let path = link.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return false;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            // A link out of the workspace leads nowhere once the workspace is cloned.
            ".." if parts.pop().is_none() => return true,
            ".." => {}
            part => parts.push(part),
        }
    }
    !tree.exists(&parts.join("/"))
}

/// Lines of code blocks and inline code that begin with `cargo`, `lockring` or a script's path.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            commands.extend(line.split(['|', ';', '&']).map(str::to_owned));
        } else {
            commands.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    let commands = commands.iter().map(|command| bare(command));
    commands.filter(|command| is_ours(command)).collect()
}

/// Without a prompt, `sudo`, settings of the environment and a comment.
fn bare(command: &str) -> String {
    let command = command.split(" #").next().unwrap_or_default();
    let words = command.split_whitespace().skip_while(|word| {
        let is_setting = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        is_setting || ["$", "sudo"].contains(word)
    });
    words.collect::<Vec<_>>().join(" ")
}

fn is_ours(command: &str) -> bool {
    let mut words = command.split(' ');
    let first = words.next().unwrap_or_default();
    let has_more = words.next().is_some();
    let is_program = first == "lockring" || first.ends_with("/lockring");
    has_more && (first == "cargo" || is_program) || ["tests/run", ".ci/run"].contains(&first)
}

/// What is wrong with a command, if anything.
fn wrong(command: &str, tree: &impl Names) -> Option<String> {
    let words: Vec<&str> = command.split(' ').collect();
    match words[0] {
        "cargo" => wrong_cargo(&words[1..], tree),
        script @ ("tests/run" | ".ci/run") => {
            (!tree.exists(script)).then(|| format!("there is no {script}"))
        }
        _ => wrong_verb(words.get(1).copied().unwrap_or_default(), tree),
    }
}

fn wrong_cargo(words: &[&str], tree: &impl Names) -> Option<String> {
    let verb = words.first()?;
    if !CARGO.contains(verb) {
        return Some(format!("cargo has no command {verb:?} here"));
    }
    let split = words
        .iter()
        .position(|word| *word == "--")
        .unwrap_or(words.len());
    let (own, passed) = words.split_at(split);
    let after = |flag: &str| own.iter().skip_while(|word| **word != flag).nth(1).copied();
    let package = after("-p").or_else(|| after("--package"));
    let folder = match package {
        None | Some("lockring") => "",
        Some("lockring-sim") => "tests/sim",
        Some(package) => package.strip_prefix("lockring-").unwrap_or(package),
    };
    if !tree.exists(&in_folder(folder, "Cargo.toml")) {
        return Some(format!("there is no package {folder:?}"));
    }
    let manifest = tree.read(&in_folder(folder, "Cargo.toml"));
    for (flag, places) in [
        ("--test", "tests"),
        ("--example", "examples"),
        ("--bench", "benches"),
    ] {
        let Some(name) = after(flag) else { continue };
        let file = in_folder(folder, &format!("{places}/{name}.rs"));
        let program = in_folder(folder, &format!("{places}/{name}/main.rs"));
        if !tree.exists(&file) && !tree.exists(&program) {
            return Some(format!("there is no {file}"));
        }
    }
    if let Some(binary) = after("--bin")
        && !manifest.contains(&format!("name = {binary:?}"))
    {
        return Some(format!("there is no binary {binary:?}"));
    }
    let runs_server = *verb == "run" && folder.is_empty() && after("--example").is_none();
    let passed = passed.get(1).filter(|_| runs_server)?;
    wrong_verb(passed, tree)
}

fn in_folder(folder: &str, path: &str) -> String {
    if folder.is_empty() {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    }
}

/// One file per verb in `src/cli/` is what makes this check possible.
fn wrong_verb(verb: &str, tree: &impl Names) -> Option<String> {
    // A placeholder or a flag of the program itself.
    if verb.is_empty() || verb.starts_with(['-', '<', '…', '[']) || verb == "help" {
        return None;
    }
    let module = verb.replace('-', "_");
    let file = format!("src/cli/{module}.rs");
    let folder = format!("src/cli/{module}/mod.rs");
    let lives = tree.exists(&file) || tree.exists(&folder);
    (!lives).then(|| format!("lockring has no verb {verb:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree in which only these exist.
    struct Made;

    impl Names for Made {
        fn exists(&self, path: &str) -> bool {
            let all = [
                "Cargo.toml",
                "core/Cargo.toml",
                "jepsen-lite/Cargo.toml",
                "src/cli/serve.rs",
                "src/cli/dev/mod.rs",
                "tests/tidy.rs",
                "core/README.md",
                "core",
                "README.md",
                "client/Cargo.toml",
                "client/examples/hold.rs",
                "src/cli/session.rs",
                "tests/run",
            ];
            all.contains(&path)
        }

        fn read(&self, path: &str) -> String {
            format!("name = {path:?}\nname = \"lockring\"")
        }
    }

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&File::new(path, text), &Made)
    }

    #[test]
    fn what_lives_is_not_complained_of() {
        for text in [
            "[core](core/README.md), [here](#here), [web](https://example.org/x)",
            "[core](core/) and [all](./README.md#top)",
            "Run `cargo run --release -- dev`, or `lockring serve --id 1`.",
            "```sh\n$ RUST_LOG=info cargo test -p lockring-core # all\nlockring dev | jq .\n```",
            "`cargo test --test tidy`, `cargo run -p lockring-client --example hold`, `tests/run`",
            "`lockring` is `cargo`'s; `lockring --help`; `cargo run --bin lockring -- help`",
            "```text\n[not](a-link)\n```",
        ] {
            assert_eq!(
                complaints("README.md", text),
                Vec::<String>::new(),
                "{text}"
            );
        }
        assert!(complaints("core/README.md", "[up](../README.md)").is_empty());
    }

    #[test]
    fn what_is_dead_is_complained_of() {
        for text in [
            "[gone](core/gone.md)",
            "[out](../elsewhere.md)",
            "`lockring fly`",
            "`./target/release/lockring fly`",
            "```sh\ncargo run --release -- fly\n```",
            "```sh\ntrue && lockring fly\n```",
            "`cargo test --test gone`",
            "`cargo test -p gone`",
            "`cargo run --bin gone`",
            "`cargo fly`",
            "`.ci/run`",
        ] {
            assert_eq!(complaints("README.md", text).len(), 1, "{text}");
        }
        assert_eq!(
            complaints("core/README.md", "[self](core/README.md)").len(),
            1
        );
    }
}
