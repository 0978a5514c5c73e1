//! Lengths, names and words.

use crate::code::{Token, block_end, code, is_test_file, tokens, without_tests};
use crate::tree::File;

const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// Names that say where something was put, and not what it is.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "shared", "manager", "types",
];

pub(crate) fn check_lengths(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        complaints.push(format!(
            "{} has {lines} lines, at most {LINES_MAX}",
            file.path
        ));
    }
    for (number, line) in file.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            let at = format!("{}:{}", file.path, number + 1);
            complaints.push(format!("{at} has {columns} columns, at most {COLUMNS_MAX}"));
        }
    }
    complaints.extend(long_functions(file));
    complaints
}

fn long_functions(file: &File) -> Vec<String> {
    let code = code(&file.text);
    let mut complaints = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let begins = !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &code[start..];
        // Without a body (`fn f();` in a trait, `fn(u8)` as a type) there is nothing to measure.
        let body = rest.find('{').filter(|brace| !rest[..*brace].contains(';'));
        let Some(end) = body.filter(|_| begins).and_then(|_| block_end(rest)) else {
            continue;
        };
        let lines = rest[..end].lines().count();
        if lines > FUNCTION_LINES_MAX {
            let name = rest[3..].split(['(', '<']).next().unwrap_or_default();
            let line = code[..start].lines().count();
            let at = format!("{}:{line}", file.path);
            complaints.push(format!(
                "{at} {name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
            ));
        }
    }
    complaints
}

pub(crate) fn check_name(file: &File) -> Option<String> {
    let stem = file.path.trim_end_matches(".rs");
    let mut words = stem.split('/');
    let empty = words.find(|word| EMPTY_NAMES.contains(word))?;
    Some(format!(
        "{}: {empty:?} says where it was put, not what it is",
        file.path
    ))
}

pub(crate) fn check_words(file: &File) -> Vec<String> {
    let code = code(&file.text);
    let tokens = tokens(&code);
    let mut complaints = Vec::new();
    let mut complain = |what: &str| complaints.push(format!("{} has {what}", file.path));
    for pair in tokens.windows(2) {
        match pair {
            [
                Token::Word(word @ ("todo" | "unimplemented")),
                Token::Sign('!'),
            ] => complain(word),
            [
                Token::Sign('['),
                Token::Word(word @ ("ignore" | "should_panic")),
            ] => complain(word),
            [Token::Sign(','), Token::Word(word @ "should_panic")] => complain(word),
            _ => {}
        }
    }
    if !is_test_file(&file.path) && without_tests(&code).contains(".unwrap()") {
        complain("an unwrap outside tests");
    }
    complaints
}

pub(crate) fn check_core(file: &File) -> Vec<String> {
    if !file.path.starts_with("core/src/") || is_test_file(&file.path) {
        return Vec::new();
    }
    let product = without_tests(&code(&file.text));
    let tokens = tokens(&product);
    let banned = [
        "HashMap",
        "HashSet",
        "f32",
        "f64",
        "std",
        "Instant",
        "SystemTime",
    ];
    let found = banned
        .iter()
        .filter(|word| tokens.contains(&Token::Word(word)));
    found
        .map(|word| format!("{} uses {word}", file.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::new("src/network/dial.rs", text)
    }

    #[test]
    fn what_is_too_long_is_found() {
        assert!(check_lengths(&file(&"\n".repeat(500))).is_empty());
        assert_eq!(check_lengths(&file(&"\n".repeat(501))).len(), 1);
        assert!(check_lengths(&file(&"ä".repeat(100))).is_empty());
        assert_eq!(check_lengths(&file(&"ä".repeat(101))).len(), 1);
        let function = |lines: usize| format!("fn f() {{{}}}\nfn g() {{}}", "\n".repeat(lines - 1));
        assert!(check_lengths(&file(&function(70))).is_empty());
        assert_eq!(check_lengths(&file(&function(71))).len(), 1);
        assert!(
            check_lengths(&file(&format!("trait T {{ fn f(); {}}}", "\n".repeat(99)))).is_empty()
        );
    }

    #[test]
    fn empty_names_are_found_as_files_and_as_folders() {
        assert!(check_name(&File::new("src/http/utils.rs", "")).is_some());
        assert!(check_name(&File::new("src/common/mod.rs", "")).is_some());
        assert!(check_name(&File::new("src/http/utility.rs", "")).is_none());
    }

    #[test]
    fn what_is_left_undone_is_found() {
        for text in [
            "fn f() { todo!() }",
            "fn f() { unimplemented!() }",
            "#[ignore] fn f() {}",
            "#[ignore = \"slow\"] fn f() {}",
            "#[should_panic] fn f() {}",
            "#[test_case(1), should_panic] fn f() {}",
            "fn f() { a.unwrap() }",
        ] {
            assert_eq!(check_words(&file(text)).len(), 1, "{text}");
        }
        let fine = "// todo!()\nfn f() { ignore(\"#[ignore]\", a.unwrap_or(1)) }";
        assert!(check_words(&file(fine)).is_empty());
        let tested = "fn f() {}\n#[cfg(test)]\nmod tests { fn g() { a.unwrap() } }";
        assert!(check_words(&file(tested)).is_empty());
        assert!(check_words(&File::new("tests/a.rs", "a.unwrap()")).is_empty());
    }

    #[test]
    fn what_the_core_must_not_use_is_found() {
        let count = |text: &str| check_core(&File::new("core/src/machine.rs", text)).len();
        assert_eq!(count("struct A { b: f64 }"), 1);
        assert_eq!(count("use std::collections::HashMap;"), 2);
        assert_eq!(
            count("// f64\n#[cfg(test)]\nmod tests { use std::fmt; }"),
            0
        );
        assert!(check_core(&file("struct A { b: f64 }")).is_empty());
    }
}
