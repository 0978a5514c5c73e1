//! A client that can be wrong: it writes what it is told to, and reads until the end.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer in these tests takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(here, _)| here == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn revision(&self) -> u64 {
        let revision = self.header("lockring-revision");
        revision
            .unwrap_or_else(|| panic!("no revision: {self:?}"))
            .parse()
            .unwrap()
    }

    /// The body, after a check that the answer is a success of this status.
    pub(crate) fn success(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.revision();
        self.json()
    }

    /// The body, after a check that the answer is a whole problem with this code.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["type"], format!("urn:lockring:problem:{code}"));
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert!(problem["title"].is_string(), "{self:?}");
        assert!(problem["detail"].is_string(), "{self:?}");
        let unknown = matches!(code, "indeterminate" | "bug");
        let certainty = if unknown { "unknown" } else { "no_effect" };
        assert_eq!(problem["certainty"], certainty);
        problem
    }
}

/// Writes these bytes on a connection of their own and reads the answer until the node closes.
pub(crate) async fn raw(to: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // A node that refuses early may close before all is written; its answer is what counts.
    let _ = stream.write_all(bytes).await;
    read(&mut stream).await
}

/// Reads one answer until the node closes.
pub(crate) async fn read(stream: &mut TcpStream) -> Answer {
    let mut answer = Vec::new();
    let end = timeout(SOON, stream.read_to_end(&mut answer)).await;
    let end = end.expect("the node closes in time");
    assert!(end.is_ok() || !answer.is_empty(), "{end:?}");
    Answer::parse(std::str::from_utf8(&answer).unwrap())
}

/// A request as bytes, on a connection that ends with its answer.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let json = match body {
        "" => String::new(),
        _ => format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: lockring\r\nconnection: close\r\n\
         {headers}{json}\r\n{body}"
    )
    .into_bytes()
}
