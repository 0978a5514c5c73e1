//! Locks with fences for your service: the client of lockring.
//!
//! ```
//! use lockring_client::Client;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), lockring_client::Error> {
//! # let url = stand_in();
//! # let endpoints = [url];
//! // let endpoints = ["http://127.0.0.1:7420", "http://127.0.0.1:7430"];
//! let client = Client::new(endpoints)?;
//! let session = client.session().owner("reports-3").open().await?;
//! let guard = session.acquire("reports/nightly").await?;
//! // Send guard.fence() along with every write, and let the receiver refuse lower ones.
//! assert!(guard.is_valid());
//! guard.release().await?;
//! session.close().await?;
//! # Ok(())
//! # }
//! # // Stands for a cluster, so that the example runs.
//! # fn stand_in() -> String {
//! #     use std::io::{Read, Write};
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! #     let url = format!("http://{}", listener.local_addr().unwrap());
//! #     std::thread::spawn(move || {
//! #         for mut stream in listener.incoming().flatten() {
//! #             std::thread::spawn(move || {
//! #                 let mut bytes = [0; 4096];
//! #                 while let Ok(read @ 1..) = stream.read(&mut bytes) {
//! #                     let asked = String::from_utf8_lossy(&bytes[..read]).into_owned();
//! #                     let body = match asked.split(' ').nth(1).unwrap() {
//! #                         "/v1/sessions" => r#"{"session":"00000000000000000000000000000007",
//! #                             "ttl_ms":10000,"expires_in_ms":10000}"#,
//! #                         path if path.ends_with("/acquire") => r#"{"lock":"reports/nightly",
//! #                             "session":"00000000000000000000000000000007","replayed":false,
//! #                             "mode":"exclusive","fence":3,"expires_in_ms":10000}"#,
//! #                         path if path.ends_with("/release") => r#"{"released":true}"#,
//! #                         _ => r#"{"released":[]}"#,
//! #                     };
//! #                     let length = body.len();
//! #                     let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
//! #                     stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
//! #                 }
//! #             });
//! #         }
//! #     });
//! #     url
//! # }
//! ```
//!
//! # What there is
//!
//! - A [`Session`] is what holds locks: opened with [`Client::session`], kept alive by a task,
//!   closed with its last handle.
//! - [`Session::acquire`], [`Session::try_acquire`] and [`Session::acquire_for`] take a lock for
//!   one holder; [`Session::lock`] also shared, by permits, for a bounded time, or with a value to
//!   be seen with; [`Session::acquire_all`] takes up to 1024 in one step.
//! - A [`LockGuard`] is a lease in hand: its fence, how long it can be relied on, and the future
//!   that ends with its loss. It can be upgraded, downgraded, given to another session.
//! - [`Session::election`] and [`Client::observe`]: leaders, and those who follow them.
//! - [`Client::events`]: what happens to locks, resumed over failovers. [`RingView`]: who owns
//!   which slot of a ring.
//! - [`fence`]: what makes a lock safe, at the other end. [`blocking`]: without a runtime.
//!
//! # What it promises
//!
//! **A holder knows first.** A lease is counted down on this machine's boot-time clock, from before
//! its request was sent, one part in a hundred short. So [`LockGuard::is_valid`] is false and
//! [`LockGuard::lost`] is over before the cluster can grant the lock to another, also when the
//! cluster cannot be reached. Two things are outside of that: what a process does that was paused
//! *between* looking and writing, and a lease that an operator breaks. For both there is the fence.
//!
//! **One call has one effect.** Calls that change something are repeated under one key over cut
//! connections and failovers. An [`Error`] says whether anything may have come of its call.
//!
//! **Futures may be dropped.** A dropped acquire gives up its place; a lease that was granted in
//! that very moment is found and released by the session's task. A dropped release goes on in the
//! background.
//!
//! # What it logs
//!
//! Through `tracing`: spans `session` and `acquire` or `acquire_all` (with the lock, the mode, the
//! first digits of the session and the fence), a warning when a session is lost, information when a
//! renewal failed or a lease was ended by others, and the rest for debugging. Neither a token nor a
//! session's whole id is ever logged.
//!
//! # In which order to read the code
//!
//! [`wire`] is the HTTP contract. [`Connection`] makes one call to one server. [`Client`] makes a
//! call to the cluster: it finds the leader and repeats under one key. [`Session`] is kept alive by
//! a task; [`LockGuard`] is a lease, counted down by the local clock.

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
