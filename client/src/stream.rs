//! One event stream of one server, until it breaks.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::client::Client;
use crate::connection::Connection;
use crate::error::Error;
use crate::sse::{Parser, Told};

/// A stream on which nothing came for so long is broken: servers send a comment more often.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// An open stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    connection: Connection,
    parser: Parser,
    /// From where to resume before an event came that says so itself.
    begun_at: Option<String>,
    ended: bool,
}

impl EventStream {
    /// Opens the stream at `path`, behind the event `after`.
    pub(crate) async fn open(
        client: &Client,
        path: String,
        after: Option<String>,
    ) -> Result<Self, Error> {
        let (connection, revision) = client.begin_stream(&path, after.as_deref()).await?;
        Ok(Self {
            connection,
            parser: Parser::default(),
            // What happens after the revision at which the stream began is told by it.
            begun_at: after.or_else(|| revision.map(|revision| revision.to_string())),
            ended: false,
        })
    }

    /// The id behind which to resume.
    pub(crate) fn resume(&self) -> Option<String> {
        let last = self.parser.last_id().map(str::to_owned);
        last.or_else(|| self.begun_at.clone())
    }

    /// The next event; nothing when the server ended the stream. Nothing is lost when the future is
    /// dropped.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Told>> {
        loop {
            if let Some(told) = self.parser.next()? {
                return Ok(Some(told));
            }
            if self.ended {
                return Ok(None);
            }
            let piece = self.connection.piece(self.parser.buffer());
            self.ended = timeout(SILENCE_MAX, piece).await.map_err(|_| {
                let why = format!("nothing came for {SILENCE_MAX:?}");
                io::Error::new(io::ErrorKind::TimedOut, why)
            })??;
        }
    }
}
