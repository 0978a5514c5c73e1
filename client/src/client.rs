//! The client: one call, asked of the right server until it is answered or its time is over.

mod streaming;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::{Call, Connection, Method, visible};
use crate::countdown::BootTime;
use crate::endpoint::Endpoint;
use crate::endpoints::{Endpoints, Site};
use crate::error::Error;
use crate::retry::{Backoff, Certain, Keys};
use crate::tls::Tls;
use crate::wire::{Problem, Retry};

/// A client of one cluster. Cheap to clone; clones share connections.
///
/// It spawns nothing and holds nothing open but idle connections. Every call that changes
/// something is repeated under one `Idempotency-Key` until it is answered or its time is over.
///
/// ```no_run
/// use lockring_client::Client;
///
/// # async fn example() -> Result<(), lockring_client::Error> {
/// let client = Client::new(["http://127.0.0.1:7420", "http://127.0.0.1:7430"])?;
/// println!("the leader is node {:?}", client.cluster().await?.leader);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoints: Endpoints,
    token: Option<String>,
    keys: Keys,
    times: Times,
    /// How many sessions are being kept.
    keepers: watch::Sender<usize>,
}

/// That a session is being kept.
#[derive(Debug)]
pub(crate) struct Running(Client);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.inner.keepers.send_modify(|keepers| *keepers -= 1);
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Times {
    call: Duration,
    attempt: Duration,
    connect: Duration,
}

/// What a client is made from.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    token: Option<String>,
    tls: Option<Tls>,
    times: Times,
}

impl ClientBuilder {
    /// Adds a server's address; one is enough, more survive its loss.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoints.push(url.into());
        self
    }

    /// Sends this bearer token with every call.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Talks TLS, and only that.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long a call is tried in all, waits for a lock not counted; 10 s if not said.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.times.call = timeout;
        self
    }

    /// How long one server may take to answer before another is asked; 3 s if not said.
    #[must_use]
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.times.attempt = timeout;
        self
    }

    /// How long one server may take to accept a connection; 1 s if not said.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.times.connect = timeout;
        self
    }

    /// The client. It does not connect before the first call.
    ///
    /// # Errors
    /// [`Error::Invalid`] without an endpoint, for an address that is none, or for a token that no
    /// header can carry.
    pub fn build(self) -> Result<Client, Error> {
        let tls = self.tls.as_ref();
        let known = self
            .endpoints
            .iter()
            .map(|url| Endpoint::parse_with(url, tls))
            .collect::<Result<Vec<_>, _>>()?;
        if known.is_empty() {
            return Err(Error::Invalid {
                what: "the client",
                why: "has no endpoint".to_owned(),
            });
        }
        if self.token.as_deref().is_some_and(|token| !visible(token)) {
            let why = "is empty or has a character that is not visible ASCII".to_owned();
            return Err(Error::Invalid {
                what: "the token",
                why,
            });
        }
        let endpoints = Endpoints::new(known, self.tls);
        let (token, times) = (self.token, self.times);
        let inner = Inner {
            endpoints,
            token,
            keys: Keys::draw()?,
            times,
            keepers: watch::Sender::new(0),
        };
        Ok(Client {
            inner: Arc::new(inner),
        })
    }
}

/// A call that may take several attempts.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Vec<u8>,
    /// How long to try in all.
    pub(crate) within: Duration,
    /// How long one server may take.
    pub(crate) attempt: Duration,
}

/// An answer that is a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer<T> {
    /// The boot-time clock before the attempt that was answered was sent.
    pub(crate) sent: BootTime,
    /// The number of the last command that it reflects, if it says so.
    pub(crate) revision: Option<u64>,
    pub(crate) body: T,
}

impl<T> Answer<T> {
    pub(crate) const fn new(sent: BootTime, revision: Option<u64>, body: T) -> Self {
        Self {
            sent,
            revision,
            body,
        }
    }
}

/// Makes the body of a success (its status is given) into what the caller wants.
pub(crate) type Decode<T> = fn(u16, &[u8]) -> serde_json::Result<T>;

/// What one attempt came to.
enum Attempt<T> {
    /// At this revision.
    Success(Option<u64>, T),
    Refused(Box<Problem>),
    Foreign {
        status: u16,
        detail: String,
    },
    /// Nothing was sent.
    NotSent(String),
    /// Nothing was sent, because the server is not one that the client trusts.
    Distrusted(String),
    /// It was sent, and no answer came.
    Unanswered(String),
}

impl Client {
    /// A client with the defaults, of the servers at these addresses.
    ///
    /// # Errors
    /// As [`ClientBuilder::build`].
    pub fn new<U: Into<String>>(endpoints: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        endpoints
            .into_iter()
            .fold(Self::builder(), ClientBuilder::endpoint)
            .build()
    }

    /// A client step by step.
    #[must_use]
    pub const fn builder() -> ClientBuilder {
        let times = Times {
            call: Duration::from_secs(10),
            attempt: Duration::from_secs(3),
            connect: Duration::from_secs(1),
        };
        ClientBuilder {
            endpoints: Vec::new(),
            token: None,
            tls: None,
            times,
        }
    }

    /// Waits until nothing of this client's sessions is left to be done in the background: all are
    /// closed or lost. Sessions close when their last handle is dropped, in the background; a
    /// program that ends meanwhile leaves their locks to their TTLs.
    ///
    /// ```no_run
    /// # async fn example(client: lockring_client::Client) -> Result<(), lockring_client::Error> {
    /// let session = client.session().open().await?;
    /// drop(session.acquire("reports/nightly").await?);
    /// drop(session);
    /// client.settled().await; // Now the lock is free.
    /// # Ok(())
    /// # }
    /// ```
    pub async fn settled(&self) {
        let mut keepers = self.inner.keepers.subscribe();
        let settled = keepers.wait_for(|keepers| *keepers == 0).await;
        settled.expect("the sender is in self");
    }

    /// A session begins to be kept, until what is returned is dropped.
    pub(crate) fn running(&self) -> Running {
        self.inner.keepers.send_modify(|keepers| *keepers += 1);
        Running(self.clone())
    }

    /// A read, with the client's times.
    pub(crate) fn get(&self, path: String) -> Request {
        self.request(Method::Get, path, None, Vec::new())
    }

    /// A call that changes something, under a key of its own.
    pub(crate) fn act(&self, method: Method, path: String, body: Vec<u8>) -> Request {
        self.request(method, path, Some(self.inner.keys.key()), body)
    }

    /// A call that is harmless to repeat and so needs no key.
    pub(crate) fn request(
        &self,
        method: Method,
        path: String,
        key: Option<String>,
        body: Vec<u8>,
    ) -> Request {
        let Times {
            call: within,
            attempt,
            ..
        } = self.inner.times;
        Request {
            method,
            path,
            key,
            body,
            within,
            attempt,
        }
    }

    /// How long a call is tried in all.
    pub(crate) fn timeout(&self) -> Duration {
        self.inner.times.call
    }

    /// Asks until there is an answer that stands, or the request's time is over.
    ///
    /// Dropping the future closes the connection that the attempt under way uses.
    pub(crate) async fn call<T>(
        &self,
        request: &mut Request,
        decode: Decode<T>,
    ) -> Result<Answer<T>, Error> {
        let deadline = Instant::now() + request.within;
        let mut certain = Certain::new();
        let mut backoff = Backoff::default();
        let mut distrusted = 0;
        loop {
            let site = self.inner.endpoints.pick();
            let sent = BootTime::now();
            let error = match self
                .attempt(&site, request, decode, deadline, &mut certain)
                .await
            {
                Attempt::Success(revision, body) => return Ok(Answer::new(sent, revision, body)),
                Attempt::Refused(problem) => {
                    certain.answered(problem.code);
                    let error = Error::Refused {
                        problem,
                        certainty: certain.certainty(),
                    };
                    if !self.may_repeat(&site, &error, request) {
                        return Err(error);
                    }
                    error
                }
                Attempt::Foreign { status, detail } => {
                    certain.unanswered();
                    self.inner.endpoints.passed_over(&site);
                    let certainty = certain.certainty();
                    let error = Error::Foreign {
                        status,
                        detail,
                        certainty,
                    };
                    if !matches!(status, 502..=504) {
                        return Err(error);
                    }
                    error
                }
                Attempt::Distrusted(why) => {
                    self.inner.endpoints.failed(&site);
                    distrusted += 1;
                    let certainty = certain.certainty();
                    let error = Error::Distrusted { why, certainty };
                    // Another server may have a certificate that is trusted; time changes none.
                    if distrusted >= self.inner.endpoints.len() {
                        return Err(error);
                    }
                    error
                }
                Attempt::NotSent(last) => self.silent(&site, request, last, certain),
                Attempt::Unanswered(last) => {
                    certain.unanswered();
                    self.silent(&site, request, last, certain)
                }
            };
            let pause = backoff.next(&self.inner.keys).max(asked_pause(&error));
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(server = site.endpoint.url(), %error, ?pause, "to be asked again");
            tokio::time::sleep(pause).await;
        }
    }

    /// The server did not answer.
    fn silent(&self, site: &Site, request: &Request, last: String, certain: Certain) -> Error {
        self.inner.endpoints.failed(site);
        Error::NoAnswer {
            within: request.within,
            last,
            certainty: certain.certainty(),
        }
    }

    /// Whether a refusal allows another attempt; if so, request and endpoints are made ready.
    fn may_repeat(&self, site: &Site, error: &Error, request: &mut Request) -> bool {
        let Some(problem) = error.problem() else {
            return false;
        };
        match problem.code.retry() {
            Retry::Never => false,
            Retry::SameKey => {
                self.inner.endpoints.passed_over(site);
                if let Some(leader) = &problem.leader {
                    self.inner.endpoints.heard(leader);
                }
                true
            }
            // Only when the service says when: a bound that it does not expect to lift is final.
            Retry::NewKey if problem.retry_after_ms.is_some() => {
                request.key = request.key.as_ref().map(|_| self.inner.keys.key());
                true
            }
            Retry::NewKey => false,
        }
    }

    /// One attempt at one server. A connection that had been idle may have been closed by the
    /// server just then; that is no reason to leave the server, so it is asked once more over a
    /// new one.
    async fn attempt<T>(
        &self,
        site: &Site,
        request: &Request,
        decode: Decode<T>,
        deadline: Instant,
        certain: &mut Certain,
    ) -> Attempt<T> {
        let until = deadline.min(Instant::now() + request.attempt);
        let asked = async {
            if let Some(idle) = site.idle() {
                let attempt = self.ask(site, idle, request, decode).await;
                if !matches!(attempt, Attempt::Unanswered(_)) {
                    return attempt;
                }
                certain.unanswered();
                site.forget_idle();
            }
            let within = self.inner.times.connect;
            match Connection::open(&site.endpoint, self.inner.token.as_deref(), within).await {
                Ok(connection) => self.ask(site, connection, request, decode).await,
                Err(error) => {
                    let what = format!("{}: {error}", site.endpoint.url());
                    match error.kind() {
                        std::io::ErrorKind::InvalidData => Attempt::Distrusted(what),
                        _ => Attempt::NotSent(what),
                    }
                }
            }
        };
        match tokio::time::timeout_at(until, asked).await {
            Ok(attempt) => attempt,
            Err(_) => Attempt::Unanswered(format!("{}: no answer in time", site.endpoint.url())),
        }
    }

    async fn ask<T>(
        &self,
        site: &Site,
        mut connection: Connection,
        request: &Request,
        decode: Decode<T>,
    ) -> Attempt<T> {
        let call = Call {
            method: request.method,
            path: &request.path,
            key: request.key.as_deref(),
            body: &request.body,
        };
        let reply = match connection.call(call).await {
            Ok(reply) => reply,
            Err(error) => return Attempt::Unanswered(format!("{}: {error}", site.endpoint.url())),
        };
        if let Some(leader) = reply.leader {
            self.inner.endpoints.heard(leader);
        }
        let (status, revision) = (reply.status, reply.revision);
        let foreign = |detail: serde_json::Error| Attempt::Foreign {
            status,
            detail: detail.to_string(),
        };
        let attempt = if (200..300).contains(&status) {
            decode(status, reply.body).map_or_else(foreign, |body| Attempt::Success(revision, body))
        } else {
            serde_json::from_slice(reply.body).map_or_else(foreign, Attempt::Refused)
        };
        site.keep(connection);
        attempt
    }
}

/// How long the service asks to wait before the next attempt.
fn asked_pause(error: &Error) -> Duration {
    let asked = error.problem().and_then(|problem| problem.retry_after_ms);
    Duration::from_millis(asked.unwrap_or(0))
}
