//! A TCP proxy for one directed link: who dials, and who is dialed.
//!
//! It works without root and without touching the kernel's tables, so it runs wherever the
//! cluster does, and it hits exactly one link. What it cannot do is lose or reorder packets below
//! TCP; what those do to a program (delay, silence, resets) it can.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::pump::{Traffic, Way, carry};
use super::weather::{Doors, Weather};

/// A running proxy; it ends, with all its connections, when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    listen: SocketAddr,
    weather: watch::Sender<Weather>,
    traffic: Arc<Traffic>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Listens at `listen` and passes on to `target`, which need not be there yet.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn open(listen: SocketAddr, target: SocketAddr) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)
            .with_context(|| format!("cannot listen at {listen} for the link to {target}"))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let listen = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::default());
        let traffic = Arc::new(Traffic::default());
        let accepting = tokio::spawn(accept(listener, target, seen, Arc::clone(&traffic)));
        Ok(Self {
            listen,
            weather,
            traffic,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Changes the weather, for connections that are there as for new ones.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Changes part of the weather.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// The weather now.
    #[must_use]
    pub fn weather(&self) -> Weather {
        *self.weather.borrow()
    }

    /// What crossed it so far.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    traffic: Arc<Traffic>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of descriptors or of luck: the caller tries again.
                let Ok((near, _)) = accepted else { continue };
                open.spawn(serve(near, target, weather.clone(), Arc::clone(&traffic)));
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn serve(
    near: TcpStream,
    target: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    traffic: Arc<Traffic>,
) {
    let now = *weather.borrow_and_update();
    if now.doors == Doors::Reset {
        traffic.hinder(1);
        reset(&near);
        return;
    }
    if !now.lets_connect() {
        // Its caller sees an open connection on which nobody answers, and gives up by itself.
        traffic.hinder(1);
        let mended = weather.wait_for(|weather| weather.lets_connect());
        tokio::select! {
            mended = mended => if mended.is_err() { return },
            () = closed(&near) => return,
        }
    }
    // Nobody listens there: the caller is told so in the same way.
    let Ok(far) = TcpStream::connect(target).await else {
        reset(&near);
        return;
    };
    if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
        return;
    }
    relay(near, far, weather, &traffic).await;
}

async fn relay(
    near: TcpStream,
    far: TcpStream,
    mut weather: watch::Receiver<Weather>,
    traffic: &Traffic,
) {
    // Whatever ends a connection out of order ends it with a reset.
    reset(&near);
    reset(&far);
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = carry(near_read, far_write, Way::There, weather.clone(), traffic);
    let back = carry(far_read, near_write, Way::Back, weather.clone(), traffic);
    let carried = async { tokio::try_join!(there, back).map(|_| ()) };
    tokio::pin!(carried);
    let cut = weather.wait_for(|weather| matches!(weather.doors, Doors::Reset | Doors::HalfOpen));
    let doors = tokio::select! {
        _ = &mut carried => return,
        cut = cut => match cut {
            Ok(weather) => weather.doors,
            Err(_) => return,
        },
    };
    traffic.hinder(1);
    if doors == Doors::HalfOpen {
        // Kept and not served: nothing passes any more, and nobody is told, until it is mended.
        let mended = weather.wait_for(|weather| weather.doors != Doors::HalfOpen);
        // The proxy ends: so does the connection.
        let _ = mended.await;
    }
}

/// From now on, dropping the socket resets the connection.
fn reset(stream: &TcpStream) {
    // A socket that refuses is closed in the ordinary way, which is as final.
    let _ = stream.set_zero_linger();
}

/// Waits until the other side has given up.
async fn closed(stream: &TcpStream) {
    let mut byte = [0];
    loop {
        match stream.peek(&mut byte).await {
            Ok(0) | Err(_) => return,
            // It has written, and waits. Its close is seen by the writes later.
            Ok(_) => std::future::pending::<()>().await,
        }
    }
}
