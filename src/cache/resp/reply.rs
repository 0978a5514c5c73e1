//! Replies, written straight into what will be sent.

/// The version that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Proto {
    #[default]
    Resp2,
    Resp3,
}

/// Writes replies of one version.
#[derive(Debug)]
pub(crate) struct Replies<'a> {
    out: &'a mut Vec<u8>,
    proto: Proto,
}

impl<'a> Replies<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, proto: Proto) -> Self {
        Self { out, proto }
    }

    pub(crate) fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; what would break the line in it is blanked.
    pub(crate) fn error(&mut self, text: &str) {
        self.out.push(b'-');
        let plain = |byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                byte
            }
        };
        self.out.extend(text.bytes().map(plain));
        self.raw(b"\r\n");
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.number(b':', value);
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.length(b'$', bytes.len());
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    /// Text for people, which version 3 marks as such.
    pub(crate) fn text(&mut self, text: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => {
                self.length(b'=', text.len() + 4);
                self.raw(b"txt:");
                self.raw(text.as_bytes());
                self.raw(b"\r\n");
            }
        }
    }

    pub(crate) fn null(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"$-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    pub(crate) fn null_array(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"*-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// So many replies follow.
    pub(crate) fn array(&mut self, length: usize) {
        self.length(b'*', length);
    }

    /// So many pairs follow.
    pub(crate) fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.length(b'*', pairs * 2),
            Proto::Resp3 => self.length(b'%', pairs),
        }
    }

    pub(crate) fn set(&mut self, length: usize) {
        match self.proto {
            Proto::Resp2 => self.length(b'*', length),
            Proto::Resp3 => self.length(b'~', length),
        }
    }

    /// What is a reply already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.raw(text);
        self.raw(b"\r\n");
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.number(kind, i64::try_from(length).unwrap_or(i64::MAX));
    }

    fn number(&mut self, kind: u8, value: i64) {
        let mut digits = [0; 20];
        let text = decimal(value, &mut digits);
        self.line(kind, text);
    }
}

/// The decimal digits of a number.
pub(crate) fn decimal(value: i64, room: &mut [u8; 20]) -> &[u8] {
    let mut left = value.unsigned_abs();
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + u8::try_from(left % 10).expect("a digit is below ten");
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        room[at] = b'-';
    }
    &room[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_whole() {
        for value in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            assert_eq!(decimal(value, &mut [0; 20]), value.to_string().as_bytes());
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let mut out = Vec::new();
        Replies::new(&mut out, Proto::Resp2).error("ERR a\r\nb");
        assert_eq!(out, b"-ERR a  b\r\n");
    }
}
