//! One keep-alive connection that costs little.
//!
//! The load generator shares the machine with what it measures, so every microsecond that it
//! spends per request is one that the servers do not have. A full HTTP client spends more on a
//! request than a follower does on its part of a commit. So requests are prebuilt bytes, one
//! write each, and of an answer only the status, the length and the fence are looked at.
//!
//! It speaks plain HTTP/1.1 to a server that answers with `Content-Length`, which lockring does.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection to one node.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What has arrived; the answer being read starts at 0.
    received: Vec<u8>,
}

/// What the load generator wants to know of an answer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// `Lockring-Fence`, if it is there.
    pub(super) fence: Option<u64>,
    pub(super) body: &'a [u8],
}

/// An answer's head may be so long, and its body; the server's are far below.
const ANSWER_BYTES_MAX: usize = 1 << 20;

impl Connection {
    pub(super) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(4096),
        })
    }

    /// Sends a whole request and reads the whole answer.
    pub(super) async fn call(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(head) = Head::parse(&self.received)? else {
                continue;
            };
            let end = head.bytes + head.body_bytes;
            if end > ANSWER_BYTES_MAX {
                return Err(io::Error::other("an answer beyond all bounds"));
            }
            while self.received.len() < end {
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            return Ok(Answer {
                status: head.status,
                fence: head.fence,
                body: &self.received[head.bytes..end],
            });
        }
    }
}

struct Head {
    bytes: usize,
    status: u16,
    body_bytes: usize,
    fence: Option<u64>,
}

impl Head {
    /// `None` as long as it is not whole.
    fn parse(received: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(received).map_err(io::Error::other)?;
        let httparse::Status::Complete(bytes) = parsed else {
            return Ok(None);
        };
        let number = |name: &str| {
            let header = answer
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()?.trim().parse().ok()
        };
        let body_bytes: u64 = number("content-length").unwrap_or(0);
        Ok(Some(Self {
            bytes,
            status: answer.code.unwrap_or(0),
            body_bytes: usize::try_from(body_bytes).unwrap_or(usize::MAX / 2),
            fence: number("lockring-fence"),
        }))
    }
}

/// The bytes of one request.
pub(super) fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let content = match length {
        0 => String::new(),
        _ => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nhost: lockring\r\n{headers}{content}\r\n{body}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLockring-Fence: 41\r\n\r\n{}";
        let head_bytes = whole.len() - 2;
        for cut in 0..head_bytes {
            assert!(Head::parse(&whole[..cut]).unwrap().is_none(), "at {cut}");
        }
        let head = Head::parse(whole).unwrap().unwrap();
        assert_eq!(
            (head.status, head.bytes, head.body_bytes),
            (200, head_bytes, 2)
        );
        assert_eq!(head.fence, Some(41));
        assert!(Head::parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_is_what_http_wants() {
        let bytes = request("POST", "/x", "a: b\r\n", "{}");
        let text = "POST /x HTTP/1.1\r\nhost: lockring\r\na: b\r\n\
                    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(bytes, text.as_bytes());
        assert_eq!(
            request("GET", "/x", "", ""),
            b"GET /x HTTP/1.1\r\nhost: lockring\r\n\r\n"
        );
    }
}
