//! Server-sent events out of the bytes of a body, wherever they happen to be split.
//!
//! The format is that of <https://html.spec.whatwg.org/multipage/server-sent-events.html>: lines of
//! `field: value`, an empty line ends an event, a line that begins with a colon is a comment. What
//! differs: a last event without its empty line is not told (so says the standard, too), an event
//! is bounded, and `retry:` is passed over, because when to come back is the client's own business.

use std::io;

/// The most that one event may have, in bytes; the server's have a few hundred, but a ring's whole
/// table has up to a megabyte or two.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its kind; empty if the server did not say.
    pub(crate) kind: String,
    /// Its lines, joined.
    pub(crate) data: String,
}

/// Reads events, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// What has arrived and is not yet a line.
    bytes: Vec<u8>,
    /// The event that is being told.
    event: Told,
    has_data: bool,
    /// The place of the event that is being told.
    id: Option<String>,
    /// The place of the last event that was told whole.
    last_id: Option<String>,
    /// A byte-order mark may only stand before the first line.
    begun: bool,
}

impl Parser {
    /// Where bytes that arrive are to be appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The id of the last event that was told, from which a stream can be resumed.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next event, if it is whole.
    pub(crate) fn next(&mut self) -> io::Result<Option<Told>> {
        let mut read = 0;
        let mut told = None;
        while told.is_none() {
            let Some((line, next)) = line(&self.bytes[read..]) else {
                break;
            };
            let line = String::from_utf8_lossy(&self.bytes[read..read + line]).into_owned();
            read += next;
            told = self.line(&line);
        }
        self.bytes.drain(..read);
        if told.is_none() && self.bytes.len() + self.event.data.len() > EVENT_BYTES_MAX {
            let why = format!("an event of more than {EVENT_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(told)
    }

    /// Takes one line; the event, if this was its end.
    fn line(&mut self, line: &str) -> Option<Told> {
        let mark = if self.begun { "" } else { "\u{feff}" };
        self.begun = true;
        let line = line.strip_prefix(mark).unwrap_or(line);
        if line.is_empty() {
            if let Some(id) = self.id.take() {
                self.last_id = (!id.is_empty()).then_some(id);
            }
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments have an empty field; other fields are to be passed over.
            _ => {}
        }
        None
    }
}

/// How long the first line is, and where the next begins; nothing if it is not whole.
fn line(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'))?;
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', Some(b'\n')) => Some((end, end + 2)),
        // Whether a line feed follows is not known yet.
        (b'\r', None) => None,
        _ => Some((end, end + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, data: &str) -> Told {
        Told {
            kind: kind.to_owned(),
            data: data.to_owned(),
        }
    }

    /// Feeds `text` in pieces of `piece` bytes.
    fn read(text: &str, piece: usize) -> (Vec<Told>, Option<String>) {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for part in text.as_bytes().chunks(piece) {
            parser.buffer().extend_from_slice(part);
            while let Some(event) = parser.next().unwrap() {
                events.push(event);
            }
        }
        (events, parser.last_id().map(str::to_owned))
    }

    #[test]
    fn events_read_the_same_however_they_are_split() {
        let text = "\u{feff}: hello\n\nevent: granted\ndata: {\"a\":1}\nid: 7\n\n\
            data:one\r\ndata: two\r\nretry: 5\r\n\r\nid: 9.1\revent: gap\rdata\r\r \nnoise\n\n";
        for piece in 1..=text.len() {
            let (events, last) = read(text, piece);
            let wanted = [
                told("granted", "{\"a\":1}"),
                told("", "one\ntwo"),
                told("gap", ""),
            ];
            assert_eq!(events, wanted, "pieces of {piece}");
            assert_eq!(last.as_deref(), Some("9.1"));
        }
    }

    #[test]
    fn an_event_that_is_cut_is_not_told_and_not_a_place_to_resume_from() {
        let text = "id: 7\ndata: x\n\nid: 8\ndata: y\n";
        let (events, last) = read(text, 3);
        assert_eq!(events, [told("", "x")]);
        assert_eq!(last.as_deref(), Some("7"));
    }

    #[test]
    fn an_id_without_an_event_is_a_place_to_resume_from() {
        assert_eq!(read("id: 7\n\n", 2), (vec![], Some("7".to_owned())));
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        parser.buffer().extend_from_slice(b"data: ");
        parser.buffer().resize(EVENT_BYTES_MAX + 1, b'x');
        assert!(parser.next().is_err());
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &[b'x'; 1000], b"\n"].concat();
        let lines = (0..2 * EVENT_BYTES_MAX / line.len()).map(|_| {
            parser.buffer().extend_from_slice(&line);
            parser.next()
        });
        assert!(lines.into_iter().any(|next| next.is_err()));
    }
}
