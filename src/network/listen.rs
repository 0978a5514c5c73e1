//! Serving the connections that peers open.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lockring_core::NodeId;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::answer;
use super::frame::Limits;
use super::hello::{self, Admission, Hello, Identity, Purpose, Refusal, Welcome};
use super::stream::FrameStream;
use super::transport::{Acceptor, Incoming, Transport};

/// The pause after a failed accept, which mostly means that the process has no file left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The peer at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub id: NodeId,
    pub incarnation: u64,
    /// The number that the peer gave this connection.
    pub number: u8,
}

/// What is served to peers that were admitted.
pub trait Serve: Send + Sync + 'static {
    /// Answers one call. It is dropped when the peer's deadline passes or its connection ends, so
    /// it must be cancellation-safe; and it shares a task with the other calls of its connection,
    /// so it must not block.
    fn call(
        &self,
        from: Caller,
        kind: u8,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, String>> + Send;

    /// Serves a stream to its end, in a task of its own. It is dropped when the listener is shut
    /// down: a stream has no end that would be worth waiting for.
    fn stream(&self, from: Caller, stream: FrameStream) -> impl Future<Output = ()> + Send;
}

/// An address where peers are served, until [`Listener::shutdown`] or until it is dropped.
#[derive(Debug)]
pub struct Listener {
    address: String,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Listener {
    /// Binds the address and begins to serve.
    pub async fn start(
        transport: &dyn Transport,
        address: &str,
        identity: Arc<Identity>,
        admission: Arc<impl Admission>,
        serve: Arc<impl Serve>,
        limits: Limits,
    ) -> io::Result<Self> {
        let acceptor = transport.listen(address).await?;
        let address = acceptor.address();
        let stop = CancellationToken::new();
        let door = Arc::new(Door {
            identity,
            admission,
            serve,
            limits,
            stop: stop.clone(),
            greetings: Semaphore::new(limits.greetings_max),
            connections: Semaphore::new(limits.connections_max),
        });
        let task = AbortOnDropHandle::new(tokio::spawn(accept(acceptor, door)));
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Where peers can connect, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Accepts nothing more, lets calls under way finish within the bound, and ends.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(why) = self.task.await
            && why.is_panic()
        {
            tracing::error!(%why, "the listener for peers panicked");
        }
    }
}

/// What every connection of a listener shares.
struct Door<A, S> {
    identity: Arc<Identity>,
    admission: Arc<A>,
    serve: Arc<S>,
    limits: Limits,
    stop: CancellationToken,
    greetings: Semaphore,
    connections: Semaphore,
}

async fn accept(mut acceptor: Box<dyn Acceptor>, door: Arc<Door<impl Admission, impl Serve>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = door.stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = acceptor.accept() => match accepted {
                Ok(incoming) => { connections.spawn(connect(incoming, door.clone())); }
                Err(why) => {
                    tracing::warn!(%why, "cannot accept a peer's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(acceptor);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(Duration::from_millis(door.limits.shutdown_ms_max), finish)
        .await
        .is_err()
    {
        connections.shutdown().await;
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(why) = ended
        && why.is_panic()
    {
        tracing::error!(%why, "serving a peer panicked");
    }
}

/// From the accepted connection to its end.
async fn connect(incoming: Incoming, door: Arc<Door<impl Admission, impl Serve>>) {
    let from = incoming.from.clone();
    let Ok(greeting) = door.greetings.try_acquire() else {
        return tracing::warn!(from, "too many connections without a hello");
    };
    let greeted = timeout(door.limits.greeting(), greet(incoming, &door)).await;
    drop(greeting);
    match greeted {
        Ok(Ok(Ok(greeted))) => serve(greeted, &door).await,
        Ok(Ok(Err(refusal))) => tracing::warn!(from, %refusal, "refused a peer"),
        Ok(Err(why)) => tracing::debug!(from, %why, "a connection without a hello"),
        Err(_) => tracing::debug!(from, "no hello in time"),
    }
}

/// A connection whose hello was welcomed.
struct Greeted<'a> {
    hello: Hello,
    stream: FrameStream,
    /// One of the connections that are served at once.
    _place: SemaphorePermit<'a>,
}

async fn greet<A: Admission, S: Serve>(
    incoming: Incoming,
    door: &Door<A, S>,
) -> io::Result<Result<Greeted<'_>, Refusal>> {
    let (frame, mut stream) = hello::hear(incoming.open.await?, &door.limits).await?;
    let judged = hello::judge(&frame, &door.identity, &*door.admission).and_then(|hello| {
        let place = door.connections.try_acquire();
        Ok((hello, place.map_err(|_| Refusal::TooManyConnections)?))
    });
    let reply = match &judged {
        Ok(_) => Ok(Welcome {
            id: door.identity.id,
            incarnation: door.identity.incarnation,
            initialised: door.admission.initialised(),
        }),
        Err(refusal) => Err(refusal.clone()),
    };
    hello::reply(&mut stream, &reply, &door.limits).await?;
    Ok(judged.map(|(hello, place)| Greeted {
        hello,
        stream,
        _place: place,
    }))
}

async fn serve(greeted: Greeted<'_>, door: &Door<impl Admission, impl Serve>) {
    let Greeted {
        hello,
        stream,
        _place,
    } = greeted;
    let caller = |number| Caller {
        id: hello.from,
        incarnation: hello.from_incarnation,
        number,
    };
    match hello.purpose {
        Purpose::Greet => {}
        Purpose::Calls(number) => {
            let (serve, limits, stop) = (&*door.serve, &door.limits, &door.stop);
            let served = answer::serve(stream, caller(number), serve, limits, stop).await;
            if let Err(why) = served {
                tracing::debug!(peer = hello.from, %why, "a peer's connection failed");
            }
        }
        Purpose::Stream(number) => tokio::select! {
            biased;
            () = door.serve.stream(caller(number), stream) => {}
            () = door.stop.cancelled() => {}
        },
    }
}
