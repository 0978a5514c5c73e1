//! Each kind of weather, seen from both ends of a link.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;

/// Generous: these tests run beside compilers.
const SOON: Duration = Duration::from_secs(20);
/// How long nothing has to happen to be believed.
const SILENCE: Duration = Duration::from_millis(300);

struct Ends {
    link: Proxy,
    near: TcpStream,
    far: TcpStream,
    listener: TcpListener,
}

impl Ends {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let link = Proxy::open("127.0.0.1:0".parse().unwrap(), target).unwrap();
        let near = TcpStream::connect(link.address()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        Self {
            link,
            near,
            far,
            listener,
        }
    }

    async fn passes(&mut self, text: &[u8]) {
        self.near.write_all(text).await.unwrap();
        assert_eq!(read(&mut self.far, text.len()).await.unwrap(), text);
        self.far.write_all(text).await.unwrap();
        assert_eq!(read(&mut self.near, text.len()).await.unwrap(), text);
    }
}

async fn read(from: &mut TcpStream, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    timeout(SOON, from.read_exact(&mut bytes)).await.unwrap()?;
    Ok(bytes)
}

async fn is_silent(from: &mut TcpStream) -> bool {
    timeout(SILENCE, from.read_u8()).await.is_err()
}

#[tokio::test]
async fn a_fair_link_passes_bytes_and_ends() {
    let mut ends = Ends::open().await;
    ends.passes(b"one").await;
    ends.near.shutdown().await.unwrap();
    assert_eq!(
        timeout(SOON, ends.far.read(&mut [0]))
            .await
            .unwrap()
            .unwrap(),
        0
    );
    ends.far.write_all(b"last words").await.unwrap();
    drop(ends.far);
    assert_eq!(read(&mut ends.near, 10).await.unwrap(), b"last words");
    assert_eq!(
        timeout(SOON, ends.near.read(&mut [0]))
            .await
            .unwrap()
            .unwrap(),
        0
    );
    assert_eq!(ends.link.traffic().passed(), 3 + 3 + 10);
    assert_eq!(ends.link.traffic().hindered(), 0);
}

#[tokio::test]
async fn a_stalled_way_keeps_what_is_sent_and_the_other_way_is_free() {
    let mut ends = Ends::open().await;
    ends.link.change(|weather| weather.there = Flow::Stalled);
    ends.near.write_all(b"held").await.unwrap();
    assert!(is_silent(&mut ends.far).await);
    ends.far.write_all(b"free").await.unwrap();
    assert_eq!(read(&mut ends.near, 4).await.unwrap(), b"free");
    assert!(ends.link.traffic().hindered() >= 4);
    ends.link.set(Weather::default());
    assert_eq!(read(&mut ends.far, 4).await.unwrap(), b"held");
}

#[tokio::test]
async fn behind_a_gap_a_connection_is_reset_once_the_link_is_mended() {
    let mut ends = Ends::open().await;
    ends.link.set(Weather::both(Flow::Lost));
    ends.near.write_all(b"lost").await.unwrap();
    assert!(is_silent(&mut ends.far).await);
    ends.link.set(Weather::default());
    assert!(read(&mut ends.far, 1).await.is_err());
    assert!(read(&mut ends.near, 1).await.is_err());
}

#[tokio::test]
async fn late_bytes_are_late_and_in_order() {
    let mut ends = Ends::open().await;
    let (delay, jitter) = (Duration::from_millis(80), Duration::from_millis(40));
    ends.link.set(Weather::both(Flow::Late { delay, jitter }));
    let sent = Instant::now();
    for byte in 0..20 {
        ends.near.write_u8(byte).await.unwrap();
    }
    let got = read(&mut ends.far, 20).await.unwrap();
    assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
    assert_eq!(got, (0..20).collect::<Vec<u8>>());
}

#[tokio::test]
async fn a_narrow_link_takes_its_time() {
    let mut ends = Ends::open().await;
    let bytes_per_second = 100_000;
    ends.link
        .set(Weather::both(Flow::Narrow { bytes_per_second }));
    let sent = Instant::now();
    ends.near.write_all(&[7; 30_000]).await.unwrap();
    read(&mut ends.far, 30_000).await.unwrap();
    assert!(
        sent.elapsed() >= Duration::from_millis(250),
        "{:?}",
        sent.elapsed()
    );
}

#[tokio::test]
async fn reset_doors_cut_what_is_there_and_what_comes() {
    let mut ends = Ends::open().await;
    ends.passes(b"before").await;
    ends.link.change(|weather| weather.doors = Doors::Reset);
    assert!(read(&mut ends.near, 1).await.is_err());
    assert!(read(&mut ends.far, 1).await.is_err());
    let mut new = TcpStream::connect(ends.link.address()).await.unwrap();
    assert!(read(&mut new, 1).await.is_err());
}

#[tokio::test]
async fn half_open_doors_tell_nobody_until_they_are_mended() {
    let mut ends = Ends::open().await;
    ends.link.change(|weather| weather.doors = Doors::HalfOpen);
    ends.near.write_all(b"into nothing").await.unwrap();
    assert!(is_silent(&mut ends.near).await);
    assert!(is_silent(&mut ends.far).await);
    // Who dials now is accepted, and nobody is behind it.
    let mut waiting = TcpStream::connect(ends.link.address()).await.unwrap();
    assert!(timeout(SILENCE, ends.listener.accept()).await.is_err());
    ends.link.set(Weather::default());
    assert!(read(&mut ends.near, 1).await.is_err());
    waiting.write_all(b"late").await.unwrap();
    let (mut far, _) = timeout(SOON, ends.listener.accept())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read(&mut far, 4).await.unwrap(), b"late");
}

#[tokio::test]
async fn a_slow_close_is_told_late() {
    let mut ends = Ends::open().await;
    let late = Duration::from_millis(200);
    ends.link
        .change(|weather| weather.doors = Doors::SlowClose(late));
    let closed = Instant::now();
    ends.near.shutdown().await.unwrap();
    assert_eq!(
        timeout(SOON, ends.far.read(&mut [0]))
            .await
            .unwrap()
            .unwrap(),
        0
    );
    assert!(closed.elapsed() >= late, "{:?}", closed.elapsed());
}

#[tokio::test]
async fn a_target_that_is_away_is_a_reset() {
    let mut ends = Ends::open().await;
    ends.listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ends.passes(b"the one that is there stays").await;
    let mut new = TcpStream::connect(ends.link.address()).await.unwrap();
    assert!(read(&mut new, 1).await.is_err());
}

#[tokio::test]
async fn a_treatment_is_of_one_direction_whoever_dialed() {
    let mut mesh = Mesh::default();
    let any = "127.0.0.1:0".parse().unwrap();
    let (one, other) = (End::Node(1), End::Node(2));
    mesh.add(one, other, any, any).unwrap();
    mesh.add(other, one, any, any).unwrap();
    mesh.treat(one, other, Flow::Lost);
    let weather = |from, to| mesh.link(from, to).unwrap().weather();
    assert_eq!(
        (weather(one, other).there, weather(one, other).back),
        (Flow::Lost, Flow::Clear)
    );
    assert_eq!(
        (weather(other, one).there, weather(other, one).back),
        (Flow::Clear, Flow::Lost)
    );
    mesh.heal();
    assert!(mesh.iter().all(|(_, _, link)| link.weather().is_fair()));
}
