//! How much the node takes on: the loop that accepts connections, and every bound around it.
//!
//! `axum::serve` accepts whatever comes and waits for it as long as it likes: a half-sent header
//! held a connection open for 45 seconds and would have held it for days. A lock service that can
//! be silenced by a thousand idle sockets is not one, so the loop is our own, over hyper:
//!
//! - connections are counted, in all and by address; one too many is told so with a 429 that is
//!   written without waiting, and closed;
//! - each is waited for with [`super::patience`], from its TLS handshake to its last byte;
//! - a head has at most [`HEAD_BYTES_MAX`] bytes and hyper's 100 headers; a body is bounded where
//!   it is read;
//! - when the node stops, no new connection is accepted, each open one ends with the answer that
//!   it is being given, and what has not ended after [`Limits::drain`] is cut.
//!
//! What this does not do: it does not slow anybody down. A client that is within its bounds is
//! served as fast as the log allows.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::Api;
use super::error;
use super::patience::{Answering, Bounds, Patient, Progress};

/// The bytes of a request's line and headers. A lock's name of 512 bytes is 1536 when encoded.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// After an accept that failed for want of files or memory: long enough for some to come free.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How much a node takes on from its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections in all.
    pub connections_max: usize,
    /// Open connections from one address.
    pub connections_per_address_max: usize,
    /// From the first byte of a request to the end of its head; the TLS handshake has as long.
    pub head: Duration,
    /// From an answer to the next request on the same connection.
    pub idle: Duration,
    /// From the head of a request to the end of its body.
    pub body: Duration,
    /// While a client takes nothing of its answer.
    pub write: Duration,
    /// From the wish to stop to the end of the last connection.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_address_max: 8_192,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(20),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// Open connections, by address.
#[derive(Debug, Default)]
pub(super) struct Doorman {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's permission to be open; dropping it gives the place back.
#[derive(Debug)]
struct Admitted {
    doorman: Arc<Doorman>,
    address: IpAddr,
}

impl Doorman {
    /// How many are inside.
    pub(super) fn connections(&self) -> usize {
        self.inside.lock().total
    }

    /// Lets one more in, or tells which bound is reached.
    fn admit(self: &Arc<Self>, from: IpAddr, limits: &Limits) -> Result<Admitted, &'static str> {
        let address = from.to_canonical();
        let mut inside = self.inside.lock();
        if inside.total >= limits.connections_max {
            return Err("connections");
        }
        let here = inside.by_address.entry(address).or_default();
        if *here >= limits.connections_per_address_max {
            return Err("connections_per_address");
        }
        *here += 1;
        inside.total += 1;
        drop(inside);
        Ok(Admitted {
            doorman: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut inside = self.doorman.inside.lock();
        inside.total -= 1;
        if let Some(here) = inside.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

/// Serves clients until `stop`, and then until the last connection has ended or been cut.
///
/// With `tls` every connection has to be encrypted.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Api,
    stop: CancellationToken,
) {
    let limits = *api.limits();
    let mut connections = JoinSet::new();
    let server = Arc::new(Server {
        router: api.router(),
        api,
        tls,
        limits,
        stop: stop.clone(),
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                note(ended);
                continue;
            }
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, from)) => {
                if let Some(admitted) = admit(&server, &stream, from) {
                    connections.spawn(connection(Arc::clone(&server), stream, admitted));
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections: trying again");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
    };
    if timeout(limits.drain, drained).await.is_err() {
        let connections_left = connections.len();
        tracing::info!(
            connections_left,
            "cutting the connections that have not ended"
        );
        connections.shutdown().await;
    }
}

/// Handlers catch their own panics; this would be one of the connection itself.
fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended by a panic");
    }
}

/// What all connections share.
struct Server {
    api: Api,
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    stop: CancellationToken,
}

/// Whether a failed accept was the failure of the connection, not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn admit(server: &Server, stream: &TcpStream, from: SocketAddr) -> Option<Admitted> {
    match server.api.doorman().admit(from.ip(), &server.limits) {
        Ok(admitted) => Some(admitted),
        Err(limit) => {
            // Without waiting: whoever floods the node does not get a task for each refusal. A
            // client that speaks TLS sees a closed connection.
            if server.tls.is_none() {
                let _ = stream.try_write(&error::refusal_of_connection(limit));
            }
            None
        }
    }
}

async fn connection(server: Arc<Server>, stream: TcpStream, admitted: Admitted) {
    // An answer is one write, and nobody waits for a second one to fill the packet.
    let _ = stream.set_nodelay(true);
    if let Err(error) = converse(&server, stream).await {
        tracing::debug!(%error, address = %admitted.address, "a connection ended early");
    }
}

async fn converse(server: &Server, stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    match &server.tls {
        None => answer(server, stream).await?,
        Some(tls) => {
            let stream = timeout(server.limits.head, tls.accept(stream)).await??;
            answer(server, stream).await?;
        }
    }
    Ok(())
}

async fn answer<S>(server: &Server, stream: S) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let bounds = Bounds {
        head: server.limits.head,
        idle: server.limits.idle,
        write: server.limits.write,
    };
    let progress = Arc::new(Progress::default());
    let stream = Patient::new(stream, bounds, Arc::clone(&progress));
    let router = server.router.clone();
    let service = hyper::service::service_fn(move |request| {
        progress.begin();
        let answer = router.clone().call(request);
        let progress = Arc::clone(&progress);
        async move {
            let answer = answer.await;
            answer.map(|answer| answer.map(|body| Answering::new(body, progress)))
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = server.stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_address_and_given_back() {
        let doorman = Arc::new(Doorman::default());
        let limits = Limits {
            connections_max: 3,
            connections_per_address_max: 2,
            ..Limits::default()
        };
        let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        let first = doorman.admit(one, &limits).unwrap();
        let _second = doorman.admit(mapped, &limits).unwrap();
        assert_eq!(
            doorman.admit(one, &limits).unwrap_err(),
            "connections_per_address"
        );
        let _third = doorman.admit(two, &limits).unwrap();
        assert_eq!(doorman.admit(two, &limits).unwrap_err(), "connections");
        drop(first);
        assert_eq!(doorman.connections(), 2);
        assert!(doorman.admit(one, &limits).is_ok());
        assert_eq!(doorman.inside.lock().by_address.len(), 2);
    }
}
