//! Locks with fences for your service: the client of lockring.

#![deny(missing_docs)]

pub mod wire;
