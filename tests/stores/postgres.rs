//! PostgreSQL: one statement, or one transaction.

use std::time::Duration;

use lockring_client::Fence;
use lockring_client::fence::Stale;
use lockring_client::fence::postgres::{Error, TABLE, admit, execute};
use tokio_postgres::{Client, NoTls};

use crate::installed::Server;
use crate::overslept::{
    self, Account, NOTHING_LOST, Outcome, UPDATE_LOST, Writes, account_of_holder,
};

const ADD: &str = "UPDATE accounts SET total = total + $3 FROM lockring_admitted WHERE id = 1";

async fn connect(port: &str) -> Client {
    let address = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    // The port takes connections before the database does.
    let connected = jepsen_lite::wait_for("the database", Duration::from_secs(60), async || {
        tokio_postgres::connect(&address, NoTls).await.ok()
    });
    let (client, connection) = connected.await.unwrap();
    // It ends with the client, at the end of the test.
    tokio::spawn(connection);
    client
}

/// A database with one account, empty.
async fn database() -> (Server, Client) {
    let server = Server::postgres().await;
    let client = connect(&server.port.to_string()).await;
    client.batch_execute(TABLE).await.unwrap();
    let account = "CREATE TABLE accounts (id int PRIMARY KEY, total bigint NOT NULL, fence bigint);
        INSERT INTO accounts VALUES (1, 0, 0)";
    client.batch_execute(account).await.unwrap();
    (server, client)
}

fn fence(number: u64) -> Fence {
    Fence::claimed(number)
}

/// The error's stale fence; anything else is a failure of the test.
fn stale(error: Error) -> Stale {
    match error {
        Error::Stale(stale) => stale,
        error => panic!("{error}"),
    }
}

async fn total(client: &Client) -> i64 {
    let row = client.query_one("SELECT total FROM accounts WHERE id = 1", &[]);
    row.await.unwrap().get(0)
}

/// The account as the statement of this crate writes it.
struct ByStatement(Client);

impl Account for ByStatement {
    async fn total(&mut self) -> i64 {
        total(&self.0).await
    }

    async fn write(&mut self, total: i64) {
        let plain = "UPDATE accounts SET total = $1 WHERE id = 1";
        assert_eq!(self.0.execute(plain, &[&total]).await.unwrap(), 1);
    }

    async fn write_under(&mut self, fence: Fence, total: i64) -> Result<(), Stale> {
        let write = "UPDATE accounts SET total = $3 FROM lockring_admitted WHERE id = 1";
        match execute(&self.0, "account", fence, write, &[&total]).await {
            Ok(rows) => assert_eq!(rows, 1),
            Err(error) => return Err(stale(error)),
        }
        Ok(())
    }
}

/// The account with the fence in a column of its row: the line of the README.
struct ByColumn(ByStatement);

impl Account for ByColumn {
    async fn total(&mut self) -> i64 {
        self.0.total().await
    }

    async fn write(&mut self, total: i64) {
        self.0.write(total).await;
    }

    async fn write_under(&mut self, fence: Fence, total: i64) -> Result<(), Stale> {
        let write = "UPDATE accounts SET total = $1, fence = $2 WHERE id = 1 AND fence <= $2";
        let number = fence.number().cast_signed();
        let rows = self.0.0.execute(write, &[&total, &number]).await.unwrap();
        let highest = self.0.0.query_one("SELECT fence FROM accounts", &[]).await;
        let highest: i64 = highest.unwrap().get(0);
        let least = Fence::claimed(highest.cast_unsigned());
        if rows == 1 {
            Ok(())
        } else {
            Err(Stale { fence, least })
        }
    }
}

/// One test is both: the story and, run again, the holder in it.
async fn play<A: Account>(
    test: &str,
    account: impl Fn(Client) -> A,
    writes: Writes,
) -> Option<Outcome> {
    if let Some(port) = account_of_holder() {
        overslept::hold(&mut account(connect(&port).await), writes).await;
        return None;
    }
    let (server, client) = database().await;
    let test = format!("postgres::{test}");
    let port = server.port.to_string();
    Some(overslept::play(&test, &port, &mut account(client), writes).await)
}

#[tokio::test]
async fn one_statement_refuses_whoever_overslept() {
    let test = "one_statement_refuses_whoever_overslept";
    if let Some(outcome) = play(test, ByStatement, Writes::Guarded).await {
        assert_eq!(outcome, NOTHING_LOST);
    }
}

#[tokio::test]
async fn a_column_for_the_fence_refuses_whoever_overslept() {
    let test = "a_column_for_the_fence_refuses_whoever_overslept";
    let account = |client| ByColumn(ByStatement(client));
    if let Some(outcome) = play(test, account, Writes::Guarded).await {
        assert_eq!(outcome, NOTHING_LOST);
    }
}

#[tokio::test]
async fn without_a_fence_an_update_is_lost() {
    let test = "without_a_fence_an_update_is_lost";
    if let Some(outcome) = play(test, ByStatement, Writes::Plain).await {
        assert_eq!(outcome, UPDATE_LOST);
    }
}

#[tokio::test]
async fn a_stale_write_that_waits_for_a_newer_one_is_refused() {
    let (server, mut newer) = database().await;
    let older = connect(&server.port.to_string()).await;
    execute(&older, "account", fence(5), ADD, &[&1_i64])
        .await
        .unwrap();

    let transaction = newer.transaction().await.unwrap();
    execute(&transaction, "account", fence(6), ADD, &[&10_i64])
        .await
        .unwrap();
    // It begins before the newer one is committed, so what it reads is from before that.
    let late = tokio::spawn(async move {
        execute(&older, "account", fence(5), ADD, &[&100_i64])
            .await
            .map_err(stale)
    });
    wait_blocked(&server).await;
    transaction.commit().await.unwrap();
    let refused = late.await.unwrap().unwrap_err();
    assert_eq!((refused.fence, refused.least), (fence(5), fence(6)));
    assert_eq!(total(&newer).await, 11);
}

#[tokio::test]
async fn a_newer_write_that_waits_builds_on_the_older_one() {
    let (server, mut older) = database().await;
    let newer = connect(&server.port.to_string()).await;
    let transaction = older.transaction().await.unwrap();
    execute(&transaction, "account", fence(5), ADD, &[&1_i64])
        .await
        .unwrap();
    let next = tokio::spawn(async move {
        execute(&newer, "account", fence(6), ADD, &[&10_i64])
            .await
            .map_err(stale)
    });
    wait_blocked(&server).await;
    transaction.commit().await.unwrap();
    assert_eq!(next.await.unwrap(), Ok(1));
    assert_eq!(total(&older).await, 11);
}

/// Waits until some statement waits for a lock of another.
async fn wait_blocked(server: &Server) {
    let looker = connect(&server.port.to_string()).await;
    let blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let waits = jepsen_lite::wait_for("a wait", Duration::from_secs(60), async || {
        let count: i64 = looker.query_one(blocked, &[]).await.unwrap().get(0);
        (count > 0).then_some(())
    });
    waits.await.unwrap();
}

#[tokio::test]
async fn every_kind_of_write_can_be_guarded() {
    let (_server, client) = database().await;
    let insert = "INSERT INTO accounts SELECT 2, $3 FROM lockring_admitted";
    let delete = "DELETE FROM accounts USING lockring_admitted WHERE id = 2";
    let client = &client;
    let run =
        async |number: u64, write: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]| {
            execute(client, "accounts", fence(number), write, values).await
        };
    assert_eq!(run(7, insert, &[&5_i64]).await.unwrap(), 1);
    assert_eq!(
        stale(run(6, delete, &[]).await.unwrap_err()).least,
        fence(7)
    );
    assert_eq!(run(8, delete, &[]).await.unwrap(), 1);
    assert_eq!(
        run(8, delete, &[]).await.unwrap(),
        0,
        "nothing is left, and it is not stale"
    );
    assert_eq!(
        stale(run(7, insert, &[&5_i64]).await.unwrap_err()).least,
        fence(8)
    );

    let unguarded = run(9, "DELETE FROM accounts", &[]).await.unwrap_err();
    assert!(matches!(unguarded, Error::Unguarded(_)), "{unguarded}");
    let never = run(u64::MAX, delete, &[]).await.unwrap_err();
    assert!(matches!(never, Error::TooHigh(_)), "{never}");
    assert_eq!(total(client).await, 0);
}

#[tokio::test]
async fn a_transaction_is_admitted_as_a_whole() {
    let (server, mut client) = database().await;
    let add = "UPDATE accounts SET total = total + 1";
    let older = client.transaction().await.unwrap();
    admit(&older, "account", fence(5)).await.unwrap();
    older.execute(add, &[]).await.unwrap();

    let mut other = connect(&server.port.to_string()).await;
    let next = tokio::spawn(async move {
        let newer = other.transaction().await.unwrap();
        admit(&newer, "account", fence(6)).await.unwrap();
        newer.execute(add, &[]).await.unwrap();
        newer.commit().await.unwrap();
    });
    wait_blocked(&server).await;
    older.commit().await.unwrap();
    next.await.unwrap();
    let late = client.transaction().await.unwrap();
    let refused = admit(&late, "account", fence(5)).await.unwrap_err();
    assert_eq!(stale(refused).least, fence(6));
    late.rollback().await.unwrap();
    assert_eq!(total(&client).await, 2);
}
