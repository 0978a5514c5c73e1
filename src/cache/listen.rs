//! Doors: where connections come in, and where they end with the node.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::client::Door;
use super::connection::Connection;
use super::node::Node;

/// Connections by one door.
const CONNECTIONS_MAX: usize = 10_000;
/// After the system could not give us a connection, for want of descriptors mostly.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves whoever connects. Dropped, it ends every connection that it took in.
pub(crate) async fn serve(node: Arc<Node>, listener: TcpListener, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((mut stream, _)) if connections.len() >= CONNECTIONS_MAX => {
                let _ = stream
                    .write_all(b"-ERR max number of clients reached\r\n")
                    .await;
            }
            Ok((stream, _)) => {
                // One that is gone already is no loss.
                if let Ok(connection) = Connection::new(node.clone(), stream, door) {
                    connections.spawn(connection.run());
                }
            }
            Err(error) => {
                tracing::warn!(%error, ?door, "no connection was taken in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Listens at an address.
pub(crate) async fn bind(address: &str) -> io::Result<TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    TcpListener::bind(address).await.map_err(named)
}
