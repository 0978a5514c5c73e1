//! RESP, the protocol of Redis, versions 2 and 3.
//!
//! Requests are parsed where they were read and replies are written where they are sent from: a
//! command costs no allocation of its own. That is why the codec is ours. The crates that exist
//! build a tree of frames for each request, which costs more than the command does; the tests hold
//! this one against such a crate, frame by frame.

mod inline;
mod reply;
mod request;
mod skip;

pub(crate) use reply::{Proto, Replies, decimal};
#[cfg(test)]
pub(crate) use request::ProtocolError;
pub(crate) use request::{Args, BULK_BYTES_MAX, Parser, Step, integer};
pub(crate) use skip::{Reply, reply_end, reply_of};
