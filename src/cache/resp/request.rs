//! Requests: arrays of bulk strings, or a line of words as a person types them.
//!
//! What is read so far is handed in as one slice that begins with an unread request. The parser
//! remembers how far it came, so that a long request that arrives in pieces is looked at once and
//! not once for each piece; it keeps two numbers for each word that has arrived and nothing else.
//! A number that announces much makes no room for it: room is made by the bytes that arrive.

use std::ops::Range;

use super::inline;

/// Words in one request, as Redis has it.
const WORDS_MAX: i64 = 1024 * 1024;
/// One word. Redis takes 512 MiB; a cache that is bounded by bytes has no use for such values.
pub(crate) const BULK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A line: a number, or an inline command.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Words for which room is kept between requests.
const WORDS_KEPT: usize = 1024;

/// What is wrong with a request; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("invalid multibulk length")]
    Words,
    #[error("invalid bulk length")]
    Bulk,
    #[error("expected '$', got '{}'", char::from(*.0).escape_default())]
    NoBulk(u8),
    #[error("too big mbulk count string")]
    WordsLine,
    #[error("too big bulk count string")]
    BulkLine,
    #[error("too big inline request")]
    Inline,
    #[error("unbalanced quotes in request")]
    Quotes,
    #[error("a bulk string does not end with CRLF")]
    Unended,
}

/// What stands at the beginning of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A request of so many bytes; [`Parser::args`] has its words.
    Command(usize),
    /// So many bytes that ask for nothing, such as an empty line.
    Nothing(usize),
    /// Not enough yet.
    Incomplete,
}

/// The words of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'a> {
    bytes: &'a [u8],
    words: &'a [Range<usize>],
}

impl<'a> Args<'a> {
    pub(crate) fn len(self) -> usize {
        self.words.len()
    }

    /// The `nth` word; an index out of bounds is a bug, for the arity is checked before.
    pub(crate) fn get(self, nth: usize) -> &'a [u8] {
        &self.bytes[self.words[nth].clone()]
    }

    pub(crate) fn try_get(self, nth: usize) -> Option<&'a [u8]> {
        self.words.get(nth).map(|word| &self.bytes[word.clone()])
    }

    /// The words from `nth` on.
    pub(crate) fn from(self, nth: usize) -> Self {
        let words = self.words.get(nth..).unwrap_or_default();
        Self { words, ..self }
    }

    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        self.words.iter().map(|word| &self.bytes[word.clone()])
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    words: Vec<Range<usize>>,
    /// Words still to come; `None` between requests.
    left: Option<usize>,
    /// The length of the word whose bytes are to come next.
    bulk: Option<usize>,
    /// How far the input has been read.
    at: usize,
    /// Words of an inline request, unquoted.
    line: Vec<u8>,
    is_inline: bool,
}

impl Parser {
    /// Reads on in `input`, which begins where it did at the last call if that was
    /// [`Step::Incomplete`], or with the next request after one that was not.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, ProtocolError> {
        let left = match self.left {
            Some(left) => left,
            None => match self.begin(input)? {
                Ok(left) => left,
                Err(step) => return Ok(step),
            },
        };
        for left in (1..=left).rev() {
            if !self.word(input)? {
                self.left = Some(left);
                return Ok(Step::Incomplete);
            }
        }
        self.left = None;
        Ok(Step::Command(std::mem::take(&mut self.at)))
    }

    /// The words of the request that [`Self::step`] has just found in `input`.
    pub(crate) fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args {
            bytes: if self.is_inline { &self.line } else { input },
            words: &self.words,
        }
    }

    /// Reads the head of a request: how many words follow, or what there is instead.
    fn begin(&mut self, input: &[u8]) -> Result<Result<usize, Step>, ProtocolError> {
        match input.first() {
            None => return Ok(Err(Step::Incomplete)),
            Some(b'*') => {}
            Some(_) => return self.inline(input).map(Err),
        }
        let Some((number, end)) = line(input, 1, ProtocolError::WordsLine)? else {
            return Ok(Err(Step::Incomplete));
        };
        let words = integer(number).filter(|words| *words <= WORDS_MAX);
        let words = words.ok_or(ProtocolError::Words)?;
        match usize::try_from(words) {
            // Redis takes a negative count for an empty request.
            Ok(0) | Err(_) => Ok(Err(Step::Nothing(end))),
            Ok(words) => {
                self.words.clear();
                self.words.shrink_to(WORDS_KEPT);
                self.is_inline = false;
                self.at = end;
                Ok(Ok(words))
            }
        }
    }

    /// Reads one word; `false` when it has not arrived.
    fn word(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let length = match self.bulk {
            Some(length) => length,
            None => {
                match input.get(self.at) {
                    None => return Ok(false),
                    Some(b'$') => {}
                    Some(other) => return Err(ProtocolError::NoBulk(*other)),
                }
                let found = line(input, self.at + 1, ProtocolError::BulkLine)?;
                let Some((number, end)) = found else {
                    return Ok(false);
                };
                let length = integer(number).and_then(|length| usize::try_from(length).ok());
                let length = length.filter(|length| *length <= BULK_BYTES_MAX);
                self.at = end;
                *self.bulk.insert(length.ok_or(ProtocolError::Bulk)?)
            }
        };
        let end = self.at + length;
        match input.get(end..end + 2) {
            None => return Ok(false),
            Some(b"\r\n") => {}
            Some(_) => return Err(ProtocolError::Unended),
        }
        self.words.push(self.at..end);
        self.at = end + 2;
        self.bulk = None;
        Ok(true)
    }

    fn inline(&mut self, input: &[u8]) -> Result<Step, ProtocolError> {
        let within = &input[..input.len().min(LINE_BYTES_MAX)];
        let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
            let too_long = within.len() == LINE_BYTES_MAX;
            return if too_long {
                Err(ProtocolError::Inline)
            } else {
                Ok(Step::Incomplete)
            };
        };
        let text = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        self.words.clear();
        self.line.clear();
        inline::split(text, &mut self.line, &mut self.words).ok_or(ProtocolError::Quotes)?;
        self.is_inline = true;
        Ok(if self.words.is_empty() {
            Step::Nothing(end + 1)
        } else {
            Step::Command(end + 1)
        })
    }
}

/// The line from `start`, and where the next begins; `None` when its end has not arrived.
fn line(
    input: &[u8],
    start: usize,
    too_long: ProtocolError,
) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    // Numbers are short: their lines are looked for byte by byte.
    let rest = &input[start..];
    match rest
        .iter()
        .take(LINE_BYTES_MAX)
        .position(|byte| *byte == b'\r')
    {
        Some(end) => match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some((&rest[..end], start + end + 2))),
            Some(_) => Err(too_long),
        },
        None if rest.len() >= LINE_BYTES_MAX => Err(too_long),
        None => Ok(None),
    }
}

/// A decimal number as Redis takes it: no sign but `-`, no zeros before it, 64 bits.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Counted downwards, for the least number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if is_negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}
