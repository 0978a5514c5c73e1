//! A stream of server-sent events, read by hand: whoever judges a stream wants to see what one
//! node sent, not what a client made of it after coming back to another.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For the connection, and for the head of the answer.
const HEAD_WITHIN: Duration = Duration::from_secs(2);

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) id: Option<String>,
    pub(super) event: String,
    pub(super) data: Value,
}

/// A stream that is being read.
#[derive(Debug)]
pub(super) struct Stream {
    body: BufReader<TcpStream>,
    /// What came of the body and was not told yet.
    text: Vec<u8>,
    /// The revision at which the stream begins.
    pub(super) revision: Option<u64>,
}

impl Stream {
    /// Opens the stream at a path, behind an event if one is named.
    pub(super) async fn open(url: &str, path: &str, after: Option<&str>) -> anyhow::Result<Self> {
        timeout(HEAD_WITHIN, Self::begin(url, path, after)).await?
    }

    async fn begin(url: &str, path: &str, after: Option<&str>) -> anyhow::Result<Self> {
        let address = url.strip_prefix("http://").context("only http")?;
        let mut connection = TcpStream::connect(address).await?;
        let last = after.map(|id| format!("last-event-id: {id}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\n{}\r\n",
            last.unwrap_or_default()
        );
        connection.write_all(request.as_bytes()).await?;
        let mut body = BufReader::new(connection);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(body.read_line(&mut head).await? > 0, "it ends in its head");
        }
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status == "200", "status {status}");
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        ensure!(header("transfer-encoding").is_some(), "it is not in chunks");
        let revision = header("lockring-revision");
        Ok(Self {
            body,
            text: Vec::new(),
            revision: revision.and_then(|text| text.parse().ok()),
        })
    }

    /// The next event; nothing when the stream has ended. When this is given up in the middle the
    /// stream is lost.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Sent>> {
        loop {
            if let Some(at) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..at + 2).collect();
                if let Some(sent) = read(std::str::from_utf8(&block)?)? {
                    return Ok(Some(sent));
                }
                continue;
            }
            if !self.chunk().await? {
                return Ok(None);
            }
        }
    }

    async fn chunk(&mut self) -> anyhow::Result<bool> {
        let mut size = String::new();
        ensure!(self.body.read_line(&mut size).await? > 0, "it is cut");
        let size = usize::from_str_radix(size.trim(), 16).context("no size of a chunk")?;
        let mut chunk = vec![0; size + 2];
        self.body.read_exact(&mut chunk).await?;
        self.text.extend(&chunk[..size]);
        Ok(size > 0)
    }
}

/// A block of lines; nothing if it is a comment.
fn read(block: &str) -> anyhow::Result<Option<Sent>> {
    let mut sent = Sent {
        id: None,
        event: String::new(),
        data: Value::Null,
    };
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => sent.id = Some(id.to_owned()),
            Some(("event", event)) => event.clone_into(&mut sent.event),
            Some(("data", data)) => sent.data = serde_json::from_str(data)?,
            Some(("retry", _)) | None => {}
            Some((field, _)) => bail!("an event has the field {field}"),
        }
    }
    Ok((!sent.event.is_empty()).then_some(sent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_events_or_nothing() {
        let event = "event: granted\nid: 7.1\ndata: {\"fence\":3}\n\n";
        let sent = Sent {
            id: Some("7.1".to_owned()),
            event: "granted".to_owned(),
            data: json!({"fence": 3}),
        };
        assert_eq!(read(event).unwrap(), Some(sent));
        assert_eq!(read("retry: 1000\n\n").unwrap(), None);
        assert_eq!(read(":\n\n").unwrap(), None);
        assert!(read("data: {\n\n").is_err());
    }
}
