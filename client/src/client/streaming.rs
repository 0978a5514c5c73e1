//! Opening a stream at one server.

use super::{Client, Times};
use crate::connection::{Call, Connection};
use crate::error::Error;
use crate::wire::{Certainty, route};

impl Client {
    /// Opens a stream at one server, in one attempt: the connection that it comes over, and the
    /// revision at which it begins.
    pub(crate) async fn begin_stream(
        &self,
        path: &str,
        after: Option<&str>,
    ) -> Result<(Connection, Option<u64>), Error> {
        let site = self.inner.endpoints.pick();
        let path = after.map_or_else(
            || path.to_owned(),
            |after| {
                let before = if path.contains('?') { '&' } else { '?' };
                format!("{path}{before}after={}", route::segment(after))
            },
        );
        let Times {
            attempt, connect, ..
        } = self.inner.times;
        let opened = async {
            let token = self.inner.token.as_deref();
            let mut connection = Connection::open(&site.endpoint, token, connect).await?;
            let begun = connection.begin(Call::get(&path)).await?;
            let mut body = Vec::new();
            if begun.status != 200 {
                while !connection.piece(&mut body).await? {}
            }
            Ok::<_, std::io::Error>((connection, begun, body))
        };
        let certainty = Certainty::NoEffect;
        let unanswered = |last: String| {
            self.inner.endpoints.failed(&site);
            Error::NoAnswer {
                within: attempt,
                last: format!("{}: {last}", site.endpoint.url()),
                certainty,
            }
        };
        let (connection, begun, body) = match tokio::time::timeout(attempt, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(unanswered(error.to_string())),
            Err(_) => return Err(unanswered("no answer in time".to_owned())),
        };
        if begun.status == 200 {
            return Ok((connection, begun.revision));
        }
        self.inner.endpoints.passed_over(&site);
        Err(match serde_json::from_slice(&body) {
            Ok(problem) => Error::Refused { problem, certainty },
            Err(error) => Error::Foreign {
                status: begun.status,
                detail: error.to_string(),
                certainty,
            },
        })
    }
}
