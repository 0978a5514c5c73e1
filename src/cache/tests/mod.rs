//! The cache without a cluster: nodes in this process whose tables the tests write themselves.

mod against_redis;
mod metrics;
mod parser;
mod ring;
mod values;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::client::Door;
use super::listen;
use super::node::{Node, Settings};
use super::origin::Origin;
use super::resp::reply_end;
use super::slot::SLOTS;
use super::view::{Member, Standing, Table, View};

/// Clocks that a test stops by hand.
#[derive(Debug, Default)]
pub(super) struct Switches {
    serving_is_over: AtomicBool,
    table_is_old: AtomicBool,
}

fn left(is_over: &AtomicBool) -> Duration {
    match is_over.load(Ordering::SeqCst) {
        true => Duration::ZERO,
        false => Duration::from_secs(60),
    }
}

impl Standing for Switches {
    fn serves_for(&self) -> Duration {
        left(&self.serving_is_over)
    }

    fn vouched_for(&self) -> Duration {
        left(&self.table_is_old)
    }
}

/// Some nodes, and the table that they obey.
pub(super) struct Nodes {
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) switches: Vec<Arc<Switches>>,
    pub(super) proxies: Vec<SocketAddr>,
    pub(super) table: Table,
    /// Their doors; they close with this.
    _doors: JoinSet<()>,
}

impl Nodes {
    /// So many nodes that share the slots evenly.
    pub(super) async fn start(count: usize, origin: Option<&str>) -> Self {
        let mut doors = JoinSet::new();
        let (mut nodes, mut members, mut proxies) = (Vec::new(), Vec::new(), Vec::new());
        for nth in 0..count {
            let settings = Settings {
                memory: 64 * 1024 * 1024,
                password: None,
                warm_for: Duration::from_secs(60),
                audit: None,
            };
            let origin = origin.map(|url| Origin::parse(url).unwrap());
            let (name, id) = (format!("member-{nth}"), format!("{nth:040x}"));
            let node = Arc::new(Node::new(settings, &name, id.clone(), origin).unwrap());
            let mut open = async |door| {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                doors.spawn(listen::serve(node.clone(), listener, door));
                address
            };
            let resp = open(Door::Cluster).await.to_string();
            let peer = open(Door::Peer).await.to_string();
            proxies.push(open(Door::Proxy).await);
            members.push(Member {
                name,
                resp,
                peer,
                id,
            });
            nodes.push(node);
        }
        let owner = |slot: usize| u16::try_from(slot * count / SLOTS).ok();
        let table = Table {
            epoch: 1,
            members,
            owner: (0..SLOTS).map(owner).collect(),
            from: vec![None; SLOTS],
            slot_epoch: vec![1; SLOTS],
            lost: Vec::new(),
        };
        let switches = (0..count).map(|_| Arc::new(Switches::default())).collect();
        let all = Self {
            nodes,
            switches,
            proxies,
            table,
            _doors: doors,
        };
        (0..count).for_each(|nth| all.show(nth));
        all
    }

    /// Shows the table as it is now to one node.
    pub(super) fn show(&self, nth: usize) {
        let (node, me) = (&self.nodes[nth], u16::try_from(nth).unwrap());
        let table = self.table.clone();
        node.handover.arrive(&node.now(), &table, Some(me));
        let id = table.members[nth].id.clone();
        let standing = self.switches[nth].clone();
        let warm = node.handover.is_warm();
        node.put_up(View::new(Arc::new(table), Some(me), id, standing, warm));
    }

    pub(super) async fn client(&self, nth: usize) -> Wire {
        Wire::to(&self.table.members[nth].resp).await
    }

    pub(super) async fn proxy(&self, nth: usize) -> Wire {
        Wire::to(&self.proxies[nth].to_string()).await
    }
}

/// A connection, spoken to in words, answering in raw replies.
pub(super) struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Wire {
    pub(super) async fn to(address: &str) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            input: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next reply; nothing when the connection ended.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = reply_end(&self.input).unwrap() {
                let reply = self.input.drain(..end).collect::<Vec<_>>();
                return Some(String::from_utf8_lossy(&reply).into_owned());
            }
            let read = self.stream.read_buf(&mut self.input);
            let read = tokio::time::timeout(Duration::from_secs(30), read).await;
            if read.expect("an answer within 30 s").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// One request, its words separated by spaces.
    pub(super) async fn ask(&mut self, words: &str) -> String {
        let words: Vec<_> = words.split(' ').map(str::as_bytes).collect();
        self.send(&request(&words)).await;
        self.next().await.expect("a reply")
    }
}

pub(super) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}
