//! The same requests to Redis itself, and the same bytes back.

use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::{Nodes, request};
use crate::cache::resp::reply_end;

/// A Redis of our own behind a socket of its own.
struct Redis {
    stream: UnixStream,
    input: Vec<u8>,
    _process: Child,
    _dir: tempfile::TempDir,
}

impl Redis {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redis.sock");
        let process = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(&socket)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is not installed: apt-get install redis-server");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let stream = loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => break stream,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        Self {
            stream,
            input: Vec::new(),
            _process: process,
            _dir: dir,
        }
    }

    async fn ask(&mut self, request: &[u8]) -> String {
        self.stream.write_all(request).await.unwrap();
        loop {
            if let Some(end) = reply_end(&self.input).unwrap() {
                let reply = self.input.drain(..end).collect::<Vec<_>>();
                return String::from_utf8_lossy(&reply).into_owned();
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0);
        }
    }
}

/// One of a few keys, all of one slot.
fn key(random: &mut StdRng) -> String {
    format!("{{k}}{}", random.random_range(0..6))
}

fn word(random: &mut StdRng) -> String {
    let words = [
        "",
        "a",
        "hello",
        "70000",
        "-3",
        "007",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "nx",
        "XX",
        "get",
        "keepttl",
        "EX",
        "px",
        "exat",
        "pxat",
        "persist",
        "gt",
        "lt",
        "0",
        "100000",
        "-1",
        "4102444800",
        "4102444800000",
    ];
    words[random.random_range(0..words.len())].to_owned()
}

fn random_words(random: &mut StdRng) -> Vec<String> {
    let commands = [
        "get",
        "set",
        "set",
        "set",
        "setex",
        "psetex",
        "setnx",
        "getset",
        "getdel",
        "getex",
        "mget",
        "mset",
        "del",
        "unlink",
        "exists",
        "expire",
        "pexpire",
        "expireat",
        "pexpireat",
        "ttl",
        "persist",
        "incr",
        "decr",
        "incrby",
        "decrby",
        "append",
        "strlen",
        "type",
        "echo",
        "ping",
        "select",
    ];
    let command = commands[random.random_range(0..commands.len())];
    let mut words = vec![command.to_owned()];
    match command {
        "echo" | "ping" | "select" => {}
        "mget" | "del" | "unlink" | "exists" => {
            words.extend((0..random.random_range(0..4)).map(|_| key(random)));
            return words;
        }
        "mset" => {
            for _ in 0..random.random_range(0..3) {
                words.extend([key(random), word(random)]);
            }
            words.extend(random.random_bool(0.1).then(|| key(random)));
            return words;
        }
        _ => words.push(key(random)),
    }
    words.extend((0..random.random_range(0..5)).map(|_| word(random)));
    words
}

/// What may differ: a word of how the clock went on between the two.
fn is_clock(words: &[String], ours: &str, theirs: &str) -> bool {
    let number = |reply: &str| reply.strip_prefix(':')?.trim().parse::<i64>().ok();
    let (Some(ours), Some(theirs)) = (number(ours), number(theirs)) else {
        return false;
    };
    words[0] == "ttl" && ours.abs_diff(theirs) <= 1
}

#[tokio::test]
async fn every_command_answers_as_redis_does() {
    let mut redis = Redis::start().await;
    let nodes = Nodes::start(1, None).await;
    let mut client = nodes.client(0).await;
    let seed = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    for proto in ["2", "3"] {
        redis.ask(&request(&[b"hello", proto.as_bytes()])).await;
        client.ask(&format!("hello {proto}")).await;
        for step in 0..12_000 {
            let words = random_words(&mut random);
            let bytes: Vec<_> = words.iter().map(String::as_bytes).collect();
            // Their differing databases are no part of this.
            if words[0] == "select" && words.get(1).is_none_or(|number| number != "0") {
                continue;
            }
            let request = request(&bytes);
            let theirs = redis.ask(&request).await;
            client.send(&request).await;
            let ours = client.next().await.expect("a reply");
            assert!(
                ours == theirs || is_clock(&words, &ours, &theirs),
                "seed {seed}, proto {proto}, step {step}: {words:?}\n ours {ours:?}\n \
                 redis {theirs:?}"
            );
        }
    }
}

#[tokio::test]
async fn mistakes_are_told_as_redis_tells_them() {
    let mut redis = Redis::start().await;
    let nodes = Nodes::start(1, None).await;
    let mut client = nodes.client(0).await;
    for words in [
        "nonsense a b",
        "get",
        "set k",
        "config get",
        "client setname a\u{1}b",
        "object freq k",
        "cluster",
        "client id 1",
        "client nonsense",
        "scan x",
        "scan 0 count 0",
        "scan 0 x",
        "flushall x",
        "expire k 1 nx xx",
        "expire k 1 gt lt",
        "expire k 1 yy",
        "hello 4",
        "hello x",
        "hello 2 nonsense",
        "auth x",
        "auth a b",
        "getex k ex",
        "command getkeys mset a 1 b 2",
        "command getkeys ping x",
        "incrby k x",
        "readonly x",
        "setex k 0 v",
        "setex k 9223372036854775807 v",
        "psetex k -1 v",
        "getex k px 0",
        "expire k 9223372036854775807",
        "ping a b",
        "echo",
    ] {
        let split: Vec<_> = words.split(' ').map(str::as_bytes).collect();
        let theirs = redis.ask(&request(&split)).await;
        let ours = client.ask(words).await;
        let is_ours = ours.starts_with("-ERR unknown command") && words.starts_with("object");
        assert!(
            ours == theirs || is_ours,
            "{words:?}\n ours {ours:?}\n redis {theirs:?}"
        );
    }
    // Inline, half, and broken.
    for raw in ["*1\r\n*1\r\n", "*x\r\n", "*1\r\n$x\r\n", "get \"a\r\n"] {
        let mut client = nodes.client(0).await;
        client.send(raw.as_bytes()).await;
        let ours = client.next().await.unwrap();
        assert!(
            ours.starts_with("-ERR Protocol error: "),
            "{raw:?} {ours:?}"
        );
        assert_eq!(client.next().await, None);
    }
}
