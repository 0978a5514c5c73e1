//! Patterns as Redis matches keys with them: `*`, `?`, `[a-c]`, `[^a]`, `\` before a plain one.

/// Whether `text` is of `pattern`. The work is bounded by the product of the lengths: only the last
/// `*` is ever come back to, for what an earlier one took need not change.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern_at, mut text_at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let rest = &pattern[pattern_at..];
        if let [b'*', ..] = rest {
            star = Some((pattern_at + 1, text_at));
            pattern_at += 1;
            continue;
        }
        match (text.get(text_at), rest) {
            (None, []) => return true,
            (Some(byte), [_, ..]) => {
                let (length, fits) = one(rest, *byte);
                if fits {
                    pattern_at += length;
                    text_at += 1;
                    continue;
                }
            }
            (None, [_, ..]) => return false,
            (Some(_), []) => {}
        }
        match &mut star {
            None => return false,
            Some((after, from)) => {
                *from += 1;
                (pattern_at, text_at) = (*after, *from);
            }
        }
    }
}

/// How long the first element of a pattern is, and whether it is of this byte.
fn one(pattern: &[u8], byte: u8) -> (usize, bool) {
    match pattern {
        [b'?', ..] => (1, true),
        [b'\\', escaped, ..] => (2, *escaped == byte),
        [b'[', ..] => class(pattern, byte),
        [plain, ..] => (1, *plain == byte),
        [] => (0, false),
    }
}

fn class(pattern: &[u8], byte: u8) -> (usize, bool) {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut fits = false;
    loop {
        match &pattern[at..] {
            // A class that is not closed ends with the pattern.
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                fits |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                fits |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [plain, ..] => {
                fits |= *plain == byte;
                at += 1;
            }
        }
    }
    (at, fits != negated)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("h*o", "hello", true),
            ("h*o*x", "hello", false),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hxllo", false),
            ("a**b", "axxb", true),
            ("[abc", "b", true),
            ("", "", true),
            ("", "a", false),
            ("user:*:name", "user:12:name", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                wanted,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "a*".repeat(40) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5_000).as_bytes()));
    }
}
