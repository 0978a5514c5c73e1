//! The network's own tests; everything runs in memory unless sockets are the point.

mod hellos;
mod calls;
mod broken_peers;
mod streams;
mod transfers;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::calls::Link;
use super::*;

/// The longest that any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

const ECHO: u8 = 1;
/// Fails with the body as the reason.
const FAIL: u8 = 2;
/// Never answers.
const HANG: u8 = 3;
/// Answers after as many milliseconds as the first byte says.
const SLEEP: u8 = 4;
/// Answers with 32 bytes more than fit a frame.
const BLOAT: u8 = 5;

/// A node of the tests: admits what its list says, answers by the kinds above.
#[derive(Debug, Default)]
struct TestNode {
    /// Members and their incarnations; everybody is admitted while it is empty.
    members: Mutex<Vec<(u64, u64)>>,
    /// Kind and body of every call, in the order in which they were started.
    seen: Mutex<Vec<(u8, Bytes)>>,
}

impl Admission for TestNode {
    fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        let members = self.members.lock();
        if members.is_empty() {
            return Ok(());
        }
        match members.iter().find(|(id, _)| *id == hello.from) {
            None => Err(Refusal::NotAMember(hello.from)),
            Some(&(id, expected)) if expected != hello.from_incarnation => {
                Err(Refusal::WrongIncarnation {
                    id,
                    expected,
                    found: hello.from_incarnation,
                })
            }
            Some(_) => Ok(()),
        }
    }

    fn initialised(&self) -> bool {
        !self.members.lock().is_empty()
    }
}

impl Serve for TestNode {
    async fn call(&self, _from: Caller, kind: u8, body: Bytes) -> Result<Bytes, String> {
        self.seen.lock().push((kind, body.clone()));
        match kind {
            ECHO => Ok(body),
            FAIL => Err(String::from_utf8_lossy(&body).into_owned()),
            HANG => std::future::pending().await,
            SLEEP => {
                tokio::time::sleep(Duration::from_millis(u64::from(body[0]))).await;
                Ok(body)
            }
            BLOAT => Ok(vec![0; limits().body_bytes_max + 32].into()),
            kind => Err(format!("no such kind: {kind}")),
        }
    }

    async fn stream(&self, _from: Caller, mut stream: FrameStream) {
        while let Ok(Some(frame)) = stream.receive().await {
            if stream.send(frame).await.is_err() {
                return;
            }
        }
    }
}

fn limits() -> Limits {
    Limits {
        body_bytes_max: 512 << 10,
        backoff_ms_max: 50,
        ..Limits::default()
    }
}

fn identity(id: u64) -> Identity {
    Identity {
        cluster: "test".into(),
        fingerprint: 7,
        id,
        incarnation: id * 100,
    }
}

fn target(id: u64, address: &str) -> Target {
    Target {
        id,
        address: address.into(),
        incarnation: None,
    }
}

fn dialer(transport: &(impl Transport + Clone), id: u64) -> Dialer {
    Dialer::new(
        Arc::new(transport.clone()),
        Arc::new(identity(id)),
        limits(),
    )
}

async fn serve(transport: &impl Transport, address: &str, node: &Arc<TestNode>) -> Listener {
    let identity = Arc::new(identity(2));
    Listener::start(
        transport,
        address,
        identity,
        node.clone(),
        node.clone(),
        limits(),
    )
    .await
    .unwrap()
}

/// Waits until calls to the peer are in the wanted state.
async fn link_is(calls: &Calls, wanted: impl Fn(&Link) -> bool) {
    let mut link = calls.link();
    within(link.wait_for(|link| wanted(link)))
        .await
        .expect("the connection is being kept");
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the condition came about in time")
}
