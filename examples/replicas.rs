//! How fast three replicas are without HTTP: three nodes in this process, over TCP, with real logs.
//!
//! ```sh
//! cargo run --release --example replicas -- --workers 64 --seconds 5
//! ```
//!
//! Each worker acquires and releases a lock of its own, on the leader (or with `--follower` on a
//! node that does not lead); with `--read` it makes read barriers instead. What it prints counts
//! acquire and release as two operations, and the CPU of all three nodes and of the workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockring::clock::ClusterClock;
use lockring::consensus::{Founder, Options, Replica, Timing};
use lockring::network::{Identity, Limits, Tcp};
use lockring::storage::Poison;
use lockring::storage::disk::{Disk, RealDisk};
use lockring::storage::snapshots::Snapshots;
use lockring::storage::wal::{self, Wal};
use lockring_core::{
    Acquirer, Command, LockName, Mode, NewSession, NodeId, Op, Outcome, Owner, RequestId,
    SessionId, Ttl,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
struct Load {
    workers: usize,
    seconds: u64,
    follower: bool,
    read: bool,
    /// The replicas run in the workers' runtime, not on threads of their own.
    shared: bool,
}

fn parse() -> Result<Load> {
    let mut load = Load {
        workers: 64,
        seconds: 5,
        follower: false,
        read: false,
        shared: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().ok_or("a number is missing");
        match argument.as_str() {
            "--workers" => load.workers = number()?.parse()?,
            "--seconds" => load.seconds = number()?.parse()?,
            "--follower" => load.follower = true,
            "--read" => load.read = true,
            "--shared" => load.shared = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(load)
}

#[tokio::main]
async fn main() -> Result<()> {
    let load = parse()?;
    let ports = free_ports()?;
    let opened = (1..=3).map(|id| open(id, &ports, load.shared));
    let opened = futures_util::future::try_join_all(opened).await?;
    let replicas: Vec<Replica> = opened.iter().map(|(_, replica)| replica.clone()).collect();
    let measured = measure(load, &replicas).await;
    for replica in &replicas {
        replica.shutdown().await;
    }
    measured
}

fn free_ports() -> Result<Vec<u16>> {
    let listeners: Vec<_> = (0..3)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0"))
        .collect::<std::io::Result<_>>()?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
}

async fn open(id: NodeId, ports: &[u16], shared: bool) -> Result<(tempfile::TempDir, Replica)> {
    let directory = tempfile::TempDir::new_in(std::env::current_dir()?.join("target"))?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let snapshots = Snapshots::open(Arc::clone(&disk), &directory.path().join("snapshots"))?;
    let path = directory.path().join("wal");
    let (wal, recovered) = Wal::open(disk, &path, wal::Options::default(), Poison::new())?;
    let peer = |id: NodeId| format!("127.0.0.1:{}", ports[id as usize - 1]);
    let founder = |id| Founder {
        id,
        api: String::new(),
        peer: peer(id),
    };
    let identity = Identity {
        cluster: "replicas".into(),
        fingerprint: 0,
        id,
        incarnation: id,
    };
    let options = Options {
        identity: Arc::new(identity),
        timing: Timing::default(),
        founders: (1..=3).map(founder).collect(),
        wal,
        recovered,
        snapshots,
        history: None,
        transport: Arc::new(Tcp),
        limits: Limits::default(),
        clock: ClusterClock::default(),
        listen: peer(id),
    };
    let replica = match shared {
        true => Replica::open(options).await?,
        false => Replica::open_on_own_thread(options).await?,
    };
    Ok((directory, replica))
}

async fn measure(load: Load, replicas: &[Replica]) -> Result<()> {
    let mut role = replicas[0].role();
    role.wait_for(|role| role.leader.is_some()).await?;
    let leader = role.borrow().leader.ok_or("a leader was seen")?;
    let mut ready = replicas[leader as usize - 1].role();
    ready.wait_for(|role| role.leads).await?;
    let serving = replicas
        .iter()
        .find(|replica| (replica.id() == leader) != load.follower)
        .ok_or("there are three replicas")?;
    let begun = Instant::now();
    let until = begun + Duration::from_secs(load.seconds);
    let cpu = cpu_seconds();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..load.workers {
        let replica = serving.clone();
        if load.read {
            workers.spawn(async move { read(&replica, until).await });
        } else {
            workers.spawn(async move { work(&replica, number, until).await });
        }
    }
    let mut times = Vec::new();
    let mut operations = 0;
    while let Some(worked) = workers.join_next().await {
        let (count, mut took) = worked??;
        operations += count;
        times.append(&mut took);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    let entries = serving.figures().last_log_index.unwrap_or(0);
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let out = format!(
        "workers {:4}  ops/s {:8.0}  p50 {:6} us  p99 {:6} us  p99.9 {:6} us  \
         cpu-s/1000 ops {:.4}  entries {entries}\n",
        load.workers,
        operations as f64 / seconds,
        at(0.5).as_micros(),
        at(0.99).as_micros(),
        at(0.999).as_micros(),
        cpu * 1000.0 / operations as f64,
    );
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}

type Worked = Result<(u64, Vec<Duration>)>;

async fn read(replica: &Replica, until: Instant) -> Worked {
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        replica.read_barrier(WITHIN).await?;
        times.push(begun.elapsed());
    }
    Ok((times.len() as u64, times))
}

async fn work(replica: &Replica, number: usize, until: Instant) -> Worked {
    let session = SessionId::from_bits(rand::random());
    let new = NewSession {
        session,
        ttl: Ttl::parse(60_000)?,
        owner: Owner::default(),
        lock_delay_ms: 0,
        metadata: String::new(),
    };
    propose(replica, Op::Open(new)).await?;
    let lock = LockName::parse(&format!("bench/{number}"))?;
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        let acquire = Op::Acquire {
            by: Acquirer::Session(session),
            lock: lock.clone(),
            mode: Mode::Exclusive,
            wait_ms: 0,
            max_hold_ms: None,
            value: String::new(),
        };
        let Outcome::Granted(grant) = propose(replica, acquire).await? else {
            return Err("the lock is this worker's alone".into());
        };
        times.push(begun.elapsed());
        let lock = lock.clone();
        let fence = grant.fence;
        propose(
            replica,
            Op::Release {
                session,
                lock,
                fence,
            },
        )
        .await?;
    }
    Ok((times.len() as u64 * 2, times))
}

async fn propose(replica: &Replica, op: Op) -> Result<Outcome> {
    let request = Some(RequestId::from_bits(rand::random()));
    let reply = replica.propose(Command { request, op }, WITHIN).await?;
    Ok(reply.outcome)
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
