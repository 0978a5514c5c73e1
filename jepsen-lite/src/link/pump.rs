//! One direction of one connection: bytes are taken, kept as long as the weather wants, handed on.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::weather::{Doors, Flow, Weather};

/// Bytes taken at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on their way; more are left in the sender's socket, as a full pipe does.
const CHUNKS_MAX: usize = 256;

/// What crossed a link and what did not, for the record of a fault.
#[derive(Debug, Default)]
pub struct Traffic {
    passed: AtomicU64,
    hindered: AtomicU64,
}

impl Traffic {
    /// Bytes that passed.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Bytes and connections that met with a fault: late, kept, lost, reset.
    #[must_use]
    pub fn hindered(&self) -> u64 {
        self.hindered.load(Ordering::Relaxed)
    }

    pub(super) fn hinder(&self, amount: usize) {
        self.hindered.fetch_add(amount as u64, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

impl Way {
    pub(super) const fn flow(self, weather: &Weather) -> Flow {
        match self {
            Self::There => weather.there,
            Self::Back => weather.back,
        }
    }
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries one direction until its sender closes. An error means that the connection must be
/// reset: a gap, or an end that is gone.
pub(super) async fn carry(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    way: Way,
    weather: watch::Receiver<Weather>,
    traffic: &Traffic,
) -> io::Result<()> {
    let (taken, kept) = mpsc::channel(CHUNKS_MAX);
    let take = take(from, taken, way, weather.clone(), traffic);
    let hand_on = hand_on(to, kept, way, weather, traffic);
    tokio::try_join!(take, hand_on).map(|_| ())
}

async fn take(
    mut from: OwnedReadHalf,
    taken: mpsc::Sender<Chunk>,
    way: Way,
    mut weather: watch::Receiver<Weather>,
    traffic: &Traffic,
) -> io::Result<()> {
    let mut last_due = Instant::now();
    let mut gap = false;
    let mut dice = crate::Dice::new(last_due.elapsed().subsec_nanos().into(), "jitter");
    loop {
        let mut bytes = vec![0; CHUNK_BYTES];
        let read = tokio::select! {
            read = from.read(&mut bytes) => read?,
            changed = weather.changed(), if gap => {
                changed.map_err(io::Error::other)?;
                if way.flow(&weather.borrow_and_update()).loses() {
                    continue;
                }
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        };
        if read == 0 {
            return Ok(());
        }
        bytes.truncate(read);
        let flow = way.flow(&weather.borrow_and_update());
        let mut due = Instant::now();
        match flow {
            Flow::Clear | Flow::Stalled => {}
            Flow::Late { delay, jitter } => {
                traffic.hinder(read);
                let jitter = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
                due += delay + Duration::from_micros(dice.below(jitter));
            }
            Flow::Narrow { bytes_per_second } => {
                traffic.hinder(read);
                let micros = read as u64 * 1_000_000 / bytes_per_second.max(1);
                due = due.max(last_due) + Duration::from_micros(micros);
            }
            Flow::Lost => {
                traffic.hinder(read);
                gap = true;
                continue;
            }
        }
        last_due = due.max(last_due);
        let chunk = Chunk {
            due: last_due,
            bytes,
        };
        if taken.send(chunk).await.is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

async fn hand_on(
    mut to: OwnedWriteHalf,
    mut kept: mpsc::Receiver<Chunk>,
    way: Way,
    mut weather: watch::Receiver<Weather>,
    traffic: &Traffic,
) -> io::Result<()> {
    while let Some(Chunk { due, bytes }) = kept.recv().await {
        sleep_until(due).await;
        let flow = way.flow(&weather.borrow_and_update());
        if flow.holds() {
            traffic.hinder(bytes.len());
            let mended = weather.wait_for(|weather| !way.flow(weather).holds()).await;
            let lost = way.flow(&*mended.map_err(io::Error::other)?).loses();
            if lost {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        } else if flow.loses() {
            // It was taken before the link broke, and is lost with all behind it.
            traffic.hinder(bytes.len());
            let mended = weather.wait_for(|weather| !way.flow(weather).loses()).await;
            mended.map_err(io::Error::other)?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        to.write_all(&bytes).await?;
        traffic
            .passed
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
    let doors = weather.borrow_and_update().doors;
    if let Doors::SlowClose(late) = doors {
        traffic.hinder(1);
        sleep(late).await;
    }
    // An end over a link that lets nothing through is not heard of either.
    let flow = |weather: &Weather| way.flow(weather);
    let open = weather.wait_for(|weather| !flow(weather).holds() && !flow(weather).loses());
    open.await.map_err(io::Error::other)?;
    // An end in order: what is still in the socket's buffer shall arrive.
    sockopt::set_socket_linger(to.as_ref(), None)?;
    to.shutdown().await
}
