//! One worker: a connection to the leader, a session that it keeps alive, and its requests.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use lockring_client::wire::{self, route};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::connection::{Answer, Connection, request};

/// Where the cluster is and how we may talk to it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `HOST:PORT` of each node that was named.
    pub(super) endpoints: Vec<String>,
    /// The `Authorization` header line, or nothing.
    pub(super) authorization: String,
}

/// Long enough that a run of ordinary length renews a few times only.
const TTL: Duration = Duration::from_secs(60);
const RENEWALS_PER_TTL: u32 = 3;
/// How often it is asked for what is harmless to repeat.
const ATTEMPTS_MAX: u32 = 10;
/// Before a worker that lost its connection looks for the leader again.
const PAUSE: Duration = Duration::from_millis(20);

impl Target {
    /// Asks the nodes, one after the other, who leads, and connects to that one.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let mut last = io::Error::other("no endpoints");
        for endpoint in &self.endpoints {
            match self.connect_through(endpoint).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_through(&self, endpoint: &str) -> io::Result<Connection> {
        let mut connection = Connection::open(endpoint).await?;
        let ask = self.request("GET", route::CLUSTER, "", "");
        let cluster: wire::Cluster = decode(&connection.call(&ask).await?)?;
        let leads = |node: &&wire::Node| Some(node.id) == cluster.leader;
        let Some(leader) = cluster.nodes.iter().find(leads) else {
            return Err(io::Error::other("no leader at the moment"));
        };
        let address = plain_address(&leader.api).map_err(io::Error::other)?;
        if address == endpoint {
            return Ok(connection);
        }
        Connection::open(address).await
    }

    /// Ends these sessions, and with them whatever they still have.
    pub(super) async fn close(&self, sessions: &[String]) -> io::Result<()> {
        let mut connection = self.connect().await?;
        for session in sessions {
            let ask = self.request("DELETE", &route::session(session), "", "");
            let _: wire::Closed = decode(&connection.call(&ask).await?)?;
        }
        Ok(())
    }

    /// The bytes of one request.
    pub(super) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let headers = format!("{}{headers}", self.authorization);
        request(method, path, &headers, body)
    }
}

/// `HOST:PORT` of an `http://` URL.
pub(super) fn plain_address(url: &str) -> Result<&str, String> {
    let address = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    address.ok_or_else(|| format!("`{url}`: bench speaks plain http:// only"))
}

/// The body of an answer that is a success.
pub(super) fn decode<T: DeserializeOwned>(answer: &Answer<'_>) -> io::Result<T> {
    if !(200..300).contains(&answer.status) {
        let body = String::from_utf8_lossy(answer.body);
        return Err(io::Error::other(format!("{}: {body}", answer.status)));
    }
    serde_json::from_slice(answer.body).map_err(io::Error::other)
}

/// A connection and a session.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) target: Target,
    connection: Connection,
    session: String,
    renew_at: Instant,
    renew_every: Duration,
    renew: Vec<u8>,
    release_head: String,
    release: Vec<u8>,
}

impl Worker {
    pub(super) async fn open(target: &Target, nth: usize) -> io::Result<Self> {
        Self::open_for(target, nth, TTL).await
    }

    /// One whose session has this TTL.
    pub(super) async fn open_for(target: &Target, nth: usize, ttl: Duration) -> io::Result<Self> {
        let mut connection = target.connect().await?;
        let ttl_ms = ttl.as_millis();
        let renew_every = ttl / RENEWALS_PER_TTL;
        let body = format!(r#"{{"ttl_ms":{ttl_ms},"owner":"bench {nth}"}}"#);
        let ask = target.request("POST", route::SESSIONS, "", &body);
        let opened: wire::Opened = decode(&connection.call(&ask).await?)?;
        let session = opened.session;
        Ok(Self {
            renew: target.request("POST", &route::renew(&session), "", ""),
            renew_at: Instant::now() + renew_every,
            renew_every,
            target: target.clone(),
            connection,
            session,
            release_head: String::new(),
            release: Vec::with_capacity(512),
        })
    }

    /// Its session; whoever closes it ends all that this worker has.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// The acquire of one lock; the same bytes serve again and again.
    pub(super) fn acquire_request(&self, lock: &str, wait_ms: u64) -> Vec<u8> {
        let session = &self.session;
        let body = match wait_ms {
            0 => format!(r#"{{"session":"{session}"}}"#),
            _ => format!(r#"{{"session":"{session}","wait_ms":{wait_ms}}}"#),
        };
        self.target
            .request("POST", &route::acquire(lock), "", &body)
    }

    /// From now on [`Worker::release`] releases this lock.
    pub(super) fn will_release(&mut self, lock: &str) {
        let path = route::release(lock);
        let authorization = &self.target.authorization;
        self.release_head = format!(
            "POST {path} HTTP/1.1\r\nhost: lockring\r\n{authorization}\
             content-type: application/json\r\ncontent-length: "
        );
    }

    /// Sends bytes built before.
    pub(super) async fn call(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.connection.call(request).await
    }

    /// Releases the lock of [`Worker::will_release`], and answers the status.
    pub(super) async fn release(&mut self, fence: u64) -> io::Result<u16> {
        let digits = fence.checked_ilog10().unwrap_or(0) as usize + 1;
        let length = r#"{"session":"","fence":}"#.len() + self.session.len() + digits;
        let mut text = String::from_utf8(std::mem::take(&mut self.release))
            .expect("it was written as a String");
        text.clear();
        let (head, session) = (&self.release_head, &self.session);
        write!(
            text,
            "{head}{length}\r\n\r\n{{\"session\":\"{session}\",\"fence\":{fence}}}"
        )
        .expect("a String takes whatever is written");
        self.release = text.into_bytes();
        Ok(self.connection.call(&self.release).await?.status)
    }

    /// Renews the session if it is time to.
    pub(super) async fn keep_alive(&mut self) -> io::Result<()> {
        if Instant::now() >= self.renew_at {
            self.renew().await?;
        }
        Ok(())
    }

    /// Renews the session, and answers when it will have ended unless renewed again.
    pub(super) async fn renew(&mut self) -> io::Result<Instant> {
        self.renew_at = Instant::now() + self.renew_every;
        let ask = std::mem::take(&mut self.renew);
        let renewed = self.insist(&ask).await;
        self.renew = ask;
        let renewed: wire::Renewed = renewed?;
        Ok(Instant::now() + Duration::from_millis(renewed.expires_in_ms))
    }

    /// Asks for what is harmless to ask for twice, a few times if need be: on a busy machine the
    /// cluster may change its leader meanwhile.
    pub(super) async fn insist<T: DeserializeOwned>(&mut self, ask: &[u8]) -> io::Result<T> {
        for _ in 1..ATTEMPTS_MAX {
            let answered = self.connection.call(ask).await;
            if let Ok(told) = answered.and_then(|answer| decode(&answer)) {
                return Ok(told);
            }
            self.reconnect().await;
        }
        decode(&self.connection.call(ask).await?)
    }

    /// Looks for the leader until there is one to be reached.
    pub(super) async fn reconnect(&mut self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Ok(connection) = self.target.connect().await {
                self.connection = connection;
                return;
            }
        }
    }
}
