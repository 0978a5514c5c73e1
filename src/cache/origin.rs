//! Where values come from that no cache node has: an HTTP server of the user's.
//!
//! `GET <origin>/<key>`, the key percent-encoded. 200: the body is the value, and `Cache-Control:
//! max-age` says for how long it may be kept. 404 and 410: there is none. Anything else is a
//! failure, which the client is told of. The slot and its epoch go along as `Lockring-Slot` and
//! `Lockring-Slot-Epoch`: an origin that remembers the highest epoch it has seen of a slot can
//! refuse a node that the ring has left behind.
//!
//! Plain HTTP: the origin is a neighbour.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::command::Missing;
use super::resp::BULK_BYTES_MAX;

/// How long the origin may take for one value.
const WITHIN: Duration = Duration::from_secs(5);
/// Connections that are kept for later.
const IDLE_MAX: usize = 64;

/// What the origin has under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Value {
        bytes: Bytes,
        /// For how long it may be kept, if it says.
        fresh_for: Option<Duration>,
    },
    Nothing,
}

#[derive(Debug)]
struct Line {
    send: SendRequest<Empty<Bytes>>,
    _task: AbortOnDropHandle<()>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Origin {
    address: String,
    host: String,
    path: String,
    idle: Mutex<Vec<Line>>,
}

impl Origin {
    /// From its URL, `http://host:port/path`.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("--origin {url}: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("--origin {url}: only http:// is spoken"));
        }
        let host = uri
            .host()
            .ok_or_else(|| format!("--origin {url}: no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self {
            address: format!("{host}:{port}"),
            host: format!("{host}:{port}"),
            path: uri.path().trim_end_matches('/').to_owned(),
            idle: Mutex::default(),
        })
    }

    pub(crate) async fn load(&self, missing: &Missing) -> Result<Found, String> {
        match timeout(WITHIN, self.ask(missing)).await {
            Ok(found) => found,
            Err(_) => Err(format!("nothing within {WITHIN:?}")),
        }
    }

    async fn ask(&self, missing: &Missing) -> Result<Found, String> {
        let mut line = self.line().await?;
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}/{}", self.path, encoded(&missing.key)))
            .header(header::HOST, &self.host)
            .header("lockring-slot", missing.slot)
            .header("lockring-slot-epoch", missing.epoch)
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let answer = line
            .send
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, BULK_BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(line);
        }
        drop(idle);
        match head.status {
            StatusCode::OK => Ok(Found::Value {
                bytes: body,
                fresh_for: head.headers.get(header::CACHE_CONTROL).and_then(max_age),
            }),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Found::Nothing),
            other => Err(format!("status {other}")),
        }
    }

    async fn line(&self) -> Result<Line, String> {
        while let Some(mut line) = { self.idle.lock().pop() } {
            // One that the origin has closed meanwhile says so here.
            if line.send.ready().await.is_ok() {
                return Ok(line);
            }
        }
        let stream = TcpStream::connect(&self.address).await;
        let stream = stream.map_err(|error| format!("{}: {error}", self.address))?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let (send, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let task = tokio::spawn(async move {
            // How it ended is told to whoever has the other end.
            let _ = connection.await;
        });
        Ok(Line {
            send,
            _task: AbortOnDropHandle::new(task),
        })
    }
}

fn max_age(value: &http::HeaderValue) -> Option<Duration> {
    let directives = value.to_str().ok()?.split(',');
    let ages = directives.filter_map(|directive| directive.trim().strip_prefix("max-age="));
    let seconds = ages.filter_map(|seconds| seconds.parse().ok()).next()?;
    Some(Duration::from_secs(seconds))
}

/// A key as one segment of a path.
fn encoded(key: &[u8]) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            out.push(char::from(*byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes whatever is written");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let origin = Origin::parse("http://127.0.0.1:9000/values/").unwrap();
        assert_eq!(
            (origin.address.as_str(), origin.path.as_str()),
            ("127.0.0.1:9000", "/values")
        );
        assert!(Origin::parse("https://127.0.0.1").is_err());
        assert!(Origin::parse("nonsense").is_err());
    }

    #[test]
    fn keys_and_ages() {
        assert_eq!(encoded(b"a/b c\xff."), "a%2Fb%20c%FF%2E");
        let age = |text| max_age(&http::HeaderValue::from_static(text));
        assert_eq!(age("public, max-age=60"), Some(Duration::from_secs(60)));
        assert_eq!(age("no-store"), None);
    }
}
