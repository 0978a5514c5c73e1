//! The network: streams between nodes, over links that delay, hold, cut and break.
//!
//! **What loss, reordering and duplication mean on a stream.** Nodes talk over TCP, which delivers
//! the bytes of one connection in order, once, or breaks. So the faults are those that TCP leaves
//! to its users. *Delay*: each write takes its own time, in order on one connection, in any order
//! between two. *Loss*: a connection breaks and what was in flight is gone. *Reordering and
//! duplication*: a connection breaks for its writer, who sends again on another, while what was
//! in flight on the first still arrives, late. A *cut* link holds its bytes, in one direction or
//! both, and hands them on when it heals, as retransmission does. A node that loses power falls
//! silent until it is back, or until TCP's keep-alive has waited for long enough; one that is
//! killed hangs up.
//!
//! Nothing moves but in [`Net::deliver`], once a millisecond, in the order of the connections.

mod pipe;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lockring::network::transport::{Acceptor, Incoming};
use lockring::network::{Duplex, Transport};
use lockring_core::NodeId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::dice::{Dice, Trace};
use pipe::{Pipe, Reader, Writer};

/// Connections that wait to be accepted.
const BACKLOG: usize = 64;

/// The network. Its clones are one.
#[derive(Clone, Debug)]
pub struct Net(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now_ms: u64,
    dice: Dice,
    trace: Trace,
    listeners: BTreeMap<NodeId, mpsc::Sender<Duplex>>,
    /// The two directions of each connection, in the order in which they were opened.
    connections: Vec<[Arc<Mutex<Pipe>>; 2]>,
    dials: Vec<Dial>,
    /// Links that hold what is sent on them.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Nodes that have no power.
    dark: BTreeSet<NodeId>,
    latency_ms: (u64, u64),
    slow: BTreeMap<(NodeId, NodeId), u64>,
}

/// A connection that is being opened.
#[derive(Debug)]
struct Dial {
    from: NodeId,
    to: NodeId,
    due_ms: u64,
    answer: oneshot::Sender<io::Result<Duplex>>,
}

/// The address of a node.
#[must_use]
pub fn address(node: NodeId) -> String {
    format!("peer-{node}")
}

fn node_at(address: &str) -> Option<NodeId> {
    address.strip_prefix("peer-")?.parse().ok()
}

impl Net {
    /// A network on which all is well.
    #[must_use]
    pub fn new(dice: Dice, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(State {
            now_ms: 0,
            dice,
            trace,
            listeners: BTreeMap::new(),
            connections: Vec::new(),
            dials: Vec::new(),
            cut: BTreeSet::new(),
            dark: BTreeSet::new(),
            latency_ms: (1, 1),
            slow: BTreeMap::new(),
        })))
    }

    /// The network as one node sees it.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Line {
        let net = self.clone();
        Line { net, node }
    }

    /// Moves what is due by now.
    pub fn deliver(&self, now_ms: u64) {
        let mut state = self.0.lock();
        state.now_ms = now_ms;
        for dial in std::mem::take(&mut state.dials) {
            state.answer(dial);
        }
        let state = &mut *state;
        for pipes in &state.connections {
            if pipes.iter().any(|pipe| pipe.lock().has_vanished(now_ms)) {
                pipes.iter().for_each(|pipe| pipe.lock().snap(false));
            }
        }
        for pipe in state.connections.iter().flatten() {
            let mut pipe = pipe.lock();
            let (from, to) = (pipe.from, pipe.to);
            if state.cut.contains(&(from, to)) || state.dark.contains(&to) {
                continue;
            }
            let (least, most) = state.latency_ms;
            let more = state.slow.get(&(from, to)).copied().unwrap_or(0);
            let dice = &mut state.dice;
            pipe.deliver(
                now_ms,
                || dice.between(least, most) + more,
                |bytes| state.trace.note("bytes", &[now_ms, from, to], bytes),
            );
        }
        let over = |pipe: &Arc<Mutex<Pipe>>| pipe.lock().is_over();
        state.connections.retain(|pipes| !pipes.iter().all(over));
    }

    /// How long a write is under way, on every link.
    pub fn set_latency(&self, least_ms: u64, most_ms: u64) {
        self.0.lock().latency_ms = (least_ms, most_ms);
    }

    /// How much longer it is under way on one link.
    pub fn slow_down(&self, from: NodeId, to: NodeId, by_ms: u64) {
        self.0.lock().slow.insert((from, to), by_ms);
    }

    /// No link is slower than the others any more.
    pub fn speed_up(&self) {
        self.0.lock().slow.clear();
    }

    /// Holds what is sent on these links, and on no others.
    pub fn cut_only(&self, links: impl IntoIterator<Item = (NodeId, NodeId)>) {
        self.0.lock().cut = links.into_iter().collect();
    }

    /// Breaks a share of the connections, so many in a million; of every second one, what is in
    /// flight still arrives.
    pub fn break_some(&self, in_a_million: u64) {
        let mut state = self.0.lock();
        let State {
            connections, dice, ..
        } = &mut *state;
        for pipes in connections {
            if dice.hits(in_a_million) {
                let late = dice.coin();
                pipes.iter().for_each(|pipe| pipe.lock().snap(late));
            }
        }
    }

    /// A node's process has ended: its kernel hangs up, or without power it falls silent.
    pub fn gone(&self, node: NodeId, silent: bool) {
        let mut state = self.0.lock();
        state.listeners.remove(&node);
        if silent {
            state.dark.insert(node);
            for pipe in state.connections.iter().flatten() {
                let mut pipe = pipe.lock();
                if pipe.from == node {
                    pipe.fall_silent(state.now_ms);
                }
            }
        }
    }

    /// A node begins again: what others still send to its earlier life is answered with a reset.
    pub fn back(&self, node: NodeId) {
        let mut state = self.0.lock();
        state.dark.remove(&node);
        for pipes in &state.connections {
            if pipes.iter().any(|pipe| pipe.lock().from == node) {
                pipes.iter().for_each(|pipe| pipe.lock().snap(false));
            }
        }
    }
}

impl State {
    /// Opens a connection that is due, if the links let it through.
    fn answer(&mut self, dial: Dial) {
        let (from, to) = (dial.from, dial.to);
        if dial.answer.is_closed() {
            return;
        }
        let held = self.cut.contains(&(from, to)) || self.cut.contains(&(to, from));
        if dial.due_ms > self.now_ms || held || self.dark.contains(&to) {
            self.dials.push(dial);
            return;
        }
        let (forth, back) = (Pipe::new(from, to), Pipe::new(to, from));
        let near = duplex(&back, &forth);
        let accepted = match self.listeners.get(&to) {
            None => false,
            Some(listener) => listener.try_send(duplex(&forth, &back)).is_ok(),
        };
        self.trace
            .note("dial", &[self.now_ms, from, to, u64::from(accepted)], &[]);
        if accepted {
            self.connections.push([forth, back]);
        }
        let refused = || Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        // The dialer may have lost patience.
        let _ = dial
            .answer
            .send(if accepted { Ok(near) } else { refused() });
    }
}

fn duplex(read: &Arc<Mutex<Pipe>>, write: &Arc<Mutex<Pipe>>) -> Duplex {
    Duplex {
        read: Box::new(Reader(Arc::clone(read))),
        write: Box::new(Writer(Arc::clone(write))),
    }
}

/// The network as one node sees it.
#[derive(Clone, Debug)]
pub struct Line {
    net: Net,
    node: NodeId,
}

impl Transport for Line {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Duplex>> {
        Box::pin(async move {
            let unknown = || io::Error::from(io::ErrorKind::AddrNotAvailable);
            let to = node_at(address).ok_or_else(unknown)?;
            let (answer, opened) = oneshot::channel();
            {
                let mut state = self.net.0.lock();
                let (least, most) = state.latency_ms;
                let due_ms = state.now_ms + 2 * state.dice.between(least, most);
                let from = self.node;
                state.dials.push(Dial {
                    from,
                    to,
                    due_ms,
                    answer,
                });
            }
            opened.await.map_err(io::Error::other)?
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Acceptor>>> {
        let (sender, incoming) = mpsc::channel(BACKLOG);
        self.net.0.lock().listeners.insert(self.node, sender);
        let address = address.to_owned();
        Box::pin(async move { Ok(Box::new(Door { address, incoming }) as Box<dyn Acceptor>) })
    }
}

struct Door {
    address: String,
    incoming: mpsc::Receiver<Duplex>,
}

impl Acceptor for Door {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let duplex = self.incoming.recv().await;
            let duplex = duplex.ok_or_else(|| io::Error::other("the network is gone"))?;
            Ok(Incoming {
                from: "simulated".to_owned(),
                open: Box::pin(async move { Ok(duplex) }),
            })
        })
    }
}
