//! Reading one HTTP reply out of the bytes of a connection, wherever they happen to be split.

use std::io;

/// The most that a head may have, in bytes and in header lines.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// See [`HEAD_BYTES_MAX`].
const HEADERS_MAX: usize = 64;
/// The most that a body may have; a page of a thousand crowded locks stays below.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a buffer may keep for the next reply: one large page should not stay for ever.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// One reply, where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Lockring-Revision`.
    pub revision: Option<u64>,
    /// `Lockring-Fence`.
    pub fence: Option<u64>,
    /// `Lockring-Leader`.
    pub leader: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Whether a reply is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Incomplete,
    Complete,
}

/// The head of a reply whose body is read as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) status: u16,
    /// `Lockring-Revision`.
    pub(crate) revision: Option<u64>,
}

/// How a reply says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// After so many bytes.
    Known(usize),
    /// In chunks: `body_end` is where the bytes of the body that are already joined end, `at` where
    /// the next chunk's size line begins.
    Chunks { body_end: usize, at: usize },
    /// With the connection.
    Close,
}

/// What is known of a reply once its head is read. Ranges are offsets in the buffer.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    revision: Option<u64>,
    fence: Option<u64>,
    leader: (usize, usize),
    keep_alive: bool,
    body: usize,
    length: Length,
}

/// Reads replies, one after the other, into one buffer.
#[derive(Debug, Default)]
pub(crate) struct ReplyReader {
    buffer: Vec<u8>,
    head: Option<Head>,
    /// Where the body ends, once it is whole.
    body_end: usize,
    /// Whether bytes came that belong to no reply.
    excess: bool,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

impl ReplyReader {
    /// Forgets the reply before.
    pub(crate) fn reset(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES_MAX);
        self.head = None;
        self.body_end = 0;
        self.excess = false;
    }

    /// Where bytes that arrive are to be appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Looks at what has arrived. `ended` says that no more will.
    pub(crate) fn advance(&mut self, ended: bool) -> io::Result<Progress> {
        let head = match self.head {
            Some(head) => head,
            None => match self.read_head()? {
                Some(head) => head,
                None if ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => return Ok(Progress::Incomplete),
            },
        };
        let (head, end) = self.read_body(head, ended)?;
        self.head = Some(head);
        let Some((body_end, reply_end)) = end else {
            if ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(Progress::Incomplete);
        };
        self.body_end = body_end;
        self.excess = reply_end < self.buffer.len();
        Ok(Progress::Complete)
    }

    /// The head, once it is there; the body is then to be taken.
    pub(crate) fn begin(&mut self, ended: bool) -> io::Result<Option<Begun>> {
        let Some(head) = self.read_head()? else {
            let cut = ended.then(|| io::ErrorKind::UnexpectedEof.into());
            return cut.map_or(Ok(None), Err);
        };
        self.head = Some(head);
        let (status, revision) = (head.status, head.revision);
        Ok(Some(Begun { status, revision }))
    }

    /// Moves what has arrived of the body to `into`. `true` when that was its end.
    pub(crate) fn take(&mut self, into: &mut Vec<u8>, ended: bool) -> io::Result<bool> {
        let head = self.head.expect("the caller has begun");
        let (mut head, end) = self.read_body(head, ended)?;
        let arrived = self.buffer.len();
        // Where the bytes of the body end that are there, and where what follows them begins.
        let (body_end, next) = match &mut head.length {
            Length::Known(bytes) => {
                let body_end = arrived.min(head.body + *bytes);
                *bytes -= body_end - head.body;
                (body_end, body_end)
            }
            Length::Chunks { body_end, at } => {
                let ends = (*body_end, *at);
                (*body_end, *at) = (head.body, head.body);
                ends
            }
            Length::Close => (arrived, arrived),
        };
        into.extend_from_slice(&self.buffer[head.body..body_end]);
        self.buffer.drain(head.body..next);
        self.head = Some(head);
        if ended && end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(end.is_some())
    }

    /// Whether the connection can be used again after the reply that was read.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.head.is_some_and(|head| head.keep_alive) && !self.excess
    }

    /// The reply that was read.
    pub(crate) fn reply(&self) -> Reply<'_> {
        let head = self
            .head
            .expect("the caller advanced until it was complete");
        let leader = &self.buffer[head.leader.0..head.leader.1];
        Reply {
            status: head.status,
            revision: head.revision,
            fence: head.fence,
            leader: std::str::from_utf8(leader)
                .ok()
                .filter(|text| !text.is_empty()),
            body: &self.buffer[head.body..self.body_end],
        }
    }

    /// The head, if it is whole. Interim replies (1xx) before it are passed over.
    fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut parsed = httparse::Response::new(&mut lines);
            let body = match parsed.parse(&self.buffer) {
                Ok(httparse::Status::Complete(body)) => body,
                Ok(httparse::Status::Partial) if self.buffer.len() > HEAD_BYTES_MAX => {
                    return Err(invalid(format!(
                        "a head of more than {HEAD_BYTES_MAX} bytes"
                    )));
                }
                Ok(httparse::Status::Partial) => return Ok(None),
                Err(error) => return Err(invalid(format!("not an HTTP reply: {error}"))),
            };
            let status = parsed.code.expect("a complete head has a status");
            if status == 101 {
                return Err(invalid("a switch of protocols that nobody asked for"));
            }
            if !(100..200).contains(&status) {
                let persistent = parsed.version == Some(1);
                let head = Head::of(&self.buffer, status, persistent, parsed.headers, body)?;
                return Ok(Some(head));
            }
            self.buffer.drain(..body);
        }
    }

    /// Where the body and the reply end, if the body is whole, and the head with what was learnt.
    fn read_body(
        &mut self,
        mut head: Head,
        ended: bool,
    ) -> io::Result<(Head, Option<(usize, usize)>)> {
        let end = match head.length {
            Length::Known(bytes) => {
                let end = head.body + bytes;
                (self.buffer.len() >= end).then_some((end, end))
            }
            Length::Close => ended.then_some((self.buffer.len(), self.buffer.len())),
            Length::Chunks {
                mut body_end,
                mut at,
            } => {
                let end = join_chunks(&mut self.buffer, &mut body_end, &mut at)?;
                head.length = Length::Chunks { body_end, at };
                end.then_some((body_end, at))
            }
        };
        if self.buffer.len() - head.body > BODY_BYTES_MAX {
            return Err(invalid(format!(
                "a body of more than {BODY_BYTES_MAX} bytes"
            )));
        }
        Ok((head, end))
    }
}

impl Head {
    fn of(
        buffer: &[u8],
        status: u16,
        persistent: bool,
        lines: &[httparse::Header<'_>],
        body: usize,
    ) -> io::Result<Self> {
        let mut head = Self {
            status,
            revision: None,
            fence: None,
            leader: (0, 0),
            keep_alive: persistent,
            body,
            length: Length::Close,
        };
        let mut chunked = false;
        for line in lines {
            let is = |name: &str| line.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let bytes = number(line.value).ok_or_else(|| invalid("a length is no number"))?;
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                if bytes > BODY_BYTES_MAX {
                    return Err(invalid(format!("a body of {bytes} bytes")));
                }
                head.length = Length::Known(bytes);
            } else if is("transfer-encoding") {
                chunked = true;
                if !line.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(invalid("a transfer encoding other than chunked"));
                }
            } else if is("connection") {
                head.keep_alive &= !line.value.eq_ignore_ascii_case(b"close");
            } else if is(crate::wire::header::REVISION) {
                head.revision = number(line.value);
            } else if is(crate::wire::header::FENCE) {
                head.fence = number(line.value);
            } else if is(crate::wire::header::LEADER) {
                let from = offset(buffer, line.value);
                head.leader = (from, from + line.value.len());
            }
        }
        // RFC 9112 §6.3: these have no body, and chunks win over a length.
        if matches!(status, 204 | 304) {
            head.length = Length::Known(0);
        } else if chunked {
            head.length = Length::Chunks {
                body_end: body,
                at: body,
            };
        } else if head.length == Length::Close {
            head.keep_alive = false;
        }
        Ok(head)
    }
}

/// Where `part`, which lies in `whole`, begins in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

fn number(text: &[u8]) -> Option<u64> {
    // The type's own parser takes a leading plus, which is not HTTP.
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

/// Joins the chunks that are whole to the body that ends at `body_end`; `at` is where the next
/// chunk's size line begins. `true` when the last one was there; then `at` is the reply's end.
fn join_chunks(buffer: &mut [u8], body_end: &mut usize, at: &mut usize) -> io::Result<bool> {
    loop {
        let (line, bytes) = match httparse::parse_chunk_size(&buffer[*at..]) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(invalid("a chunk without a size")),
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > BODY_BYTES_MAX {
            return Err(invalid(format!("a chunk of {bytes} bytes")));
        }
        let from = *at + line;
        if bytes == 0 {
            return skip_trailers(buffer, from, at);
        }
        // The chunk and the line end after it.
        let Some(after) = buffer.get(from + bytes..from + bytes + 2) else {
            return Ok(false);
        };
        if after != b"\r\n" {
            return Err(invalid("a chunk that is longer than its size"));
        }
        buffer.copy_within(from..from + bytes, *body_end);
        *body_end += bytes;
        *at = from + bytes + 2;
    }
}

/// Passes over the trailer lines behind the last chunk; they end with an empty one.
fn skip_trailers(buffer: &[u8], from: usize, at: &mut usize) -> io::Result<bool> {
    let mut line = from;
    while let Some(length) = buffer[line..].windows(2).position(|pair| pair == b"\r\n") {
        line += length + 2;
        if length == 0 {
            *at = line;
            return Ok(true);
        }
    }
    if buffer.len() - from > HEAD_BYTES_MAX {
        return Err(invalid(format!(
            "trailers of more than {HEAD_BYTES_MAX} bytes"
        )));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in pieces of `piece`, and then the end.
    fn read(bytes: &[u8], piece: usize) -> io::Result<(ReplyReader, bool)> {
        let mut reader = ReplyReader::default();
        for part in bytes.chunks(piece) {
            reader.buffer().extend_from_slice(part);
            if reader.advance(false)? == Progress::Complete {
                return Ok((reader, false));
            }
        }
        reader.advance(true)?;
        Ok((reader, true))
    }

    const GRANTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nLockring-Revision: 42\r\n\
        lockring-fence: 7\r\nLOCKRING-LEADER: http://127.0.0.1:7420\r\n\r\n{\"fence\":7}";
    const CHUNKED: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
        Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"fen\r\n6\r\nce\":7}\r\n0\r\nx: y\r\n\r\n";

    #[test]
    fn a_reply_reads_the_same_however_it_is_split() {
        for piece in 1..=GRANTED.len() {
            let (reader, ended) = read(GRANTED, piece).unwrap();
            let reply = reader.reply();
            assert_eq!(
                (reply.status, ended, reader.keeps_alive()),
                (200, false, true)
            );
            assert_eq!((reply.revision, reply.fence), (Some(42), Some(7)));
            assert_eq!(reply.leader, Some("http://127.0.0.1:7420"));
            assert_eq!(reply.body, b"{\"fence\":7}");
        }
        for piece in 1..=CHUNKED.len() {
            let (reader, ended) = read(CHUNKED, piece).unwrap();
            assert_eq!(reader.reply().body, b"{\"fence\":7}", "pieces of {piece}");
            assert!(!ended && reader.keeps_alive());
        }
    }

    #[test]
    fn a_body_is_taken_as_it_comes_however_it_is_split() {
        let closing = b"HTTP/1.1 200 OK\r\n\r\n{\"fence\":7}";
        for (bytes, closes) in [(GRANTED, false), (CHUNKED, false), (closing, true)] {
            for piece in 1..=bytes.len() {
                let mut reader = ReplyReader::default();
                let (mut begun, mut body, mut whole) = (None, Vec::new(), false);
                for part in bytes.chunks(piece) {
                    reader.buffer().extend_from_slice(part);
                    if begun.is_none() {
                        begun = reader.begin(false).unwrap();
                    }
                    if begun.is_some() {
                        whole = reader.take(&mut body, false).unwrap();
                    }
                }
                assert_eq!((begun.unwrap().status, whole), (200, !closes));
                whole = whole || reader.take(&mut body, true).unwrap();
                assert!(whole && body == b"{\"fence\":7}", "pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_reply_that_is_cut_is_no_reply() {
        for cut in 0..GRANTED.len() {
            let error = read(&GRANTED[..cut], 4096).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
        for cut in 0..CHUNKED.len() {
            let error = read(&CHUNKED[..cut], 4096).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
    }

    #[test]
    fn a_connection_is_kept_only_when_the_reply_allows_it() {
        let keeps = |bytes: &[u8]| read(bytes, 4096).unwrap().0.keeps_alive();
        assert!(keeps(b"HTTP/1.1 204 No Content\r\n\r\n"));
        assert!(!keeps(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!keeps(
            b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"
        ));
        assert!(!keeps(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"));
        assert!(!keeps(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            let error = read(bytes, 4096).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
        let endless = [
            b"HTTP/1.1 200 OK\r\nx: ".as_slice(),
            &[b'y'; HEAD_BYTES_MAX],
        ]
        .concat();
        assert_eq!(
            read(&endless, 4096).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
