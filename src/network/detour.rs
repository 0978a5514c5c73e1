//! Peers that are reached elsewhere than at the address that everybody knows.
//!
//! The membership records one address for each node, the same for all. This node may have to take
//! another way to it: through a tunnel, or through the proxies of a tool that injects faults.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::transport::{Acceptor, Duplex, Transport};

/// A network some of whose addresses are dialed elsewhere.
#[derive(Debug)]
pub struct Detour {
    network: Arc<dyn Transport>,
    dial: BTreeMap<String, String>,
}

impl Detour {
    /// `dial` maps an address to the one that is connected to in its place.
    #[must_use]
    pub fn new(network: Arc<dyn Transport>, dial: BTreeMap<String, String>) -> Self {
        Self { network, dial }
    }
}

impl Transport for Detour {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Duplex>> {
        let address = self.dial.get(address).map_or(address, String::as_str);
        self.network.connect(address)
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Acceptor>>> {
        self.network.listen(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Memory;

    #[tokio::test]
    async fn an_address_with_a_detour_is_reached_there_and_others_where_they_are() {
        let network: Arc<dyn Transport> = Arc::new(Memory::new());
        let dial = BTreeMap::from([("node-2".to_owned(), "tunnel".to_owned())]);
        let detour = Detour::new(Arc::clone(&network), dial);
        let _tunnel = network.listen("tunnel").await.unwrap();
        let _other = detour.listen("node-3").await.unwrap();

        for (address, reached) in [("node-2", true), ("node-3", true), ("node-4", false)] {
            assert_eq!(detour.connect(address).await.is_ok(), reached, "{address}");
        }
        assert!(network.connect("node-2").await.is_err());
    }
}
