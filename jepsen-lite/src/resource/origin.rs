//! Where a cache's values come from: an HTTP server that remembers each time that it is asked.
//!
//! Keys that begin with `cold` have a value, which is the key and the number of the load; all
//! others have none. `GET /values/KEY` is a load, `GET /loads/KEY` answers with what loads there
//! were: a JSON array of the epochs, in order, under which their askers owned the key's slot.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long a load takes: long enough that others ask meanwhile.
const TAKES: Duration = Duration::from_millis(30);

/// The epochs of each key's loads.
type Loads = Arc<Mutex<HashMap<String, Vec<u64>>>>;

/// Serves until the process ends; the address is told to `ready` once it is open.
///
/// # Errors
/// When no port can be opened.
pub async fn serve_origin(
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.context("the origin cannot listen")?;
    ready(listener.local_addr()?)?;
    let loads = Loads::default();
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                open.spawn(attend(stream, Arc::clone(&loads)));
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn attend(stream: TcpStream, loads: Loads) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).context("no path")?;
        let (status, body) = match path.strip_prefix("/values/") {
            Some(key) => {
                sleep(TAKES).await;
                load(&loads, key, epoch(&head).unwrap_or(0))
            }
            None => {
                let key = path.strip_prefix("/loads/").context("no such path")?;
                ("200 OK", serde_json::to_string(&epochs(&loads, key))?)
            }
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}

/// Under which epoch whoever asks owns the slot, if it says.
fn epoch(head: &str) -> Option<u64> {
    let mut lines = head.lines();
    lines
        .find_map(|line| line.strip_prefix("lockring-slot-epoch: "))?
        .parse()
        .ok()
}

fn load(loads: &Loads, key: &str, epoch: u64) -> (&'static str, String) {
    if !key.starts_with("cold") {
        return ("404 Not Found", String::new());
    }
    let mut loads = loads.lock().unwrap_or_else(PoisonError::into_inner);
    let epochs = loads.entry(key.to_owned()).or_default();
    epochs.push(epoch);
    ("200 OK", format!("{key} {}", epochs.len()))
}

fn epochs(loads: &Loads, key: &str) -> Vec<u64> {
    let loads = loads.lock().unwrap_or_else(PoisonError::into_inner);
    loads.get(key).cloned().unwrap_or_default()
}

/// The epochs of all loads of this key that an origin has answered.
///
/// # Errors
/// When it does not answer.
pub async fn loads_of(origin: SocketAddr, key: &str) -> anyhow::Result<Vec<u64>> {
    let mut stream = BufReader::new(TcpStream::connect(origin).await?);
    let request = format!("GET /loads/{key} HTTP/1.1\r\nhost: {origin}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).await?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head).await? > 0, "the origin hung up");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.context("no length")?.parse()?];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_remembers_who_asked() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let ready = |address| {
            let _ = tell.send(address);
            Ok(())
        };
        let serving = tokio::spawn(serve_origin(ready));
        let origin = told.await.unwrap();
        assert!(loads_of(origin, "cold-1").await.unwrap().is_empty());
        let mut stream = BufReader::new(TcpStream::connect(origin).await.unwrap());
        let asks = [
            ("cold-1", 3, "200"),
            ("warm", 3, "404"),
            ("cold-1", 4, "200"),
        ];
        for (key, epoch, wanted) in asks {
            let request =
                format!("GET /values/{key} HTTP/1.1\r\nlockring-slot-epoch: {epoch}\r\n\r\n");
            stream
                .get_mut()
                .write_all(request.as_bytes())
                .await
                .unwrap();
            let mut line = String::new();
            while !line.starts_with("HTTP/1.1") {
                line.clear();
                stream.read_line(&mut line).await.unwrap();
                if let Some(at) = line.find("HTTP/1.1") {
                    line = line.split_off(at);
                }
            }
            assert!(line.contains(wanted), "{line}");
        }
        assert_eq!(loads_of(origin, "cold-1").await.unwrap(), [3, 4]);
        assert!(loads_of(origin, "warm").await.unwrap().is_empty());
        serving.abort();
    }
}
