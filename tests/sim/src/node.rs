//! One node: a whole replica and its service, on a runtime of its own, which the world steps.
//!
//! **Why a runtime for each node.** It is what makes a node a node: dropping it is a crash (every
//! task is gone where it stood), not stepping it is a pause, and stepping it by more or less than
//! a millisecond a millisecond is a clock that runs fast or slow, for openraft's timers as well as
//! for the anchor of cluster time. The clock of each is tokio's, stopped, so it moves only here.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use lockring::clock::ClusterClock;
use lockring::consensus::{Founder, Options, Replica, Timing};
use lockring::network::{Identity, Limits};
use lockring::service::{Service, Settings};
use lockring::storage::Poison;
use lockring::storage::disk::{FaultDisk, Tear};
use lockring::storage::snapshots::Snapshots;
use lockring::storage::wal::{self, FileCare, Wal, Writing};
use lockring_core::{NodeId, Ttl};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, advance, sleep, sleep_until};

use crate::dice::{Dice, Trace};
use crate::net::{Net, address};

/// Where the log is on a node's disk.
pub const LOG_DIR: &str = "/wal";
const SNAPSHOT_DIR: &str = "/snapshots";
/// Small, so that a run of seconds meets many segments.
const SEGMENT_BYTES: u64 = 64 << 10;
/// The wall clocks begin here, in milliseconds since 1970.
const WALL_MS: i64 = 1_700_000_000_000;

/// A step of more than this is the end of a pause.
const PAUSE_MS_MIN: u64 = 5;

/// A shared, changing number of milliseconds.
pub type Millis = Arc<AtomicU64>;

/// A node, running or not.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its disk between two lives.
    pub disk: FaultDisk,
    /// Of its data directory.
    pub incarnation: u64,
    /// Its process, if it runs.
    pub life: Option<Life>,
    /// How fast its clock runs, in millionths of the world's.
    pub rate: u64,
    /// How far its wall clock is off, in milliseconds.
    pub wall_off: Arc<AtomicI64>,
    /// How long a flush takes at most, in milliseconds.
    pub sync_ms_max: Millis,
    /// Nothing of it runs before this time.
    pub paused_until_ms: u64,
    /// When it is started again, if it is down.
    pub back_at_ms: Option<u64>,
    /// Whether its disk was given a fault that ends its process.
    pub disk_fault: bool,
    /// How often it was started.
    pub lives: u64,
    net: Net,
    trace: Trace,
    now_ms: Millis,
}

/// A process.
#[derive(Debug)]
pub struct Life {
    /// Where its tasks run.
    pub runtime: Runtime,
    /// Its replica.
    pub replica: Replica,
    /// Its use cases.
    pub service: Service,
    /// Its disk.
    pub disk: crate::disk::NodeDisk,
    /// What it applies.
    pub news: Receiver<Arc<lockring::consensus::News>>,
    poison: Poison,
    began: Instant,
    /// The world's time of its last step.
    stepped_ms: u64,
    /// What its own clock shows since it began, in billionths of a second.
    clock_ns: u64,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The members at the beginning.
    pub founders: Vec<NodeId>,
    /// How fast it beats, and how much log it keeps.
    pub timing: Timing,
}

impl Node {
    /// A node with an empty disk, not started.
    #[must_use]
    pub fn new(id: NodeId, dice: &mut Dice, net: &Net, trace: &Trace, now_ms: &Millis) -> Self {
        Self {
            id,
            disk: FaultDisk::new(),
            incarnation: dice.number() as u64,
            life: None,
            rate: 1_000_000,
            wall_off: Arc::default(),
            sync_ms_max: Arc::new(AtomicU64::new(1)),
            paused_until_ms: 0,
            back_at_ms: Some(0),
            disk_fault: false,
            lives: 0,
            net: net.clone(),
            trace: trace.clone(),
            now_ms: Arc::clone(now_ms),
        }
    }

    /// Starts its process on its disk.
    ///
    /// # Errors
    /// The log or the snapshots are damaged, or cannot be read.
    pub fn start(&mut self, plan: &Plan) -> Result<(), String> {
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        self.net.back(self.id);
        self.disk.limit_capacity(None);
        self.disk.fail_sync_after(u64::MAX);
        self.disk_fault = false;
        self.lives += 1;
        let disk = crate::disk::NodeDisk::new(self.disk.clone(), self.id, self.trace.clone());
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        let poison = Poison::new();
        let opened = runtime.block_on(self.open(plan, disk.clone(), poison.clone()));
        let (replica, service, began) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                // A listener may have begun.
                self.net.gone(self.id, false);
                return Err(why);
            }
        };
        self.trace.note("start", &[now_ms, self.id], &[]);
        self.back_at_ms = None;
        self.life = Some(Life {
            news: replica.subscribe(),
            runtime,
            replica,
            service,
            disk,
            poison,
            began,
            stepped_ms: now_ms,
            clock_ns: 0,
        });
        Ok(())
    }

    async fn open(
        &self,
        plan: &Plan,
        disk: crate::disk::NodeDisk,
        poison: Poison,
    ) -> Result<(Replica, Service, Instant), String> {
        let words = |error: &dyn std::error::Error| error.to_string();
        let began = Instant::now();
        let options = wal::Options {
            segment_bytes: SEGMENT_BYTES,
            files: FileCare::Inline,
            writing: Writing::InTurns,
            ..wal::Options::default()
        };
        let disk = Arc::new(disk);
        let snapshots = Snapshots::open(disk.clone(), Path::new(SNAPSHOT_DIR));
        let snapshots = snapshots.map_err(|error| words(&error))?;
        let opened = Wal::open(disk, Path::new(LOG_DIR), options, poison);
        let (wal, recovered) = opened.map_err(|error| words(&error))?;
        let dice = Dice::of(self.incarnation, "disk");
        tokio::spawn(write_in_turns(
            wal.clone(),
            Arc::clone(&self.sync_ms_max),
            dice,
        ));
        let (now_ms, off) = (Arc::clone(&self.now_ms), Arc::clone(&self.wall_off));
        let wall = move || {
            let now = now_ms.load(Ordering::Relaxed) as i64;
            (WALL_MS + now + off.load(Ordering::Relaxed)) as u64
        };
        let founder = |id: &NodeId| Founder {
            id: *id,
            api: format!("http://node-{id}"),
            peer: address(*id),
        };
        let options = Options {
            identity: Arc::new(Identity {
                cluster: "sim".into(),
                fingerprint: 1,
                id: self.id,
                incarnation: self.incarnation,
            }),
            timing: plan.timing,
            founders: plan.founders.iter().map(founder).collect(),
            wal,
            recovered,
            snapshots,
            history: None,
            transport: Arc::new(self.net.of(self.id)),
            limits: Limits::default(),
            clock: ClusterClock::with_wall(wall),
            listen: address(self.id),
        };
        let replica = Replica::open(options)
            .await
            .map_err(|error| words(&error))?;
        let service = Service::start(replica.clone(), settings());
        Ok((replica, service, began))
    }

    /// Lets its process run until the world's time.
    pub fn step(&mut self, now_ms: u64) {
        let Some(life) = &mut self.life else { return };
        if now_ms < self.paused_until_ms {
            return;
        }
        let seen_ms = life.clock_ns / 1_000_000;
        life.clock_ns += (now_ms - life.stepped_ms) * self.rate;
        life.stepped_ms = now_ms;
        let clock_ms = life.clock_ns / 1_000_000;
        if clock_ms == seen_ms {
            return;
        }
        let until = life.began + Duration::from_millis(clock_ms);
        life.runtime.block_on(async move {
            // A process that was paused finds that all of that time has passed at once.
            if clock_ms - seen_ms > PAUSE_MS_MIN {
                advance(Duration::from_millis(clock_ms - seen_ms - 1)).await;
            }
            sleep_until(until).await;
        });
    }

    /// Its process is killed; what it had written stays.
    pub fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            self.disk = life.disk.after_kill();
            self.end(life, false);
        }
    }

    /// Its power goes: what it had not synced is lost, or torn.
    pub fn cut_power(&mut self, tear: Tear) {
        if let Some(life) = self.life.take() {
            self.disk = life.disk.cut_power(tear);
            self.end(life, true);
        }
    }

    fn end(&mut self, life: Life, silent: bool) {
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        self.trace
            .note("end", &[now_ms, self.id, u64::from(silent)], &[]);
        // First the silence, or the hanging up of its connections would be seen.
        self.net.gone(self.id, silent);
        let Life {
            runtime,
            replica,
            service,
            ..
        } = life;
        drop(runtime);
        drop((replica, service));
        self.paused_until_ms = 0;
    }

    /// Its disk is replaced by an empty one.
    pub fn wipe(&mut self, dice: &mut Dice) {
        self.disk = FaultDisk::new();
        self.incarnation = dice.number() as u64;
    }
}

impl Life {
    /// Why its process cannot go on, if it cannot.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        let disk = self.poison.check().err().map(|error| error.to_string());
        disk.or_else(|| self.replica.on_fatal().now_or_never())
    }

    /// What it applied since the last look.
    pub fn applied(&mut self) -> VecDeque<Arc<lockring::consensus::News>> {
        let mut applied = VecDeque::new();
        while let Ok(news) = self.news.try_recv() {
            applied.push_back(news);
        }
        applied
    }
}

/// Writes the log whenever a flush would have ended.
async fn write_in_turns(wal: Wal, sync_ms_max: Millis, mut dice: Dice) {
    loop {
        let most = sync_ms_max.load(Ordering::Relaxed);
        sleep(Duration::from_millis(dice.between(1, most.max(1)))).await;
        wal.turn();
    }
}

fn settings() -> Settings {
    let ttl = |ms| Ttl::parse(ms).expect("within the bounds");
    Settings {
        cluster: "sim".into(),
        ttl_min: ttl(1_000),
        ttl_max: ttl(60_000),
        ttl_default: ttl(10_000),
        // Shorter than some waits, so that callers come back for their places.
        poll_window: Duration::from_millis(400),
        history: None,
        streams_max: 16,
    }
}

/// What a process of a damaged disk says, and nothing else does.
#[must_use]
pub fn tells_of_damage(why: &str) -> bool {
    ["damaged", "missing"].iter().any(|word| why.contains(word))
}

/// A place for results of tasks that run on the nodes.
pub type Tray<T> = Arc<Mutex<Vec<T>>>;
