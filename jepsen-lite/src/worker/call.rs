//! One HTTP call over a kept connection, without a client's cleverness: no retries, no following
//! of leaders, so that the history holds what one node answered to one request.

use std::time::Duration;

use lockring_client::{Call, Connection, Endpoint, Method};
use serde_json::Value;
use tokio::time::timeout;

/// Longer than an election; what takes longer is of unknown outcome.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A read that is not answered says nothing; soon another node is asked.
const READ_WITHIN: Duration = Duration::from_millis(1_200);
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// What one request came to.
#[derive(Debug)]
pub(crate) enum Told {
    Answer(Answer),
    /// It was sent, and nobody knows.
    Unknown(String),
    /// It was not sent.
    Unsent(String),
}

/// An answer of the service.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) revision: Option<u64>,
    pub(crate) fence: Option<u64>,
    pub(crate) body: Value,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Option<Value>,
    /// How long the service may hold the answer back beyond the usual.
    pub(crate) patience: Duration,
}

impl Ask {
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::Get,
            path,
            key: None,
            body: None,
            patience: Duration::ZERO,
        }
    }

    pub(crate) fn post(path: String, body: Value) -> Self {
        Self {
            method: Method::Post,
            body: Some(body),
            ..Self::get(path)
        }
    }
}

/// Calls one node at a time, over a connection that it keeps.
#[derive(Debug)]
pub(crate) struct Caller {
    endpoints: Vec<String>,
    /// The node that is asked, from 0 up.
    at: usize,
    open: Option<Connection>,
}

impl Caller {
    pub(crate) fn new(endpoints: &[String], at: u64) -> Self {
        let count = endpoints.len().max(1);
        Self {
            endpoints: endpoints.to_vec(),
            at: usize::try_from(at).unwrap_or(0) % count,
            open: None,
        }
    }

    /// The node that is asked.
    pub(crate) fn node(&self) -> u64 {
        self.at as u64 + 1
    }

    /// Asks another node from now on.
    pub(crate) fn turn_to(&mut self, node: u64) {
        let at = usize::try_from(node.saturating_sub(1)).unwrap_or(0) % self.endpoints.len();
        if at != self.at {
            self.at = at;
            self.open = None;
        }
    }

    pub(crate) fn nodes(&self) -> u64 {
        self.endpoints.len() as u64
    }

    pub(crate) async fn call(&mut self, ask: &Ask) -> Told {
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(why) => return Told::Unsent(why),
        };
        let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
        let call = Call {
            method: ask.method,
            path: &ask.path,
            key: ask.key.as_deref(),
            body: body.as_bytes(),
        };
        let usual = match ask.method {
            Method::Get => READ_WITHIN,
            _ => ANSWER_WITHIN,
        };
        let within = usual + ask.patience;
        let mut connection = connection;
        match timeout(within, connection.call(call)).await {
            Ok(Ok(reply)) => {
                let answer = Answer {
                    status: reply.status,
                    revision: reply.revision,
                    fence: reply.fence,
                    body: serde_json::from_slice(reply.body).unwrap_or_default(),
                };
                self.open = Some(connection);
                Told::Answer(answer)
            }
            Ok(Err(error)) => Told::Unknown(error.to_string()),
            Err(_) => Told::Unknown("no answer in time".to_owned()),
        }
    }

    async fn connection(&mut self) -> Result<Connection, String> {
        if let Some(open) = self.open.take()
            && open.is_usable()
        {
            return Ok(open);
        }
        let url = &self.endpoints[self.at];
        let endpoint = Endpoint::parse(url).map_err(|error| error.to_string())?;
        let opened = Connection::open(&endpoint, None, CONNECT_WITHIN).await;
        opened.map_err(|error| error.to_string())
    }
}
