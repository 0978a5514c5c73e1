//! Plain TCP.

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};

use super::transport::{Acceptor, Duplex, Incoming, Transport};

/// A peer whose machine has vanished is noticed by the kernel after about this long, also on a
/// connection where nobody waits for anything.
const VANISHED_MS: u32 = 10_000;

/// TCP sockets; peers are trusted by address, so only for a network of one's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Duplex>> {
        Box::pin(async move { Ok(split(connect(address).await?)) })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Acceptor>>> {
        Box::pin(async move {
            let acceptor = TcpAcceptor {
                listener: TcpListener::bind(address).await?,
            };
            Ok(Box::new(acceptor) as Box<dyn Acceptor>)
        })
    }
}

/// A socket set up for small frames that must arrive at once.
pub(super) async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    set_up(&stream)?;
    Ok(stream)
}

pub(super) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Elsewhere a connection with unacknowledged bytes is noticed by the deadlines of its calls.
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, VANISHED_MS)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_millis(u64::from(VANISHED_MS / 2)))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1))?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

fn split(stream: TcpStream) -> Duplex {
    let (read, write) = stream.into_split();
    Duplex {
        read: Box::new(read),
        write: Box::new(write),
    }
}

struct TcpAcceptor {
    listener: TcpListener,
}

impl Acceptor for TcpAcceptor {
    fn address(&self) -> String {
        let address = self.listener.local_addr();
        address.expect("a bound socket has an address").to_string()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            let open = async move { set_up(&stream).map(|()| split(stream)) };
            Ok(Incoming {
                from: from.to_string(),
                open: Box::pin(open),
            })
        })
    }
}
