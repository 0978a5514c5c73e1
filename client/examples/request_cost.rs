//! What a request costs the client: CPU and wall time, against a server that answers at once with
//! a constant. `cargo run --release -p lockring-client --example request_cost`

// An example talks.
#![allow(clippy::print_stdout)]

use std::future::Future;
use std::io::{Error, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lockring_client::{Call, Client, Connection, Endpoint, wire};
use rustix::time::{ClockId, clock_gettime};

const REQUESTS: u32 = 100_000;
const BODY: &str = r#"{"lock":"a/lock","session":"00000000000000000000000000000007",
    "mode":"exclusive","fence":123456,"expires_in_ms":10000,"replayed":false}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    // It ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let endpoint = Endpoint::parse(&url)?;
        let mut connection = Connection::open(&endpoint, None, Duration::from_secs(1)).await?;
        let body = br#"{"session":"00000000000000000000000000000007"}"#;
        measure("Connection", async {
            for _ in 0..REQUESTS {
                connection
                    .call(Call::post("/v1/locks/a%2Flock/acquire", "key-1", body))
                    .await?;
            }
            Ok(())
        })
        .await?;

        let client = Client::new([url])?;
        let session = Some("00000000000000000000000000000007".to_owned());
        let ask = wire::Acquire {
            session,
            ..wire::Acquire::default()
        };
        measure("Client", async {
            for _ in 0..REQUESTS {
                client.acquire_lock("a/lock", &ask).await?;
            }
            Ok(())
        })
        .await
    })
}

/// Runs the requests, and says what each took. The runtime has one thread: this one.
async fn measure(
    what: &str,
    requests: impl Future<Output = Result<(), Box<dyn std::error::Error>>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let spent = || {
        let at = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            at.tv_sec.unsigned_abs(),
            u32::try_from(at.tv_nsec).unwrap_or(0),
        )
    };
    let (wall, cpu) = (Instant::now(), spent());
    requests.await?;
    let (wall, cpu) = (wall.elapsed() / REQUESTS, (spent() - cpu) / REQUESTS);
    println!("{what}: {cpu:?} of CPU and {wall:?} in all for each request");
    Ok(())
}

fn answer(mut stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let length = BODY.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlockring-revision: 123456\r\n\
         lockring-fence: 123456\r\ncontent-length: {length}\r\n\r\n{BODY}"
    );
    // The client writes a request at once, and sends the next one after the answer.
    let mut request = [0; 4096];
    while stream.read(&mut request)? > 0 {
        stream.write_all(reply.as_bytes())?;
    }
    Ok(())
}
