//! Locks with fences for your service: the client of lockring.
//!
//! ```no_run
//! use lockring_client::Client;
//!
//! # async fn example() -> Result<(), lockring_client::Error> {
//! let client = Client::new(["http://127.0.0.1:7420"])?;
//! let session = client.session().owner("reports-3").open().await?;
//! let guard = session.acquire("reports/nightly").await?;
//! // Send guard.fence() along with every write, and let the receiver refuse lower ones.
//! assert!(guard.is_valid());
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Read in this order: [`wire`] is the HTTP contract. [`Connection`] makes one call to one server.
//! [`Client`] makes a call to the cluster: it finds the leader and repeats under one key.
//! [`Session`] is kept alive by a task; [`LockGuard`] is a lease, counted down by the local clock.

#![deny(missing_docs)]

pub mod fence;
pub mod wire;

mod endpoint;
mod tls;
mod reply;
mod connection;
mod endpoints;
mod retry;
mod error;
mod countdown;
mod client;
mod calls;
mod lease;
mod ledger;
mod owner;
mod session;
mod acquire;
mod many;
mod guard;
mod keeper;
mod sse;
mod stream;
mod listener;
mod events;
mod election;
mod ring;
pub mod blocking;

#[cfg(test)]
mod tests;

pub use acquire::LockRequest;
pub use client::{Client, ClientBuilder};
pub use connection::{Call, Connection, Method};
pub use countdown::BootTime;
pub use election::{Election, Leader, Leadership, Observer};
pub use endpoint::Endpoint;
pub use error::{Error, LostCause};
pub use events::{Events, EventsBuilder, Notice};
pub use guard::LockGuard;
pub use lease::Revocation;
pub use lockring_core::Fence;
pub use many::{LocksRequest, MultiGuard};
pub use reply::Reply;
pub use ring::{Located, RingSnapshot, RingView, RingViewBuilder};
pub use session::{Session, SessionBuilder, State};
pub use tls::Tls;
pub use wire::{Mode, Want};
