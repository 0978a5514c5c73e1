//! The first frame each way: who calls, whom it means, and whether the two belong together.
//!
//! An address says little: a port is reused by another cluster's node, a disk is swapped, a node is
//! started with yesterday's configuration. Each of these would break something that nothing later
//! can repair (two clusters in one log, a voter that forgot its vote, nodes that disagree on what a
//! TTL may be), so each is refused here, by name, before a single call is served.
//!
//! ```text
//! frame body: magic (8 bytes) │ format u32 │ postcard of Hello, or of Result<Welcome, Refusal>
//! ```
//! Magic and format keep their place for ever, so that a node of any version can say what is wrong.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lockring_core::NodeId;
use serde::{Deserialize, Serialize};

use super::error::CallError;
use super::frame::{Frame, Limits};
use super::stream::FrameStream;
use super::transport::Duplex;

const MAGIC: [u8; 8] = *b"lockring";

/// Of the frames and the hello; not of the bodies, whose versions the floor above knows.
pub const FORMAT: u32 = 2;

/// A hello is small, and whoever sends one is not known yet.
const HELLO_BYTES_MAX: usize = 1024;

const KIND_HELLO: u8 = 1;
const KIND_REPLY: u8 = 2;

/// What a node says of itself. Equal on all connections of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: String,
    /// Of the configuration that all nodes must share.
    pub fingerprint: u64,
    /// This node.
    pub id: NodeId,
    /// Of its data directory.
    pub incarnation: u64,
}

/// What the dialer wants the connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Only the reply to the hello.
    Greet,
    /// Multiplexed calls. The number keeps apart connections that must not wait for each other.
    Calls(u8),
    /// Ordered frames; the number says of what, and the floor above gives it.
    Stream(u8),
}

/// The first frame, from the dialer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub cluster: String,
    pub fingerprint: u64,
    pub from: NodeId,
    pub from_incarnation: u64,
    /// Whom the dialer believes to be at this address.
    pub to: NodeId,
    pub purpose: Purpose,
}

/// The reply to a hello that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub id: NodeId,
    pub incarnation: u64,
    /// Whether the node is part of a cluster that has begun.
    pub initialised: bool,
}

/// The reply to a hello that does not fit. `expected` is what the refusing side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("wrong magic: not a lockring node")]
    WrongMagic,
    #[error("wrong format: {found}, expected {expected}")]
    WrongFormat { expected: u32, found: u32 },
    #[error("the hello cannot be read")]
    Malformed,
    #[error("wrong cluster: {found:?}, expected {expected:?}")]
    WrongCluster { expected: String, found: String },
    #[error("wrong fingerprint: the cluster configurations differ")]
    WrongFingerprint { expected: u64, found: u64 },
    #[error("wrong node: {found}, expected {expected}")]
    WrongNode { expected: NodeId, found: NodeId },
    #[error("wrong incarnation of node {id}: its data directory is not the one that joined")]
    WrongIncarnation {
        id: NodeId,
        expected: u64,
        found: u64,
    },
    #[error("node {0} is not a member")]
    NotAMember(NodeId),
    #[error("too many connections")]
    TooManyConnections,
    #[error("{0}")]
    Other(String),
}

/// Who may connect: asked for each hello that fits the identity of this node.
pub trait Admission: Send + Sync + 'static {
    /// Whether to talk to the node that sent this hello: is it a member, of this incarnation?
    fn admit(&self, hello: &Hello) -> Result<(), Refusal>;

    /// Whether this node is part of a cluster that has begun.
    fn initialised(&self) -> bool;
}

/// Dialer's side: says hello on a fresh connection and reads the reply.
pub(super) async fn say(
    duplex: Duplex,
    hello: &Hello,
    limits: &Limits,
) -> Result<(Welcome, FrameStream), CallError> {
    let lost = |why: io::Error| CallError::Unreachable {
        why: why.to_string(),
    };
    let mut stream = FrameStream::new(duplex, limits, HELLO_BYTES_MAX);
    let frame = Frame::new(KIND_HELLO, encode(hello));
    stream.send(frame).await.map_err(lost)?;
    let Some(frame) = stream.receive().await.map_err(lost)? else {
        return Err(CallError::Unreachable {
            why: "closed before the hello's reply".to_owned(),
        });
    };
    let reply: Result<Welcome, Refusal> = decode(&frame, KIND_REPLY).map_err(CallError::Refused)?;
    let welcome = reply.map_err(CallError::Refused)?;
    if welcome.id != hello.to {
        let (expected, found) = (hello.to, welcome.id);
        return Err(CallError::Refused(Refusal::WrongNode { expected, found }));
    }
    stream.set_body_bytes_max(limits.body_bytes_max);
    Ok((welcome, stream))
}

/// Listener's side: reads the hello, whatever it says.
pub(super) async fn hear(duplex: Duplex, limits: &Limits) -> io::Result<(Frame, FrameStream)> {
    let mut stream = FrameStream::new(duplex, limits, HELLO_BYTES_MAX);
    let frame = stream.receive().await?;
    Ok((frame.ok_or(io::ErrorKind::UnexpectedEof)?, stream))
}

/// Listener's side: replies, and takes frames of full length from here on.
pub(super) async fn reply(
    stream: &mut FrameStream,
    reply: &Result<Welcome, Refusal>,
    limits: &Limits,
) -> io::Result<()> {
    stream.send(Frame::new(KIND_REPLY, encode(reply))).await?;
    stream.set_body_bytes_max(limits.body_bytes_max);
    Ok(())
}

/// Listener's side: whether this node and the one that sent the hello belong together.
pub(super) fn judge(
    frame: &Frame,
    identity: &Identity,
    admission: &impl Admission,
) -> Result<Hello, Refusal> {
    let hello: Hello = decode(frame, KIND_HELLO)?;
    if hello.cluster != identity.cluster {
        let (expected, found) = (identity.cluster.clone(), hello.cluster);
        return Err(Refusal::WrongCluster { expected, found });
    }
    if hello.to != identity.id {
        return Err(Refusal::WrongNode {
            expected: identity.id,
            found: hello.to,
        });
    }
    if hello.fingerprint != identity.fingerprint {
        let (expected, found) = (identity.fingerprint, hello.fingerprint);
        return Err(Refusal::WrongFingerprint { expected, found });
    }
    admission.admit(&hello)?;
    Ok(hello)
}

fn encode(content: &impl Serialize) -> Bytes {
    let mut body = BytesMut::with_capacity(128);
    body.put_slice(&MAGIC);
    body.put_u32(FORMAT);
    let rest = postcard::to_allocvec(content);
    body.put_slice(&rest.expect("these types have no content that postcard cannot write"));
    body.freeze()
}

fn decode<T: for<'a> Deserialize<'a>>(frame: &Frame, kind: u8) -> Result<T, Refusal> {
    let mut body = frame.body.clone();
    if frame.kind != kind || body.len() < MAGIC.len() + 4 || !body.starts_with(&MAGIC) {
        return Err(Refusal::WrongMagic);
    }
    body.advance(MAGIC.len());
    let found = body.get_u32();
    if found != FORMAT {
        return Err(Refusal::WrongFormat {
            expected: FORMAT,
            found,
        });
    }
    postcard::from_bytes(&body).map_err(|_| Refusal::Malformed)
}

impl Identity {
    /// The hello that this node says to `to`.
    pub(super) fn hello(&self, to: NodeId, purpose: Purpose) -> Hello {
        Hello {
            cluster: self.cluster.clone(),
            fingerprint: self.fingerprint,
            from: self.id,
            from_incarnation: self.incarnation,
            to,
            purpose,
        }
    }
}

impl Limits {
    pub(super) fn greeting(&self) -> Duration {
        Duration::from_millis(self.greeting_ms_max)
    }
}
