//! A network in memory: for tests of the floors above, where ports would only be in the way.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::transport::{Acceptor, Duplex, Incoming, Transport};

/// How many bytes one direction holds before the writer must wait.
const PIPE_BYTES: usize = 64 << 10;

/// Connections that wait to be accepted.
const BACKLOG: usize = 64;

/// All clones are one network; an address is any text.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    listeners: Arc<Mutex<BTreeMap<String, mpsc::Sender<DuplexStream>>>>,
    refused: Arc<AtomicU64>,
}

impl Memory {
    /// An empty network.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often somebody connected to an address at which nobody listens.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Transport for Memory {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Duplex>> {
        let listener = self.listeners.lock().get(address).cloned();
        Box::pin(async move {
            let refused = || {
                self.refused.fetch_add(1, Ordering::Relaxed);
                io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens")
            };
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            let listener = listener.ok_or_else(refused)?;
            listener.send(far).await.map_err(|_| refused())?;
            Ok(Duplex::split(near))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Acceptor>>> {
        let (sender, incoming) = mpsc::channel(BACKLOG);
        let mut listeners = self.listeners.lock();
        let free = listeners.get(address).is_none_or(mpsc::Sender::is_closed);
        if free {
            listeners.insert(address.to_owned(), sender);
        }
        let acceptor = MemoryAcceptor {
            address: address.to_owned(),
            incoming,
        };
        Box::pin(async move {
            if !free {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            Ok(Box::new(acceptor) as Box<dyn Acceptor>)
        })
    }
}

struct MemoryAcceptor {
    address: String,
    incoming: mpsc::Receiver<DuplexStream>,
}

impl Acceptor for MemoryAcceptor {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let stream = self.incoming.recv().await;
            let stream = stream.ok_or_else(|| io::Error::other("the address was taken over"))?;
            let open = async move { Ok(Duplex::split(stream)) };
            Ok(Incoming {
                from: "memory".to_owned(),
                open: Box::pin(open),
            })
        })
    }
}
