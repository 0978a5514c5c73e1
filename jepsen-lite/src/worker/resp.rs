//! The little of Redis's protocol that a user of a cache needs.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a hand-over, and than an origin may take.
const WITHIN: Duration = Duration::from_secs(4);

/// A connection to a cache node.
#[derive(Debug)]
pub(super) struct Resp {
    stream: BufReader<TcpStream>,
}

/// What a cache node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// There is none.
    Nil,
    Text(String),
    /// It did nothing, it says, and why.
    Error(String),
}

impl Resp {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = timeout(WITHIN, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command and reads its reply. After an error the connection is of no use.
    pub(super) async fn ask(&mut self, words: &[&str]) -> anyhow::Result<Reply> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        timeout(WITHIN, self.exchange(&command)).await?
    }

    async fn exchange(&mut self, command: &str) -> anyhow::Result<Reply> {
        self.stream.get_mut().write_all(command.as_bytes()).await?;
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            bail!("the cache node closed the connection");
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).context("an empty reply")?;
        Ok(match kind {
            "-" => Reply::Error(rest.to_owned()),
            "$" if rest == "-1" => Reply::Nil,
            "_" => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>()? + 2];
                self.stream.read_exact(&mut bytes).await?;
                bytes.truncate(bytes.len() - 2);
                Reply::Text(String::from_utf8(bytes)?)
            }
            "+" | ":" => Reply::Text(rest.to_owned()),
            _ => bail!("a reply that nobody asked for: {line}"),
        })
    }
}
