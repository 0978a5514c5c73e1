//! A line of words, as Redis splits it: `"…"` with escapes, `'…'` with `\'`, anything else bare.

use std::ops::Range;

/// Appends the words of `line`, unquoted, to `text`, and where each stands to `words`; `None` when
/// a quote is not closed or is followed by something else than a space.
pub(super) fn split(line: &[u8], text: &mut Vec<u8>, words: &mut Vec<Range<usize>>) -> Option<()> {
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_space(*first)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(());
        }
        let start = text.len();
        rest = word(rest, text)?;
        words.push(start..text.len());
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Reads one word; answers what follows it.
fn word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [b'"', tail @ ..] => return closed(double_quoted(tail, text)?),
            [b'\'', tail @ ..] => return closed(single_quoted(tail, text)?),
            [byte, ..] if is_space(*byte) || *byte == 0 => return Some(&rest[1..]),
            [byte, tail @ ..] => {
                text.push(*byte);
                rest = tail;
            }
        }
    }
}

/// A closing quote ends the word.
fn closed(rest: &[u8]) -> Option<&[u8]> {
    rest.first()
        .is_none_or(|byte| is_space(*byte))
        .then_some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, length) = match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, ..] if digit(*high).is_some() && digit(*low).is_some() => {
                (digit(*high)? * 16 + digit(*low)?, 4)
            }
            [b'\\', escaped, ..] => (unescaped(*escaped), 2),
            [byte, ..] => (*byte, 1),
        };
        text.push(byte);
        rest = &rest[length..];
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, length) = match rest {
            [] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', ..] => (b'\'', 2),
            [byte, ..] => (*byte, 1),
        };
        text.push(byte);
        rest = &rest[length..];
    }
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    fn words(line: &str) -> Option<Vec<String>> {
        let (mut text, mut words) = (Vec::new(), Vec::new());
        super::split(line.as_bytes(), &mut text, &mut words)?;
        let word = |word: std::ops::Range<usize>| String::from_utf8(text[word].to_vec()).unwrap();
        Some(words.into_iter().map(word).collect())
    }

    #[test]
    fn a_line_is_split_as_redis_splits_it() {
        assert_eq!(
            words("  set a  b "),
            Some(vec!["set".into(), "a".into(), "b".into()])
        );
        assert_eq!(
            words(r#""a \"b\x41\n" 'c\'d'"#),
            Some(vec!["a \"bA\n".into(), "c'd".into()])
        );
        assert_eq!(words(""), Some(vec![]));
        assert_eq!(words("\"\""), Some(vec![String::new()]));
        assert_eq!(words("\"a"), None);
        assert_eq!(words("'a'b"), None);
    }
}
