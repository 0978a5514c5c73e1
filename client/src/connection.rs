//! One connection, one request at a time: HTTP/1.1 as far as this contract needs it.
//!
//! Why not a general HTTP client? A load generator that shares two cores with the cluster which it
//! measures must cost little, and a lock's client is embedded in other people's services, so its
//! dependency tree is theirs. A general client brings a connection task with two channel hops for
//! each request, a pool, a body abstraction and dozens of crates; lock calls need none of it. Here
//! a request is one write from a buffer that is kept, a reply is parsed where it was read, and
//! nothing else runs. Parsing heads is left to `httparse`, which has met every malformed head.
//!
//! One thing falls out for free: a call that is dropped takes its connection with it. The server
//! sees the close and gives up the caller's place in the queue, which is what a dropped wait means.
//!
//! It does not pipeline, follow redirects, decompress, or speak HTTP/2.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::endpoint::Endpoint;
use crate::reply::{Begun, Progress, Reply, ReplyReader};

/// The methods that the contract uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Acts.
    Post,
    /// Sets.
    Put,
    /// Ends.
    Delete,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One request, borrowed from whoever makes it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// The path and query, percent-encoded, as [`crate::wire::route`] makes them.
    pub path: &'a str,
    /// The `Idempotency-Key`, for calls that change something.
    pub key: Option<&'a str>,
    /// The body, JSON; empty for none.
    pub body: &'a [u8],
}

impl<'a> Call<'a> {
    /// A read.
    #[must_use]
    pub const fn get(path: &'a str) -> Self {
        Self {
            method: Method::Get,
            path,
            key: None,
            body: &[],
        }
    }

    /// A call that changes something.
    #[must_use]
    pub const fn post(path: &'a str, key: &'a str, body: &'a [u8]) -> Self {
        Self {
            method: Method::Post,
            path,
            key: Some(key),
            body,
        }
    }
}

/// What a connection runs over.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    #[cfg(test)]
    Simulated(tokio::io::DuplexStream),
}

impl Stream {
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes).await,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => {
                tls.write_all(bytes).await?;
                tls.flush().await
            }
            #[cfg(test)]
            Self::Simulated(stream) => stream.write_all(bytes).await,
        }
    }

    async fn read_buf(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read_buf(into).await,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read_buf(into).await,
            #[cfg(test)]
            Self::Simulated(stream) => stream.read_buf(into).await,
        }
    }

    /// Whether nothing has come: not a byte, and not the end either.
    fn is_silent(&self) -> bool {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.get_ref().0,
            #[cfg(test)]
            Self::Simulated(_) => return true,
        };
        let mut byte = [0];
        matches!(
            tcp.try_read(&mut byte),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        )
    }
}

/// A connection to one server, kept alive between requests.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// The header lines that every request of this connection has.
    headers: Vec<u8>,
    request: Vec<u8>,
    reader: ReplyReader,
    /// Whether another request may follow: not while one is under way (a call that was dropped
    /// leaves it so), nor after the server said that it will close.
    reusable: bool,
}

/// Room for one read; most replies need one.
const READ_BYTES: usize = 4096;

impl Connection {
    /// Connects, and keeps `token`, if any, as the bearer of all its requests.
    ///
    /// # Errors
    /// What the system says; `TimedOut` after `within`; `InvalidInput` for a token that is not
    /// visible ASCII.
    pub async fn open(
        endpoint: &Endpoint,
        token: Option<&str>,
        within: Duration,
    ) -> io::Result<Self> {
        let headers = header_lines(endpoint, token)?;
        let stream = tokio::time::timeout(within, Self::connect(endpoint))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long"))??;
        let (request, reader) = (Vec::with_capacity(512), ReplyReader::default());
        Ok(Self {
            stream,
            headers,
            request,
            reader,
            reusable: true,
        })
    }

    async fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
        #[cfg(test)]
        if let Some(stream) = crate::tests::simulated_dial() {
            return Ok(Stream::Simulated(stream));
        }
        let tcp = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
        tcp.set_nodelay(true)?;
        match endpoint.tls() {
            None => Ok(Stream::Plain(tcp)),
            #[cfg(feature = "tls")]
            Some(tls) => Ok(Stream::Tls(Box::new(
                tls.connect(endpoint.host(), tcp).await?,
            ))),
            #[cfg(not(feature = "tls"))]
            Some(never) => match *never {},
        }
    }

    /// Sends one request and reads its reply.
    ///
    /// # Errors
    /// What the system says, `UnexpectedEof` when the server closed before it had answered,
    /// `InvalidData` for a reply that is not HTTP, `InvalidInput` for a call that cannot be
    /// written. After any of them, and after a call that was dropped, the connection is spent.
    pub async fn call(&mut self, call: Call<'_>) -> io::Result<Reply<'_>> {
        self.send(call).await?;
        let mut ended = false;
        while let Progress::Incomplete = self.reader.advance(ended)? {
            ended = self.read().await?;
        }
        self.reusable = self.reader.keeps_alive();
        Ok(self.reader.reply())
    }

    /// Sends one request and reads the head of its reply, whose body may never end: it is read
    /// with [`Self::piece`], and the connection is spent with it.
    pub(crate) async fn begin(&mut self, call: Call<'_>) -> io::Result<Begun> {
        self.send(call).await?;
        let mut ended = false;
        loop {
            if let Some(begun) = self.reader.begin(ended)? {
                return Ok(begun);
            }
            ended = self.read().await?;
        }
    }

    /// Adds to `into` what has come of the body since, waiting for some. `true` at its end.
    ///
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn piece(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        let before = into.len();
        let mut closed = false;
        loop {
            let ended = self.reader.take(into, closed)?;
            if ended || into.len() > before {
                return Ok(ended);
            }
            closed = self.read().await?;
        }
    }

    async fn send(&mut self, call: Call<'_>) -> io::Result<()> {
        if !std::mem::replace(&mut self.reusable, false) {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the connection is spent",
            ));
        }
        write_request(&mut self.request, &self.headers, call)?;
        self.stream.write_all(&self.request).await?;
        self.reader.reset();
        Ok(())
    }

    /// Reads what is there; `true` when the server has closed.
    async fn read(&mut self) -> io::Result<bool> {
        let buffer = self.reader.buffer();
        buffer.reserve(READ_BYTES);
        Ok(self.stream.read_buf(buffer).await? == 0)
    }

    /// Whether another call can be made, as far as can be told without sending one: the server may
    /// have closed an idle connection meanwhile.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        // Between calls nothing may arrive: a byte is a breach of HTTP, and no byte is the end.
        self.reusable && self.stream.is_silent()
    }
}

fn header_lines(endpoint: &Endpoint, token: Option<&str>) -> io::Result<Vec<u8>> {
    let mut lines = format!(
        "host: {}\r\nuser-agent: lockring/{}\r\n",
        endpoint.authority(),
        env!("CARGO_PKG_VERSION")
    );
    if let Some(token) = token {
        if !visible(token) {
            let why = "the token has characters that are not visible ASCII";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        lines.push_str("authorization: Bearer ");
        lines.push_str(token);
        lines.push_str("\r\n");
    }
    Ok(lines.into_bytes())
}

/// Visible ASCII and nothing else: what cannot break out of a header's or the first line.
pub(crate) fn visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn write_request(out: &mut Vec<u8>, headers: &[u8], call: Call<'_>) -> io::Result<()> {
    if !visible(call.path) || !call.path.starts_with('/') || call.key.is_some_and(|k| !visible(k)) {
        let why = "a path and a key are written in visible ASCII, the path from its slash";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    out.clear();
    out.extend_from_slice(call.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(call.path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    out.extend_from_slice(headers);
    if let Some(key) = call.key {
        out.extend_from_slice(b"idempotency-key: ");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !call.body.is_empty() {
        out.extend_from_slice(b"content-type: application/json\r\n");
    }
    if call.method != Method::Get {
        out.extend_from_slice(b"content-length: ");
        push_decimal(out, call.body.len());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(call.body);
    Ok(())
}

fn push_decimal(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit is below 10");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(call: Call<'_>) -> String {
        let mut out = Vec::new();
        write_request(&mut out, b"host: a\r\n", call).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_is_its_lines_and_its_body() {
        assert_eq!(
            written(Call::get("/v1/locks")),
            "GET /v1/locks HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        assert_eq!(
            written(Call::post("/x", "k-1", b"{}")),
            "POST /x HTTP/1.1\r\nhost: a\r\nidempotency-key: k-1\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        );
        let close = Call {
            method: Method::Delete,
            path: "/x",
            key: Some("k"),
            body: b"",
        };
        assert!(written(close).ends_with("idempotency-key: k\r\ncontent-length: 0\r\n\r\n"));
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let mut out = Vec::new();
        for call in [
            Call::get("/a\r\nx: y"),
            Call::get("/a b"),
            Call::get("a"),
            Call::get(""),
            Call::post("/a", "k\r\nx: y", b""),
            Call::post("/a", "", b""),
        ] {
            let error = write_request(&mut out, b"", call).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{call:?}");
        }
    }
}
