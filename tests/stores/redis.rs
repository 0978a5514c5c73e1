//! Redis: one script.

use lockring_client::Fence;
use lockring_client::fence::Stale;
use lockring_client::fence::redis::{Error, execute};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};

use crate::installed::Server;
use crate::overslept::{
    self, Account, NOTHING_LOST, Outcome, UPDATE_LOST, Writes, account_of_holder,
};

const MARK: &str = "{account}:fence";
const KEY: &str = "{account}";

async fn connect(port: &str) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn server() -> (Server, MultiplexedConnection) {
    let server = Server::redis().await;
    let connection = connect(&server.port.to_string()).await;
    (server, connection)
}

fn command(words: &[&str]) -> Cmd {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command
}

/// Runs a command under a fence.
async fn run<T: redis::FromRedisValue>(
    server: &mut MultiplexedConnection,
    fence: u64,
    words: &[&str],
) -> Result<T, Error> {
    let fence = Fence::claimed(fence);
    execute(server, MARK, fence, &[KEY], &command(words)).await
}

fn stale(error: Error) -> Stale {
    match error {
        Error::Stale(stale) => stale,
        Error::Redis(error) => panic!("{error}"),
    }
}

struct ByScript(MultiplexedConnection);

impl Account for ByScript {
    async fn total(&mut self) -> i64 {
        let total: Option<i64> = command(&["GET", KEY])
            .query_async(&mut self.0)
            .await
            .unwrap();
        total.unwrap_or(0)
    }

    async fn write(&mut self, total: i64) {
        let set = command(&["SET", KEY, &total.to_string()]);
        set.exec_async(&mut self.0).await.unwrap();
    }

    async fn write_under(&mut self, fence: Fence, total: i64) -> Result<(), Stale> {
        let set = ["SET", KEY, &total.to_string()];
        run(&mut self.0, fence.number(), &set).await.map_err(stale)
    }
}

/// One test is both: the story and, run again, the holder in it.
async fn play(test: &str, writes: Writes) -> Option<Outcome> {
    if let Some(port) = account_of_holder() {
        overslept::hold(&mut ByScript(connect(&port).await), writes).await;
        return None;
    }
    let (server, connection) = server().await;
    let (test, port) = (format!("redis::{test}"), server.port.to_string());
    Some(overslept::play(&test, &port, &mut ByScript(connection), writes).await)
}

#[tokio::test]
async fn one_script_refuses_whoever_overslept() {
    if let Some(outcome) = play("one_script_refuses_whoever_overslept", Writes::Guarded).await {
        assert_eq!(outcome, NOTHING_LOST);
    }
}

#[tokio::test]
async fn without_a_fence_an_update_is_lost() {
    if let Some(outcome) = play("without_a_fence_an_update_is_lost", Writes::Plain).await {
        assert_eq!(outcome, UPDATE_LOST);
    }
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_script_is_sent_it_again() {
    let (_server, mut server) = server().await;
    for fence in [1, 2] {
        run::<()>(&mut server, fence, &["SET", KEY, "x"])
            .await
            .unwrap();
        command(&["SCRIPT", "FLUSH"])
            .exec_async(&mut server)
            .await
            .unwrap();
    }
    let refused = run::<()>(&mut server, 1, &["SET", KEY, "y"])
        .await
        .unwrap_err();
    assert_eq!(stale(refused).least, Fence::claimed(2));
    let kept: String = command(&["GET", KEY])
        .query_async(&mut server)
        .await
        .unwrap();
    assert_eq!(kept, "x");
}

#[tokio::test]
async fn fences_are_compared_to_the_last_digit() {
    let (_server, mut server) = server().await;
    let ascending = [
        9,
        10,
        99,
        9_007_199_254_740_992,
        9_007_199_254_740_993,
        u64::MAX,
    ];
    for pair in ascending.windows(2) {
        run::<i64>(&mut server, pair[1], &["INCR", KEY])
            .await
            .unwrap();
        let refused = run::<i64>(&mut server, pair[0], &["INCR", KEY])
            .await
            .unwrap_err();
        assert_eq!(stale(refused).least.number(), pair[1]);
    }
    let count: i64 = run(&mut server, u64::MAX, &["INCR", KEY]).await.unwrap();
    assert_eq!(count, 6, "equal fences pass");
}

#[tokio::test]
async fn replies_come_back_as_they_are() {
    let (_server, mut server) = server().await;
    let none: Option<String> = run(&mut server, 3, &["GET", KEY]).await.unwrap();
    assert_eq!(none, None);
    run::<()>(&mut server, 3, &["RPUSH", KEY, "a", "", "c"])
        .await
        .unwrap();
    let all: Vec<String> = run(&mut server, 3, &["LRANGE", KEY, "0", "-1"])
        .await
        .unwrap();
    assert_eq!(all, ["a", "", "c"]);
    // A command that fails is told as such, and its fence was seen all the same.
    let failed = run::<()>(&mut server, 4, &["INCR", KEY]).await.unwrap_err();
    assert!(matches!(failed, Error::Redis(_)), "{failed}");
    let refused = run::<()>(&mut server, 3, &["DEL", KEY]).await.unwrap_err();
    assert_eq!(stale(refused).least, Fence::claimed(4));
}
