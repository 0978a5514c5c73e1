//! The contract's calls, one method each: for tools, and for callers that keep sessions and
//! fences themselves. Services want [`crate::Session`] and [`crate::LockGuard`].

mod acquire;
mod leases;
mod rings;

use std::fmt::Write;
use std::time::Duration;

use lockring_core::LockName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Answer, Client};
use crate::connection::Method;
use crate::error::Error;
use crate::wire::{
    AddNode, Closed, Cluster, Consistency, LeaderIs, OpenSession, Opened, Renewed, Session,
    SessionPage, SessionsQuery, TransferLeader, route,
};

fn json<T: DeserializeOwned>(_: u16, body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(body)
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

    /// Ends a session as an operator, who knows the first eight digits of its id.
    ///
    /// # Errors
    /// [`Error`]; `session_gone` with the cause if it has ended before, `not_found` if none ever
    /// began so.
    pub async fn end_session(&self, first_digits: &str, reason: &str) -> Result<Closed, Error> {
        let path = route::end_session(first_digits, reason);
        self.change(Method::Delete, path, Vec::new()).await
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
