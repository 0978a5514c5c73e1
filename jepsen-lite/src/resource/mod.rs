//! The outside resource: what a lock protects, in a process of its own.
//!
//! A lock service cannot stop a holder that was paused past its TTL from waking up and writing;
//! only the resource can, by refusing fences lower than the highest it has seen. This is the
//! smallest such resource: values under keys, each with the highest fence that touched it.
//! Reads count as touching: else a late writer could slip between a newer holder's read and its
//! write. It can be told not to check, and then shows what happens to those who do not.
//!
//! It speaks JSON lines over TCP, one answer to each request, in order.

mod gate;
mod origin;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub use gate::{Checking, Store};
pub use origin::{loads_of, serve_origin};

/// What is asked of the resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Request {
    /// The value under a key.
    Read {
        /// Which.
        key: String,
        /// By the holder of which lease.
        fence: u64,
    },
    /// Replaces the value under a key.
    Write {
        /// Which.
        key: String,
        /// By the holder of which lease.
        fence: u64,
        /// By what.
        value: Value,
    },
    /// The value under a key, by nobody in particular: for after the run.
    Look {
        /// Which.
        key: String,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// It was done; the value as it is now.
    Done {
        /// Null if nothing was ever written.
        value: Value,
    },
    /// The fence is lower than one that was seen.
    Stale {
        /// The highest that was seen.
        highest: u64,
    },
}

/// A connection to the resource.
#[derive(Debug)]
pub struct Resource {
    stream: BufReader<TcpStream>,
}

impl Resource {
    /// Connects.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When there is none; then nobody knows what came of it.
    pub async fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer).await? == 0 {
            bail!("the resource closed the connection");
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

/// Serves until the process ends; the address is told to `ready` once it is open.
///
/// # Errors
/// When no port can be opened.
pub async fn serve(
    checking: Checking,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.context("the resource cannot listen")?;
    ready(listener.local_addr()?)?;
    let store = Arc::new(Mutex::new(Store::new(checking)));
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                open.spawn(attend(stream, Arc::clone(&store)));
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn attend(stream: TcpStream, store: Arc<Mutex<Store>>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let request: Request = serde_json::from_str(&line)?;
        let answer = {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            store.serve(request)
        };
        let mut answer = serde_json::to_vec(&answer)?;
        answer.push(b'\n');
        stream.get_mut().write_all(&answer).await?;
        line.clear();
    }
    Ok(())
}
