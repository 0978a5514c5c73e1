//! Links: one proxy for each pair of who dials and who is dialed.
//!
//! A network between three nodes is six links, because what A hears of B and what B hears of A
//! can break apart from each other, and those are the faults that elections are worst at. The
//! same holds for clients: each worker has a link of its own to each node.
//!
//! A link carries the dialer's bytes one way and the answers the other. So that *nothing from A
//! reaches B*, the way there of A's link to B must break, and the way back of B's link to A.

mod mesh;
mod proxy;
mod pump;
#[cfg(test)]
mod tests;
mod weather;

pub use mesh::{End, Mesh};
pub use proxy::Proxy;
pub use pump::Traffic;
pub use weather::{Doors, Flow, Weather};
