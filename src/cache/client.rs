//! What is known of one connection's client.

use std::net::SocketAddr;

use super::resp::Proto;

/// By which door a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// It knows of slots, and asks their owner.
    Cluster,
    /// It knows of one server, and asks us for everything.
    Proxy,
    /// It is another member.
    Peer,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) door: Door,
    pub(crate) proto: Proto,
    pub(crate) name: Vec<u8>,
    /// Its library and that one's version, as it says.
    pub(crate) library: (Vec<u8>, Vec<u8>),
    /// Whether it has shown the password, or none is asked for.
    pub(crate) is_known: bool,
}

impl Client {
    pub(crate) fn new(id: u64, address: SocketAddr, door: Door, is_known: bool) -> Self {
        Self {
            id,
            address,
            door,
            proto: Proto::default(),
            name: Vec::new(),
            library: (Vec::new(), Vec::new()),
            is_known,
        }
    }
}
