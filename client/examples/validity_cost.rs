//! What it costs to ask a guard whether its lease can be relied on.
//! `cargo run --release -p lockring-client --example validity_cost`

// An example talks.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use lockring_client::blocking::Client;

const TIMES: u32 = 10_000_000;
const SESSION: &str = r#"{"session":"00000000000000000000000000000007","ttl_ms":3600000,
    "expires_in_ms":3600000}"#;
const GRANTED: &str = r#"{"lock":"a","session":"00000000000000000000000000000007",
    "mode":"exclusive","fence":1,"expires_in_ms":3600000,"replayed":false}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    // It ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    let session = Client::new([url])?.session(|session| session)?;
    let guard = session.acquire("a")?;
    let begun = Instant::now();
    for _ in 0..TIMES {
        assert!(black_box(&guard).is_valid());
    }
    println!("is_valid: {:?}", begun.elapsed() / TIMES);
    // There is no cluster that wants to be told.
    std::process::exit(0);
}

/// Stands for a cluster with one session and one lock.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 4096];
    loop {
        let read = stream.read(&mut request)?;
        if read == 0 {
            return Ok(());
        }
        let (status, body) = if request.starts_with(b"POST /v1/sessions ") {
            (201, SESSION)
        } else if request.starts_with(b"POST /v1/locks/") {
            (200, GRANTED)
        } else {
            (404, "{}")
        };
        let length = body.len();
        let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(reply.as_bytes())?;
    }
}
