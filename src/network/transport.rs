//! Where streams of bytes come from, so that the same code runs over TCP, TLS, memory and a
//! simulated network.

use std::fmt;
use std::io;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// Both directions of one connection. They are apart because a TCP socket can be split without a
/// lock, and whoever reads should not wait for whoever writes.
pub struct Duplex {
    pub read: Box<dyn AsyncRead + Send + Unpin>,
    pub write: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Duplex {
    /// Of a stream that can only be split with a lock.
    pub fn split(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read: Box::new(read),
            write: Box::new(write),
        }
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Duplex")
    }
}

/// A network: addresses are text, as written in the configuration.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Opens a connection. The caller bounds how long that may take.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Duplex>>;

    /// Begins to listen. Port 0 of an IP network means any free one.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Acceptor>>>;
}

/// An address that is listened on, until this is dropped.
pub trait Acceptor: Send + 'static {
    /// The address that peers can connect to.
    fn address(&self) -> String;

    /// The next connection. Cancellation-safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>>;
}

/// A connection that was accepted; `open` finishes it (a TLS handshake takes round trips, which
/// must not hold up the next accept).
pub struct Incoming {
    /// Where it comes from, for logs.
    pub from: String,
    pub open: BoxFuture<'static, io::Result<Duplex>>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming from {}", self.from)
    }
}
