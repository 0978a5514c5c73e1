//! The contract's calls, one method each: for tools, and for callers that keep sessions and
//! fences themselves. Services want [`crate::Session`] and [`crate::LockGuard`].

use std::fmt::Write;
use std::time::Duration;

use lockring_core::LockName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::client::{Answer, Client};
use crate::connection::Method;
use crate::error::Error;
use crate::wire::{
    Acquire, AddNode, Check, Closed, Cluster, Consistency, Granted, LeaderIs, Lock, LockPage,
    LocksQuery, OpenSession, Opened, POLL_WINDOW_MS, Queued, Release, Released, Renewed, Session,
    SessionPage, SessionsQuery, TransferLeader, route,
};

/// The least time from one poll of a place to the next; a server that answers 202 at once, again
/// and again, is not asked more often.
const POLL_MIN: Duration = Duration::from_millis(50);

/// What an acquire came to.
enum Acquired {
    Granted(Granted),
    Queued(Queued),
}

fn json<T: DeserializeOwned>(_: u16, body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(body)
}

fn acquired(status: u16, body: &[u8]) -> serde_json::Result<Acquired> {
    if status == 202 {
        serde_json::from_slice(body).map(Acquired::Queued)
    } else {
        serde_json::from_slice(body).map(Acquired::Granted)
    }
}

fn written(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("the wire's requests are plain structs of text and numbers")
}

pub(crate) fn lock_name(name: &str) -> Result<LockName, Error> {
    LockName::parse(name).map_err(|error| Error::Invalid {
        what: "the lock's name",
        why: error.to_string(),
    })
}

/// A query string out of the fields that are there.
#[derive(Default)]
struct Query(String);

impl Query {
    fn with(mut self, field: &str, value: Option<impl std::fmt::Display>) -> Self {
        if let Some(value) = value {
            let before = if self.0.is_empty() { '?' } else { '&' };
            let value = route::segment(&value.to_string());
            write!(self.0, "{before}{field}={value}").expect("a String takes whatever is written");
        }
        self
    }
}

fn consistency(consistency: Option<Consistency>) -> Option<&'static str> {
    consistency.map(|consistency| match consistency {
        Consistency::Linearizable => "linearizable",
        Consistency::Stale => "stale",
    })
}

impl Client {
    async fn read<T: DeserializeOwned>(&self, path: String) -> Result<T, Error> {
        Ok(self.call(&mut self.get(path), json).await?.body)
    }

    async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Vec<u8>,
    ) -> Result<T, Error> {
        Ok(self
            .call(&mut self.act(method, path, body), json)
            .await?
            .body)
    }

    /// Opens a session that nobody renews; [`Client::session`] opens one that is kept alive.
    ///
    /// # Errors
    /// [`Error`]; `invalid` for a TTL out of bounds.
    pub async fn open_session(&self, open: &OpenSession) -> Result<Opened, Error> {
        Ok(self.open_counted(open).await?.body)
    }

    /// The same, with the moment from which its life is to be counted.
    pub(crate) async fn open_counted(&self, open: &OpenSession) -> Result<Answer<Opened>, Error> {
        let path = route::SESSIONS.to_owned();
        self.call(&mut self.act(Method::Post, path, written(open)), json)
            .await
    }

    /// Renews a session.
    ///
    /// # Errors
    /// [`Error`]; `session_gone` with the cause.
    pub async fn renew_session(&self, session: &str) -> Result<Renewed, Error> {
        Ok(self.renew_counted(session, self.timeout()).await?.body)
    }

    /// The same within a given time, with the moment from which the new life is to be counted.
    pub(crate) async fn renew_counted(
        &self,
        session: &str,
        within: Duration,
    ) -> Result<Answer<Renewed>, Error> {
        let mut request = self.request(Method::Post, route::renew(session), None, Vec::new());
        request.within = within;
        request.attempt = request.attempt.min(within);
        self.call(&mut request, json).await
    }

    /// Closes a session, and releases with it whatever it holds.
    ///
    /// # Errors
    /// [`Error`]; `session_gone` with the cause.
    pub async fn close_session(&self, session: &str) -> Result<Closed, Error> {
        self.change(Method::Delete, route::session(session), Vec::new())
            .await
    }

    /// Gets one session, whose whole id the caller must know.
    ///
    /// # Errors
    /// [`Error`]; `session_gone` with the cause.
    pub async fn get_session(&self, session: &str) -> Result<Session, Error> {
        self.read(route::session(session)).await
    }

    /// Lists live sessions, a page at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list_sessions(&self, query: &SessionsQuery) -> Result<SessionPage, Error> {
        let Query(fields) = Query::default()
            .with("owner", query.owner.as_ref())
            .with("after", query.after.as_ref())
            .with("limit", query.limit)
            .with("consistency", consistency(query.consistency))
            .with("min_revision", query.min_revision);
        self.read(format!("{}{fields}", route::SESSIONS)).await
    }

    /// Acquires a lock, waiting as long as `acquire.wait_ms` says, over polls and failovers.
    ///
    /// If the future is dropped, its connection closes and the place in the queue is given up; a
    /// lease that was granted in that very moment remains with the session.
    ///
    /// # Errors
    /// [`Error`]; `held` after a try, `wait_timeout` after a wait.
    pub async fn acquire_lock(&self, name: &str, acquire: &Acquire) -> Result<Granted, Error> {
        lock_name(name)?;
        let mut request = self.act(Method::Post, route::acquire(name), written(acquire));
        let wait = Duration::from_millis(acquire.wait_ms.unwrap_or(0));
        let poll = wait.min(Duration::from_millis(POLL_WINDOW_MS));
        request.attempt = request.attempt.saturating_add(poll);
        let deadline = Instant::now() + request.within.saturating_add(wait);
        loop {
            let asked = Instant::now();
            request.within = deadline.saturating_duration_since(asked);
            match self.call(&mut request, acquired).await?.body {
                Acquired::Granted(granted) => return Ok(granted),
                // The place is ours for as long as the next poll comes soon, under the same key.
                Acquired::Queued(queued) => {
                    let latest = asked + Duration::from_millis(queued.retry_after_ms);
                    tokio::time::sleep_until(latest.min(asked + POLL_MIN)).await;
                }
            }
        }
    }

    /// Releases a lock.
    ///
    /// # Errors
    /// [`Error`]; `fence_stale` if the session does not hold the lock under that fence.
    pub async fn release_lock(&self, name: &str, release: &Release) -> Result<(), Error> {
        let path = route::release(name);
        let Released { .. } = self.change(Method::Post, path, written(release)).await?;
        Ok(())
    }

    /// Gets one lock: who holds it, who waits. A free lock is `free`, not an error.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get_lock(&self, name: &str) -> Result<Lock, Error> {
        lock_name(name)?;
        self.read(route::lock(name)).await
    }

    /// Lists locks in use, a page at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list_locks(&self, query: &LocksQuery) -> Result<LockPage, Error> {
        let Query(fields) = Query::default()
            .with("prefix", query.prefix.as_ref())
            .with("after", query.after.as_ref())
            .with("limit", query.limit)
            .with("consistency", consistency(query.consistency))
            .with("min_revision", query.min_revision);
        self.read(format!("{}{fields}", route::LOCKS)).await
    }

    /// Asks whether a lease with that fence is in force.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn check_fence(&self, name: &str, fence: u64) -> Result<Check, Error> {
        lock_name(name)?;
        self.read(route::check(name, fence)).await
    }

    /// The cluster: its leader and its nodes.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        self.read(route::CLUSTER.to_owned()).await
    }

    /// Brings a node into the cluster, or replaces one whose directory was lost.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_node(&self, node: &AddNode) -> Result<Cluster, Error> {
        self.change(Method::Post, route::CLUSTER_NODES.to_owned(), written(node))
            .await
    }

    /// Takes a node out of the cluster.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is none.
    pub async fn remove_node(&self, id: u64) -> Result<Cluster, Error> {
        self.change(Method::Delete, route::node(id), Vec::new())
            .await
    }

    /// Hands leadership over, to a given node or to the one that is furthest.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is no such node.
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<LeaderIs, Error> {
        let body = written(&TransferLeader { to });
        self.change(Method::Post, route::CLUSTER_TRANSFER.to_owned(), body)
            .await
    }
}
