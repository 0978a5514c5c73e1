//! One client's connection: read what has come, answer all of it, write once.
//!
//! *Batches.* Clients that care for speed send many requests before they read a reply. All that
//! have arrived are answered under one view of the ring, one look at the clocks and one write. This
//! is where the throughput comes from: what a request costs beyond its batch is parsing, one look
//! into the store, and copying the value.
//!
//! *The right to answer* is looked at when a batch begins, and again when it is done, before any of
//! it leaves. If it ended in between (the process was stopped, say), nothing is sent and the
//! connection is closed: what was asked may have been done, and the client knows that it does not
//! know.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, Door};
use super::command::{Done, Pass, Turn, Wait};
use super::node::{Node, wall_millis};
use super::proxy::Proxied;
use super::resp::{Parser, Replies, Step};

/// Room for one read.
const READ_BYTES: usize = 16 * 1024;
/// Replies are written when there are so many bytes of them.
const WRITE_BYTES: usize = 256 * 1024;
/// One request with all its words.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Buffers that grew beyond this for one request do not stay so.
const KEPT_BYTES: usize = 1024 * 1024;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Connection {
    node: Arc<Node>,
    stream: TcpStream,
    client: Client,
    parser: Parser,
    input: Vec<u8>,
    out: Vec<u8>,
    touched: Vec<u16>,
}

/// What is to be done after a batch.
enum Next {
    Read,
    /// There is more input, but enough output.
    GoOn,
    /// The request of so many bytes at the beginning of the input waits for something.
    Await(Wait, usize),
    Close,
    /// Close, and send nothing.
    Drop,
}

impl Connection {
    pub(crate) fn new(node: Arc<Node>, stream: TcpStream, door: Door) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let address = stream.peer_addr()?;
        let id = node.figures.connected();
        let is_known = door != Door::Peer && node.options.password.is_none();
        Ok(Self {
            client: Client::new(id, address, door, is_known),
            node,
            stream,
            parser: Parser::default(),
            input: Vec::with_capacity(READ_BYTES),
            out: Vec::with_capacity(READ_BYTES),
            touched: Vec::new(),
        })
    }

    /// Serves until either side has enough. What goes wrong with a connection is of no interest to
    /// anybody but its client, who sees it end.
    pub(crate) async fn run(mut self) {
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> io::Result<()> {
        loop {
            match self.batch() {
                Next::Read => {
                    self.write().await?;
                    if self.read().await? == 0 {
                        return Ok(());
                    }
                }
                Next::GoOn => self.write().await?,
                Next::Await(wait, length) => {
                    self.write().await?;
                    if !self.finish(wait, length).await {
                        return Ok(());
                    }
                }
                Next::Close => {
                    self.write().await?;
                    return self.stream.shutdown().await;
                }
                Next::Drop => return Ok(()),
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        if self.input.capacity() > KEPT_BYTES && self.input.len() < READ_BYTES {
            self.input.shrink_to(READ_BYTES);
        }
        self.input.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.input).await
    }

    async fn write(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
            self.out.shrink_to(KEPT_BYTES);
        }
        Ok(())
    }

    /// Answers what has arrived.
    fn batch(&mut self) -> Next {
        let begun = Instant::now();
        let view = self.node.view.read();
        let mut turn = Turn {
            node: &self.node,
            view: &view,
            client: &mut self.client,
            out: &mut self.out,
            touched: &mut self.touched,
            serves: view.serves(),
            now: wall_millis(),
        };
        let (mut used, mut commands) = (0, 0);
        let next = loop {
            let input = &self.input[used..];
            let length = match self.parser.step(input) {
                Ok(Step::Command(length)) => length,
                Ok(Step::Nothing(length)) => {
                    used += length;
                    continue;
                }
                Ok(Step::Incomplete) if input.len() < REQUEST_BYTES_MAX => break Next::Read,
                Ok(Step::Incomplete) => {
                    Replies::new(turn.out, turn.client.proto)
                        .error("ERR Protocol error: the request is too large");
                    break Next::Close;
                }
                Err(error) => {
                    let message = format!("ERR Protocol error: {error}");
                    Replies::new(turn.out, turn.client.proto).error(&message);
                    break Next::Close;
                }
            };
            let args = self.parser.args(&input[..length]);
            match turn.run_by_door(args, Pass::First) {
                Done::Wait(wait) => break Next::Await(wait, length),
                Done::Close => break Next::Close,
                Done::Answered => {}
            }
            used += length;
            commands += 1;
            if turn.out.len() >= WRITE_BYTES {
                break Next::GoOn;
            }
        };
        if !self.node.settle(&view, &mut self.touched) {
            return Next::Drop;
        }
        drop(view);
        self.input.drain(..used);
        if commands > 0 {
            self.node.figures.answered(commands, begun.elapsed());
        }
        next
    }

    /// Does the request that had to wait; `false` when the connection is to be dropped.
    async fn finish(&mut self, mut wait: Wait, length: usize) -> bool {
        loop {
            let pass;
            match wait {
                Wait::Arrival(slot) => {
                    self.node.arrival(slot).await;
                    pass = Pass::Routed;
                }
                Wait::Hearing { peer, epoch } => {
                    self.node.hearing(&peer, epoch).await;
                    pass = Pass::Routed;
                }
                Wait::Values(missing) => {
                    pass = Pass::Second;
                    if let Err(message) = self.node.fetch(missing).await {
                        Replies::new(&mut self.out, self.client.proto).error(&message);
                        break;
                    }
                }
                Wait::Owners => {
                    let args = self.parser.args(&self.input[..length]);
                    let proxied = Proxied {
                        node: &self.node,
                        words: args.iter().map(<[u8]>::to_vec).collect(),
                        proto: self.client.proto,
                    };
                    let reply = proxied.answer().await;
                    self.out.extend_from_slice(&reply);
                    break;
                }
            }
            match self.again(length, pass) {
                Some(Done::Wait(again)) => wait = again,
                Some(Done::Answered | Done::Close) => break,
                None => return false,
            }
        }
        self.input.drain(..length);
        self.node.figures.answered(1, std::time::Duration::ZERO);
        true
    }

    /// Looks at the first request again; nothing when its answer may not leave any more.
    fn again(&mut self, length: usize, pass: Pass) -> Option<Done> {
        let view = self.node.view.read();
        let done = Turn {
            node: &self.node,
            view: &view,
            client: &mut self.client,
            out: &mut self.out,
            touched: &mut self.touched,
            serves: view.serves(),
            now: wall_millis(),
        }
        .run_by_door(self.parser.args(&self.input[..length]), pass);
        self.node.settle(&view, &mut self.touched).then_some(done)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.node.figures.disconnected();
    }
}

impl Turn<'_> {
    fn run_by_door(&mut self, args: super::resp::Args<'_>, pass: Pass) -> Done {
        match self.client.door {
            Door::Cluster | Door::Proxy => self.run(args, pass),
            Door::Peer => self.run_for_peer(args, pass),
        }
    }
}
