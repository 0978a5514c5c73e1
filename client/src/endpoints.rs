//! Which server to ask: the leader if it is known, else each of the others in turn.
//!
//! Every node serves every call, so any address will do. The leader is the cheapest, because the
//! others pass changes on to it; each answer names it in a header, and the client goes there next.
//! A hint is only a hint: the leader may have just died, or may have announced an address that
//! this client cannot reach. So a server that failed is left alone for a while even when others
//! still recommend it, and the addresses that the client was given always remain.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::tls::Tls;

/// For how long a server that failed is not gone to on a hint alone.
const AVOIDED: Duration = Duration::from_secs(1);
/// Idle connections kept to one server.
const IDLE_MAX: usize = 256;

/// A server, and the idle connections to it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) endpoint: Endpoint,
    idle: Mutex<Vec<Connection>>,
}

impl Site {
    fn new(endpoint: Endpoint) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// The idle connection that was used last, if one still stands.
    pub(crate) fn idle(&self) -> Option<Connection> {
        let mut idle = locked(&self.idle);
        while let Some(connection) = idle.pop() {
            if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// Takes a connection back after its reply.
    pub(crate) fn keep(&self, connection: Connection) {
        let mut idle = locked(&self.idle);
        if idle.len() < IDLE_MAX && connection.is_usable() {
            idle.push(connection);
        }
    }

    /// Drops the idle connections: one of them turned out to be cut, so the others are suspect.
    pub(crate) fn forget_idle(&self) {
        locked(&self.idle).clear();
    }
}

/// The servers that the client was given, and the one that leads as far as it has heard.
#[derive(Debug)]
pub(crate) struct Endpoints {
    known: Vec<Arc<Site>>,
    tls: Option<Tls>,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    leader: Option<Arc<Site>>,
    /// Where in `known` to ask while no leader is known.
    next: usize,
    avoided: Option<(String, Instant)>,
}

impl Heard {
    fn leads(&self, url: &str) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|site| site.endpoint.url() == url)
    }
}

impl Endpoints {
    /// `known` has at least one.
    pub(crate) fn new(known: Vec<Endpoint>, tls: Option<Tls>) -> Self {
        assert!(
            !known.is_empty(),
            "a client is built with at least one endpoint"
        );
        let known = known.into_iter().map(Site::new).collect();
        Self {
            known,
            tls,
            heard: Mutex::new(Heard::default()),
        }
    }

    /// How many servers the client was given.
    pub(crate) const fn len(&self) -> usize {
        self.known.len()
    }

    /// The server to ask now.
    pub(crate) fn pick(&self) -> Arc<Site> {
        let heard = locked(&self.heard);
        let in_turn = &self.known[heard.next % self.known.len()];
        heard.leader.as_ref().unwrap_or(in_turn).clone()
    }

    /// A server named the leader.
    pub(crate) fn heard(&self, url: &str) {
        let mut heard = locked(&self.heard);
        if heard.leads(url) {
            return;
        }
        // The announced address may lack its scheme; parsing brings both to one form.
        let Ok(endpoint) = Endpoint::parse_with(url, self.tls.as_ref()) else {
            return;
        };
        if heard.leads(endpoint.url()) {
            return;
        }
        let now = Instant::now();
        let avoided = heard.avoided.as_ref();
        if avoided.is_some_and(|(url, until)| url == endpoint.url() && now < *until) {
            return;
        }
        let known = self
            .known
            .iter()
            .find(|site| site.endpoint.url() == endpoint.url());
        heard.leader = Some(known.cloned().unwrap_or_else(|| Site::new(endpoint)));
    }

    /// A server did not answer.
    pub(crate) fn failed(&self, site: &Site) {
        self.passed_over(site);
        let until = Instant::now() + AVOIDED;
        locked(&self.heard).avoided = Some((site.endpoint.url().to_owned(), until));
    }

    /// A server answered that it cannot serve at the moment: another may.
    pub(crate) fn passed_over(&self, site: &Site) {
        let mut heard = locked(&self.heard);
        let url = site.endpoint.url();
        if heard.leads(url) {
            heard.leader = None;
        }
        if self.known[heard.next % self.known.len()].endpoint.url() == url {
            heard.next = (heard.next + 1) % self.known.len();
        }
    }
}

/// A panic elsewhere leaves nothing half-done in what these locks guard.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Endpoints {
        let known = ["http://a:1", "http://b:1", "http://c:1"];
        Endpoints::new(known.map(|url| Endpoint::parse(url).unwrap()).into(), None)
    }

    fn picked(endpoints: &Endpoints) -> String {
        endpoints.pick().endpoint.url().to_owned()
    }

    #[test]
    fn the_leader_is_asked_until_it_fails_and_then_the_others_in_turn() {
        let endpoints = three();
        assert_eq!(picked(&endpoints), "http://a:1");
        endpoints.heard("http://b:1");
        assert_eq!(picked(&endpoints), "http://b:1");
        endpoints.failed(&endpoints.pick());
        assert_eq!(picked(&endpoints), "http://a:1");
        endpoints.failed(&endpoints.pick());
        assert_eq!(picked(&endpoints), "http://b:1");
    }

    #[test]
    fn a_server_that_just_failed_is_not_gone_to_on_a_hint() {
        let endpoints = three();
        endpoints.heard("b:1");
        endpoints.failed(&endpoints.pick());
        endpoints.heard("http://b:1");
        assert_eq!(picked(&endpoints), "http://a:1");
        endpoints.heard("http://c:1");
        assert_eq!(picked(&endpoints), "http://c:1");
    }

    #[test]
    fn a_leader_that_was_not_given_is_followed_and_nonsense_is_not() {
        let endpoints = three();
        endpoints.heard("http://d:9");
        assert_eq!(picked(&endpoints), "http://d:9");
        let site = endpoints.pick();
        endpoints.heard("d:9");
        assert!(
            Arc::ptr_eq(&site, &endpoints.pick()),
            "its idle connections are kept"
        );
        for nonsense in ["", "nowhere", "https://d:9", "http://d:9/path"] {
            endpoints.heard(nonsense);
            assert_eq!(picked(&endpoints), "http://d:9");
        }
    }
}
