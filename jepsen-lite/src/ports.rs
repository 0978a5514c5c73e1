//! Free ports.
//!
//! Not those that the system chooses for a bind to port 0: they come from the range of outgoing
//! connections, so while a node is down, any client's connection may take its port, and the
//! restarted node cannot have it back. These come from below that range.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;

/// Below the ranges of outgoing connections that systems come with (Linux: from 32768).
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// So many ports of loopback that are free now. Another process may be faster in taking one:
/// whoever starts a server on it has to be ready to choose again.
pub(crate) fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    let somewhere = RandomState::new().hash_one(std::process::id());
    let somewhere = u16::try_from(somewhere % u64::from(COUNT)).expect("less than COUNT");
    // They are all held until all are found, so that none is found twice.
    let mut held = Vec::with_capacity(count);
    for step in 0..COUNT {
        if held.len() == count {
            break;
        }
        let port = FIRST + (somewhere + step) % COUNT;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        bail!("{} of {count} ports are free", held.len());
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

/// These ports, if all of them are free now.
pub(crate) fn from(first: u16, count: usize) -> anyhow::Result<Vec<u16>> {
    let last = usize::from(first) + count;
    let ports: Vec<u16> = (usize::from(first)..last)
        .map(u16::try_from)
        .collect::<Result<_, _>>()?;
    for port in &ports {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
            bail!("port {port} cannot be used: {error}");
        }
    }
    Ok(ports)
}
