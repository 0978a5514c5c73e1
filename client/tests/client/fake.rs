//! A server that answers as a closure says, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockring_client::wire::{ErrorCode, Problem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server does with a request.
pub(crate) enum Act {
    /// Answers with status, further header lines and body.
    Reply(u16, String, String),
    /// Answers like that, and closes the connection.
    ReplyAndClose(u16, String, String),
    /// Closes the connection without an answer.
    Cut,
    /// Says nothing, and waits for the client to close.
    Hang,
    /// Answers with further header lines and a stream that tells this and then nothing more.
    Stream(String, String),
    /// Answers like that, and closes the connection.
    StreamAndClose(String, String),
}

impl Act {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::Reply(200, String::new(), body.into())
    }

    pub(crate) fn problem(problem: &Problem) -> Self {
        let lines = "content-type: application/problem+json\r\n".to_owned();
        Self::Reply(
            problem.status,
            lines,
            serde_json::to_string(problem).unwrap(),
        )
    }

    pub(crate) fn code(code: ErrorCode) -> Self {
        Self::problem(&Problem::new(code, "as the test says"))
    }
}

/// One thing that the server saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) key: Option<String>,
    pub(crate) body: String,
    /// Which connection it came over, from 0 up.
    pub(crate) connection: usize,
}

/// What the server saw so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) asked: Vec<Asked>,
    /// Connections on which the client hung up while it was owed an answer.
    pub(crate) hung_up: Vec<usize>,
}

impl Seen {
    /// How many requests had this method and path.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.asked.iter().filter(|asked| asked.line == line).count()
    }
}

type Handler = dyn Fn(&Asked) -> Act + Send + Sync;

/// A server on a port of its own. It ends when it is dropped.
pub(crate) struct Fake {
    pub(crate) url: String,
    seen: watch::Receiver<Seen>,
    _serving: JoinSet<()>,
}

impl Fake {
    pub(crate) async fn start(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, seen) = watch::channel(Seen::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::new(act), tell));
        Self {
            url,
            seen,
            _serving: serving,
        }
    }

    /// Plays the acts in order, one for each request; the last for all that follow.
    pub(crate) async fn script(acts: impl IntoIterator<Item = Act>) -> Self {
        let acts = Mutex::new(acts.into_iter().collect::<Vec<_>>());
        Self::start(move |_| {
            let mut acts = acts.lock().unwrap();
            if acts.len() > 1 {
                acts.remove(0)
            } else {
                acts[0].again()
            }
        })
        .await
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until what was seen is enough.
    pub(crate) async fn until(&self, what: &str, enough: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| enough(seen))).await;
        match waited {
            Ok(enough) => enough.unwrap().clone(),
            Err(_) => panic!("not within {PATIENCE:?}: {what}; seen: {:#?}", self.seen()),
        }
    }
}

impl Act {
    fn again(&self) -> Self {
        match self {
            Self::Reply(status, lines, body) => Self::Reply(*status, lines.clone(), body.clone()),
            Self::ReplyAndClose(status, lines, body) => {
                Self::ReplyAndClose(*status, lines.clone(), body.clone())
            }
            Self::Cut => Self::Cut,
            Self::Hang => Self::Hang,
            Self::Stream(lines, body) => Self::Stream(lines.clone(), body.clone()),
            Self::StreamAndClose(lines, body) => Self::StreamAndClose(lines.clone(), body.clone()),
        }
    }
}

async fn accept(listener: TcpListener, act: Arc<Handler>, tell: watch::Sender<Seen>) {
    let mut connections = JoinSet::new();
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, connection, act.clone(), tell.clone()));
    }
}

async fn serve(mut stream: TcpStream, number: usize, act: Arc<Handler>, tell: watch::Sender<Seen>) {
    let mut bytes = Vec::new();
    while let Some(asked) = read_request(&mut stream, &mut bytes, number).await {
        tell.send_modify(|seen| seen.asked.push(asked.clone()));
        let (status, lines, body, closes) = match act(&asked) {
            Act::Reply(status, lines, body) => (status, lines, body, false),
            Act::ReplyAndClose(status, lines, body) => (status, lines, body, true),
            Act::Cut => return,
            Act::Hang => return hang(&mut stream, number, &tell).await,
            Act::Stream(lines, body) => {
                stream
                    .write_all(streamed(&lines, &body).as_bytes())
                    .await
                    .unwrap();
                return hang(&mut stream, number, &tell).await;
            }
            Act::StreamAndClose(lines, body) => {
                stream
                    .write_all(streamed(&lines, &body).as_bytes())
                    .await
                    .unwrap();
                return;
            }
        };
        let length = body.len();
        let reply = format!("HTTP/1.1 {status} X\r\n{lines}content-length: {length}\r\n\r\n{body}");
        if stream.write_all(reply.as_bytes()).await.is_err() || closes {
            return;
        }
    }
}

/// The beginning of a stream, in one chunk.
fn streamed(lines: &str, body: &str) -> String {
    let head = format!("HTTP/1.1 200 X\r\n{lines}content-type: text/event-stream\r\n");
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    let chunk = if body.is_empty() { "" } else { &chunk };
    format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}")
}

/// Waits until the client closes.
async fn hang(stream: &mut TcpStream, number: usize, tell: &watch::Sender<Seen>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    tell.send_modify(|seen| seen.hung_up.push(number));
}

/// The next request, or nothing when the client has closed.
async fn read_request(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    connection: usize,
) -> Option<Asked> {
    loop {
        if let Some((asked, end)) = parse(bytes, connection) {
            bytes.drain(..end);
            return Some(asked);
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(bytes: &[u8], connection: usize) -> Option<(Asked, usize)> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).unwrap();
    let (line, rest) = head.split_once(" HTTP/1.1\r\n").unwrap();
    let header = |name: &str| {
        let mut lines = rest.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let body = bytes.get(head_end..head_end + length)?;
    let asked = Asked {
        line: line.to_owned(),
        key: header("idempotency-key"),
        body: String::from_utf8(body.to_vec()).unwrap(),
        connection,
    };
    Some((asked, head_end + length))
}
