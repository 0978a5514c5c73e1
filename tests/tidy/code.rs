//! Just enough reading of Rust to find the paths in it.

/// The text with comments, strings and characters blanked out; lines and columns stay.
pub(crate) fn code(text: &str) -> String {
    let mut scan = Scan {
        chars: text.chars().collect(),
        at: 0,
        out: String::new(),
    };
    while let Some(next) = scan.peek(0) {
        match (next, scan.peek(1)) {
            ('/', Some('/')) => scan.blank_while(|scan| scan.peek(0) != Some('\n')),
            ('/', Some('*')) => scan.blank_block_comment(),
            ('"', _) => scan.blank_string(),
            ('r', _) if scan.raw_string_hashes().is_some() => scan.blank_raw_string(),
            ('\'', Some('\\')) => {
                scan.blank(3);
                scan.blank_while(|scan| scan.peek(0) != Some('\''));
                scan.blank(1);
            }
            ('\'', _) if scan.peek(2) == Some('\'') => scan.blank(3),
            _ => scan.keep(),
        }
    }
    scan.out
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Scan {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        self.out.extend(self.peek(0));
        self.at += 1;
    }

    fn blank(&mut self, chars: usize) {
        for _ in 0..chars {
            let Some(next) = self.peek(0) else { return };
            self.out.push(if next == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn blank_while(&mut self, more: impl Fn(&Self) -> bool) {
        while self.peek(0).is_some() && more(self) {
            self.blank(1);
        }
    }

    fn blank_block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return,
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.blank(1);
                    continue;
                }
            }
            self.blank(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn blank_string(&mut self) {
        self.blank(1);
        while let Some(next) = self.peek(0) {
            self.blank(if next == '\\' { 2 } else { 1 });
            if next == '"' {
                return;
            }
        }
    }

    /// How many `#` a raw string that starts here has.
    fn raw_string_hashes(&self) -> Option<usize> {
        let before = self.at.checked_sub(1).and_then(|at| self.chars.get(at));
        if before.is_some_and(|c| c.is_alphanumeric() && *c != 'b' && *c != 'c' || *c == '_') {
            return None;
        }
        let hashes = self.chars[self.at + 1..]
            .iter()
            .take_while(|c| **c == '#')
            .count();
        (self.peek(1 + hashes) == Some('"')).then_some(hashes)
    }

    fn blank_raw_string(&mut self) {
        let hashes = self.raw_string_hashes().expect("asked before");
        self.blank(2 + hashes);
        self.blank_while(|scan| {
            let ends = scan.peek(0) == Some('"');
            !(ends && (1..=hashes).all(|ahead| scan.peek(ahead) == Some('#')))
        });
        self.blank(1 + hashes);
    }
}

/// The code without the modules that are compiled for tests only.
pub(crate) fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some(start) = rest.find("#[cfg(test)]") {
        let (before, after) = rest.split_at(start);
        kept.push_str(before);
        let ends = block_end(after).unwrap_or(after.len());
        // A declaration (`mod tests;`) ends before any block begins.
        let ends = after
            .find(';')
            .map_or(ends, |semicolon| match after.find('{') {
                Some(brace) if brace < semicolon => ends,
                Some(_) | None => semicolon + 1,
            });
        rest = &after[ends..];
    }
    kept + rest
}

/// Where the first `{…}` of the text ends.
pub(crate) fn block_end(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Whether a file holds nothing but tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.starts_with("tests/") || path.ends_with("/tests.rs")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    /// `::`
    Join,
    Sign(char),
}

pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..length]));
            length
        } else if rest.starts_with("::") {
            tokens.push(Token::Join);
            2
        } else {
            tokens.push(Token::Sign(first));
            first.len_utf8()
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Every path with two segments or more, and every one that is imported; groups are unfolded.
pub(crate) fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|at| tokens[at]);
        let goes_on = match before {
            Some(Token::Sign('.')) => true,
            // `::name` begins a path, `word::name` and `<T>::name` continue one.
            Some(Token::Join) => at >= 2 && !matches!(tokens[at - 2], Token::Sign(c) if c != '>'),
            _ => false,
        };
        if !matches!(tokens[at], Token::Word(_)) || goes_on {
            at += 1;
            continue;
        }
        let imported = matches!(before, Some(Token::Word("use" | "crate")));
        let first = paths.len();
        at = unfold(&tokens, at, &[], &mut paths);
        if !imported && paths[first].len() < 2 {
            paths.truncate(first);
        }
    }
    paths
}

/// Reads the path at `at`, after `before`; answers where it ends.
fn unfold(
    tokens: &[Token<'_>],
    mut at: usize,
    before: &[String],
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = before.to_vec();
    while let Some(Token::Word(word)) = tokens.get(at) {
        path.push((*word).to_owned());
        at += 1;
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(Token::Join), Some(Token::Word(_))) => at += 1,
            (Some(Token::Join), Some(Token::Sign('{'))) => {
                return unfold_group(tokens, at + 2, &path, paths);
            }
            _ => break,
        }
    }
    paths.push(path);
    at
}

/// Reads the elements of `prefix::{…}`; answers where the group ends.
fn unfold_group(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &[String],
    paths: &mut Vec<Vec<String>>,
) -> usize {
    paths.push(prefix.to_vec());
    loop {
        match tokens.get(at) {
            None => return at,
            Some(Token::Sign('}')) => return at + 1,
            Some(Token::Word("as")) => at += 2,
            Some(Token::Word(_)) => at = unfold(tokens, at, prefix, paths),
            Some(Token::Join | Token::Sign(_)) => at += 1,
        }
    }
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = "a /* b /* c */ d */ e // f\n\"g\\\"h\" i r#\"j\"k\"# l 'm' '\\'' 'n: &'o str";
    let words: Vec<String> = code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "e", "i", "l", "'n:", "&'o", "str"]);
    assert_eq!(code(text).chars().count(), text.chars().count());
}

#[test]
fn test_modules_are_no_code_of_the_product() {
    let text = "fn a() {}\n#[cfg(test)]\nmod t { fn b() { c } }\nfn d() {}";
    assert_eq!(without_tests(text), "fn a() {}\n\nfn d() {}");
    assert_eq!(
        without_tests("#[cfg(test)]\nmod t;\nfn d() {}"),
        "\nfn d() {}"
    );
}

#[test]
fn paths_are_found_in_groups_and_in_the_middle_of_code() {
    let code = "use a::{b, c::{d as e, f}}; use g; let h = ::i::j(k.l::<M>()); x::y!();";
    let found: Vec<String> = paths(code).iter().map(|path| path.join(".")).collect();
    let wanted = ["a", "a.b", "a.c", "a.c.d", "a.c.f", "g", "i.j", "x.y"];
    assert_eq!(found, wanted);
}
