//! A reader of server-sent events over a connection of its own.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::raw::{Answer, SOON, request};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A stream that is being read.
pub(crate) struct Stream {
    connection: TcpStream,
    /// Bytes of the body as they came, chunked.
    unread: Vec<u8>,
    /// The body so far, what was told already left out.
    text: String,
    pub(crate) head: Answer,
}

impl Stream {
    /// Opens a stream, and checks that it is one.
    pub(crate) async fn open(to: SocketAddr, path: &str, headers: &str) -> Self {
        let mut connection = TcpStream::connect(to).await.unwrap();
        let request = request("GET", path, headers, "");
        connection.write_all(&request).await.unwrap();
        let mut unread = Vec::new();
        let end = loop {
            if let Some(at) = find(&unread, b"\r\n\r\n") {
                break at + 4;
            }
            let read = timeout(SOON, connection.read_buf(&mut unread)).await;
            assert!(read.expect("a head in time").unwrap() > 0, "{unread:?}");
        };
        let rest = unread.split_off(end);
        let head = Answer::parse(std::str::from_utf8(&unread).unwrap());
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        Self {
            connection,
            unread: rest,
            text: String::new(),
            head,
        }
    }

    /// The next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        loop {
            let block = self.block().await?;
            if let Some(sent) = sent(&block) {
                return Some(sent);
            }
        }
    }

    /// The next events until one is as wanted, that one included.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        let mut seen = Vec::new();
        loop {
            let next = self.next().await;
            let next = next.unwrap_or_else(|| panic!("the stream ended after {seen:?}"));
            let found = wanted(&next);
            seen.push(next);
            if found {
                return seen;
            }
        }
    }

    /// The lines up to the next empty one; `None` when the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                return Some(self.text.drain(..at + 2).collect());
            }
            self.chunk().await?;
        }
    }

    /// Reads one more chunk of the body.
    async fn chunk(&mut self) -> Option<()> {
        let (length, from) = loop {
            if let Some(at) = find(&self.unread, b"\r\n") {
                let length = std::str::from_utf8(&self.unread[..at]).unwrap();
                break (usize::from_str_radix(length, 16).unwrap(), at + 2);
            }
            self.more().await?;
        };
        while self.unread.len() < from + length + 2 {
            self.more().await?;
        }
        let chunk = &self.unread[from..from + length];
        self.text.push_str(std::str::from_utf8(chunk).unwrap());
        self.unread.drain(..from + length + 2);
        (length > 0).then_some(())
    }

    async fn more(&mut self) -> Option<()> {
        let read = timeout(SOON, self.connection.read_buf(&mut self.unread)).await;
        // A node that dies resets its connections: that is an end too.
        let read = read.expect("an event in time").unwrap_or(0);
        (read > 0).then_some(())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|here| here == what)
}

/// A block's fields; `None` for a comment, or for what says only how to come back.
fn sent(block: &str) -> Option<Sent> {
    let field = |name: &str| {
        let mut lines = block.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned)
    };
    Some(Sent {
        id: field("id"),
        event: field("event")?,
        data: serde_json::from_str(&field("data")?).unwrap(),
    })
}
