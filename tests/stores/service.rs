//! A service behind HTTP: axum, with the layer and without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use lockring_client::Fence;
use lockring_client::fence::http::FenceLayer;
use lockring_client::fence::{Gate, Stale};
use lockring_client::wire::Problem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::overslept::{
    self, Account, NOTHING_LOST, Outcome, UPDATE_LOST, Writes, account_of_holder,
};

type Total = Arc<AtomicI64>;

async fn read(State(total): State<Total>) -> String {
    total.load(Ordering::SeqCst).to_string()
}

async fn write(State(total): State<Total>, body: String) -> StatusCode {
    total.store(body.parse().unwrap(), Ordering::SeqCst);
    StatusCode::NO_CONTENT
}

/// The service; it ends with the set.
async fn serve(writes: Writes) -> (SocketAddr, JoinSet<()>) {
    let mut router = Router::new()
        .route("/account", get(read).put(write))
        .with_state(Total::default());
    if writes == Writes::Guarded {
        router = router.layer(FenceLayer::new(Arc::new(Gate::new(10))));
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, tasks)
}

/// One request by hand: its status and body.
async fn ask(address: &str, method: &str, fence: Option<Fence>, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let fence = fence.map(|fence| format!("Lockring-Fence: {fence}\r\n"));
    let request = format!(
        "{method} /account HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{}\
         Content-Length: {}\r\n\r\n{body}",
        fence.unwrap_or_default(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

struct ByRequest(String);

impl Account for ByRequest {
    async fn total(&mut self) -> i64 {
        let (status, body) = ask(&self.0, "GET", None, "").await;
        assert_eq!(status, 200);
        body.parse().unwrap()
    }

    async fn write(&mut self, total: i64) {
        let (status, body) = ask(&self.0, "PUT", None, &total.to_string()).await;
        assert_eq!(status, 204, "{body}");
    }

    async fn write_under(&mut self, fence: Fence, total: i64) -> Result<(), Stale> {
        let (status, body) = ask(&self.0, "PUT", Some(fence), &total.to_string()).await;
        if status == 204 {
            return Ok(());
        }
        assert_eq!(status, 412, "{body}");
        let problem: Problem = serde_json::from_str(&body).unwrap();
        let least = Fence::claimed(problem.highest_fence.flatten().unwrap());
        Err(Stale { fence, least })
    }
}

/// One test is both: the story and, run again, the holder in it.
async fn play(test: &str, writes: Writes) -> Option<Outcome> {
    if let Some(address) = account_of_holder() {
        overslept::hold(&mut ByRequest(address), writes).await;
        return None;
    }
    let (address, _tasks) = serve(writes).await;
    let (test, address) = (format!("service::{test}"), address.to_string());
    let mut account = ByRequest(address.clone());
    Some(overslept::play(&test, &address, &mut account, writes).await)
}

#[tokio::test]
async fn the_layer_refuses_whoever_overslept() {
    if let Some(outcome) = play("the_layer_refuses_whoever_overslept", Writes::Guarded).await {
        assert_eq!(outcome, NOTHING_LOST);
    }
}

#[tokio::test]
async fn without_the_layer_an_update_is_lost() {
    if let Some(outcome) = play("without_the_layer_an_update_is_lost", Writes::Plain).await {
        assert_eq!(outcome, UPDATE_LOST);
    }
}
