//! The lockring server: floors in order, each importing only from those above it in this list.

pub mod cache;
pub mod cli;
pub mod planted;
pub mod chance;
pub mod watch;
pub mod clock;
pub mod config;
pub mod consensus;
pub mod http;
pub mod network;
pub mod server;
pub mod service;
pub mod storage;
