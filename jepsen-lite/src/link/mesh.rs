//! All links of a cluster, and faults that concern several of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use super::proxy::Proxy;
use super::weather::{Flow, Weather};

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A node.
    Node(u64),
    /// A worker: a process of the tool that calls nodes. 0 is everybody who asks the address
    /// that the cluster gives out for a node.
    Worker(u64),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "n{id}"),
            Self::Worker(nth) => write!(f, "w{nth}"),
        }
    }
}

/// All links, by who dials and who is dialed.
#[derive(Debug, Default)]
pub struct Mesh {
    links: BTreeMap<(End, End), Proxy>,
}

impl Mesh {
    /// Adds a link.
    ///
    /// # Errors
    /// When its proxy cannot listen.
    pub fn add(
        &mut self,
        from: End,
        to: End,
        listen: SocketAddr,
        target: SocketAddr,
    ) -> anyhow::Result<()> {
        let proxy = Proxy::open(listen, target)?;
        self.links.insert((from, to), proxy);
        Ok(())
    }

    /// The link from one end to another, if there is one.
    #[must_use]
    pub fn link(&self, from: End, to: End) -> Option<&Proxy> {
        self.links.get(&(from, to))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (End, End, &Proxy)> {
        self.links
            .iter()
            .map(|((from, to), link)| (*from, *to, link))
    }

    /// From now on this happens to everything that `from` sends to `to`, whoever dialed.
    pub fn treat(&self, from: End, to: End, flow: Flow) {
        if let Some(link) = self.link(from, to) {
            link.change(|weather| weather.there = flow);
        }
        if let Some(link) = self.link(to, from) {
            link.change(|weather| weather.back = flow);
        }
    }

    /// Every link is as it was at first.
    pub fn heal(&self) {
        for link in self.links.values() {
            link.set(Weather::default());
        }
    }

    /// How much met with a fault so far, on all links.
    #[must_use]
    pub fn hindered(&self) -> u64 {
        let links = self.links.values();
        links.map(|link| link.traffic().hindered()).sum()
    }
}
