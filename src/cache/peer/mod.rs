//! Between members: RESP as well, on a port of its own, with three commands that clients have not.
//!
//! ```text
//! LOCKRING.PEER 1 <member>                         the first on each connection
//! LOCKRING.AS <2|3> <slot> <epoch> <command …>     do this as the slot's owner under that epoch
//! LOCKRING.AS <2|3> - - <command …>                do this for all slots that are yours
//! LOCKRING.TAKE <slot> <epoch> <key>               hand out what you had, to the owner since epoch
//! LOCKRING.EPOCH                                   of which epoch is your table?
//! ```
//! A slot's epoch is its fencing token: a member that has seen another one refuses with `STALE`, so
//! two members that see the ring differently cannot do something together that neither may alone.

mod link;
mod serve;

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::command::Missing;
use super::resp::{Proto, Reply, reply_end, reply_of};

/// The version of what members say to each other.
const VERSION: &str = "1";
/// Requests that wait for one member.
const WAITING_MAX: usize = 1024;

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the member cannot be reached")]
    NotSent,
    #[error("the connection to the member broke before it answered")]
    Unanswered,
}

/// A request and where its reply goes.
#[derive(Debug)]
struct Ask {
    request: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<u8>, LinkError>>,
}

#[derive(Debug)]
struct Link {
    asks: mpsc::Sender<Ask>,
    /// The epoch of a table that the member had; it has this one or a newer.
    has_heard_of: u64,
    _task: AbortOnDropHandle<()>,
}

/// A value that the owner before has handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) value: Vec<u8>,
    /// In milliseconds; [`super::store::NEVER`] if it does not expire.
    pub(crate) lives_for: u64,
}

/// Connections to other members, opened when they are needed, one each.
#[derive(Debug)]
pub(crate) struct Peers {
    hello: Vec<u8>,
    links: Mutex<HashMap<String, Link>>,
}

impl Peers {
    pub(crate) fn new(member: &str) -> Self {
        Self {
            hello: request(&[b"LOCKRING.PEER", VERSION.as_bytes(), member.as_bytes()]),
            links: Mutex::new(HashMap::new()),
        }
    }

    /// Sends a request and waits for its reply, which comes back as it was sent.
    ///
    /// Requests to one member are done in the order in which they were sent.
    pub(crate) async fn call(&self, peer: &str, request: Vec<u8>) -> Result<Vec<u8>, LinkError> {
        let (reply, answered) = oneshot::channel();
        let asks = self.link(peer);
        let asked = asks.send(Ask { request, reply }).await;
        asked.map_err(|_| LinkError::NotSent)?;
        answered.await.unwrap_or(Err(LinkError::Unanswered))
    }

    fn link(&self, peer: &str) -> mpsc::Sender<Ask> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(peer).filter(|link| !link.asks.is_closed()) {
            return link.asks.clone();
        }
        // Members come and go, and with them their addresses.
        links.retain(|_, link| !link.asks.is_closed());
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(link::run(peer.to_owned(), self.hello.clone(), asked));
        let link = Link {
            asks: asks.clone(),
            has_heard_of: 0,
            _task: AbortOnDropHandle::new(task),
        };
        links.insert(peer.to_owned(), link);
        asks
    }

    /// The newest epoch that we know a member's table to be of.
    pub(crate) fn has_heard_of(&self, peer: &str) -> u64 {
        let links = self.links.lock();
        links.get(peer).map_or(0, |link| link.has_heard_of)
    }

    /// A member's table is of this epoch, or counts as if it were.
    pub(crate) fn heard_of(&self, peer: &str, epoch: u64) {
        if let Some(link) = self.links.lock().get_mut(peer) {
            link.has_heard_of = link.has_heard_of.max(epoch);
        }
    }

    /// Asks a member of which epoch its table is; nothing if it does not say.
    pub(crate) async fn epoch_of(&self, peer: &str) -> Option<u64> {
        let reply = self.call(peer, request(&[b"LOCKRING.EPOCH"])).await.ok()?;
        match reply_of(&reply).ok()? {
            Reply::Integer(epoch) => u64::try_from(epoch).ok(),
            Reply::Null | Reply::Array(_) | Reply::Simple(_) | Reply::Error(_) | Reply::Bulk(_) => {
                None
            }
        }
    }

    /// Has a member do something as the owner of a slot, or for all of its slots.
    pub(crate) async fn act_as_owner(
        &self,
        peer: &str,
        slot: Option<(u16, u64)>,
        words: &[Vec<u8>],
        proto: Proto,
    ) -> Result<Vec<u8>, LinkError> {
        let (slot, epoch) = match slot {
            Some((slot, epoch)) => (slot.to_string(), epoch.to_string()),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let proto: &[u8] = if proto == Proto::Resp3 { b"3" } else { b"2" };
        let mut all = vec![b"LOCKRING.AS", proto, slot.as_bytes(), epoch.as_bytes()];
        all.extend(words.iter().map(Vec::as_slice));
        self.call(peer, request(&all)).await
    }

    /// Takes what a member had under a key when the slot was its.
    pub(crate) async fn take(&self, peer: &str, key: &Missing) -> Result<Option<Taken>, String> {
        let (slot, epoch) = (key.slot.to_string(), key.epoch.to_string());
        let words: [&[u8]; 4] = [
            b"LOCKRING.TAKE",
            slot.as_bytes(),
            epoch.as_bytes(),
            &key.key,
        ];
        let reply = self
            .call(peer, request(&words))
            .await
            .map_err(|why| why.to_string())?;
        taken(&reply).ok_or_else(|| String::from_utf8_lossy(&reply).trim().to_owned())
    }
}

/// What a reply to a take says; `None` for a refusal.
fn taken(reply: &[u8]) -> Option<Option<Taken>> {
    let elements = match reply_of(reply).ok()? {
        Reply::Null => return Some(None),
        Reply::Array(elements) => elements,
        Reply::Simple(_) | Reply::Error(_) | Reply::Integer(_) | Reply::Bulk(_) => return None,
    };
    let end = reply_end(elements).ok()??;
    let (Reply::Bulk(value), Reply::Integer(lives_for)) =
        (reply_of(elements).ok()?, reply_of(&elements[end..]).ok()?)
    else {
        return None;
    };
    Some(Some(Taken {
        value: value.to_vec(),
        lives_for: u64::try_from(lives_for).unwrap_or(super::store::NEVER),
    }))
}

/// A request of these words.
fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut replies = super::resp::Replies::new(&mut out, Proto::Resp2);
    replies.array(words.len());
    words.iter().for_each(|word| replies.bulk(word));
    out
}

/// How long a connection may take to be opened.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
