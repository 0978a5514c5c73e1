//! One connection to one member: requests out in order, replies back in order.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Ask, CONNECT_WITHIN, LinkError};
use crate::cache::resp::reply_end;

/// A connection that nobody has used for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a member may be silent while it owes a reply.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// Requests under way at a time; the others wait in the channel.
const UNDER_WAY_MAX: usize = 1024;

type Reply = oneshot::Sender<Result<Vec<u8>, LinkError>>;

/// Serves requests until nobody asks for a while.
pub(super) async fn run(peer: String, hello: Vec<u8>, mut asks: mpsc::Receiver<Ask>) {
    while let Ok(Some(first)) = timeout(IDLE_MAX, asks.recv()).await {
        match timeout(CONNECT_WITHIN, connect(&peer, &hello)).await {
            Ok(Ok(stream)) => Connection::new(stream, first).run(&mut asks).await,
            Ok(Err(_)) | Err(_) => {
                let _ = first.reply.send(Err(LinkError::NotSent));
                // Whoever asked meanwhile asked the same silent member.
                while let Ok(ask) = asks.try_recv() {
                    let _ = ask.reply.send(Err(LinkError::NotSent));
                }
            }
        }
    }
}

async fn connect(peer: &str, hello: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(peer).await?;
    stream.set_nodelay(true)?;
    stream.write_all(hello).await?;
    let mut welcome = [0; 5];
    stream.read_exact(&mut welcome).await?;
    match &welcome {
        b"+OK\r\n" => Ok(stream),
        _ => Err(io::Error::other("not a member of this ring")),
    }
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    under_way: VecDeque<Reply>,
}

impl Connection {
    fn new(stream: TcpStream, first: Ask) -> Self {
        let mut connection = Self {
            stream,
            out: Vec::new(),
            input: Vec::new(),
            under_way: VecDeque::new(),
        };
        connection.take_on(first);
        connection
    }

    fn take_on(&mut self, ask: Ask) {
        self.out.extend_from_slice(&ask.request);
        self.under_way.push_back(ask.reply);
    }

    /// Runs until the connection breaks, falls silent, or nobody uses it.
    async fn run(mut self, asks: &mut mpsc::Receiver<Ask>) {
        loop {
            let interest = if self.out.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let patience = if self.under_way.is_empty() {
                IDLE_MAX
            } else {
                SILENT_MAX
            };
            tokio::select! {
                ask = asks.recv(), if self.under_way.len() < UNDER_WAY_MAX => match ask {
                    Some(ask) => self.take_on(ask),
                    None => break,
                },
                ready = timeout(patience, self.stream.ready(interest)) => {
                    let moved = match ready {
                        Ok(Ok(_)) => self.write().and_then(|()| self.read()),
                        Ok(Err(error)) => Err(error),
                        Err(_) => Err(io::ErrorKind::TimedOut.into()),
                    };
                    if moved.is_err() {
                        break;
                    }
                }
            }
        }
        for reply in self.under_way {
            let _ = reply.send(Err(LinkError::Unanswered));
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(written) => {
                    self.out.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        loop {
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.hand_out()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn hand_out(&mut self) -> io::Result<()> {
        let mut used = 0;
        while let Some(end) = reply_end(&self.input[used..]).map_err(io::Error::other)? {
            let reply = self.under_way.pop_front();
            let reply = reply.ok_or_else(|| io::Error::other("a reply that nobody asked for"))?;
            // Whoever asked may have gone.
            let _ = reply.send(Ok(self.input[used..used + end].to_vec()));
            used += end;
        }
        self.input.drain(..used);
        Ok(())
    }
}
