//! Frames between nodes: many calls in flight over one connection, and streams of their own.
//!
//! **What.** [`Dialer`] opens connections to peers, [`listen`] serves those that peers open. A
//! connection carries length-delimited frames and begins with a hello that says who is calling,
//! whom it means, and under which configuration; what does not fit is refused by name.
//!
//! **Why not an RPC framework.** Replication needs replies in the order of requests on one
//! connection, everything else needs many calls in flight without any order, and both need one
//! write per batch of frames instead of one per frame. That is less code here than the glue to a
//! framework that does one of the three.
//!
//! **How a call travels.** The caller puts its request into a bounded queue; the one task of the
//! connection drains the queue into a buffer and writes it out once. On the other side the task of
//! the connection reads, polls the handlers itself (no task per call), and writes all replies that
//! are ready at once. So a call on an idle connection costs one write and one read on each side,
//! and under load many calls share them.
//!
//! **What it does not do.** It knows nothing of consensus: bodies are bytes, kinds are numbers
//! given by the floor above. It never repeats a call: whether that is safe is not known here. It
//! promises no delivery: a call that fails says whether it can have been served ([`CallError`]).
//!
//! Reading order: `frame`, `transport`, `detour`, `hello`, `error`, `dial`, `calls`, `stream`,
//! `listen`, `answer`, `transfer`.

pub mod frame;
pub mod transport;
pub mod tcp;
pub mod tls;
pub mod memory;
pub mod detour;
pub mod hello;
pub mod error;
pub mod dial;
pub mod calls;
pub mod stream;
pub mod listen;
mod answer;
pub mod transfer;

pub use calls::{Calls, Link};
pub use detour::Detour;
pub use dial::{Dialer, Target};
pub use error::CallError;
pub use frame::{Frame, Limits};
pub use hello::{Admission, Hello, Identity, Purpose, Refusal, Welcome};
pub use listen::{Caller, Listener, Serve};
pub use memory::Memory;
pub use stream::{FrameReceiver, FrameSender, FrameStream};
pub use tcp::Tcp;
pub use tls::{Tls, TlsFiles};
pub use transport::{Duplex, Transport};

#[cfg(test)]
mod tests;
