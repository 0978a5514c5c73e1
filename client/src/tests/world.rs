//! Time, the network and what befalls the processes: a list of what happens when.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lockring_core::{LockName, Op, Outcome, SessionId, What};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::runtime::Runtime;

use super::cluster::Cluster;
use super::door::{self, Asked, Wanted};
use super::judge::Judge;
use super::program::Program;
use super::{CHANCE, Chance, DIALLED, NOW};
use crate::wire::ErrorCode;

/// How far time moves at once; delays are of whole milliseconds and mostly longer.
const STEP_MS: u64 = 3;
const PROGRAMS: usize = 3;
const LASTS_MS: u64 = 6_000;
const TICK_MS: u64 = 21;
/// Turns of a runtime in one step; in each it polls whatever is ready, and what that wakes.
const POLLS: usize = 3;

/// What worlds came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) violations: Vec<String>,
    /// The seeds of the worlds with violations.
    pub(super) seeds: Vec<u64>,
    pub(super) writes: u64,
    pub(super) grants: u64,
    /// Grants while an earlier holder had not let go.
    pub(super) takeovers: u64,
    pub(super) failovers: u64,
    pub(super) pauses: u64,
    pub(super) kills: u64,
}

impl Found {
    pub(super) fn add(&mut self, seed: u64, other: Self) {
        if !other.violations.is_empty() {
            self.seeds.push(seed);
        }
        self.violations.extend(other.violations);
        self.writes += other.writes;
        self.grants += other.grants;
        self.takeovers += other.takeovers;
        self.failovers += other.failovers;
        self.pauses += other.pauses;
        self.kills += other.kills;
    }
}

/// How a process fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Runs,
    /// Stopped, while all clocks go on.
    Paused,
    /// Its machine sleeps: only the boot-time clock goes on.
    Suspended,
}

struct Process {
    runtime: Runtime,
    life: Life,
    /// What its own clock has to catch up with.
    behind_ms: u64,
}

/// A connection as the cluster's side has it.
struct Link {
    stream: Option<DuplexStream>,
    received: Vec<u8>,
    /// The place of the call that waits on it.
    waits: Option<(SessionId, u64)>,
}

/// What happens at some time.
enum Happening {
    Arrives(usize, Asked),
    Answers(usize, String),
    Cut(usize),
    Vanished(SessionId, u64),
    Tick,
    LeaderDies,
    LeaderBegins,
    /// Something befalls a process.
    Befalls(usize),
    GoesOn(usize),
}

pub(super) struct World {
    now: u64,
    chance: Chance,
    cluster: Cluster,
    judge: Judge,
    processes: Vec<Process>,
    links: Vec<Link>,
    /// Requests that came while nobody led.
    held_up: Vec<(usize, Asked)>,
    happenings: BTreeMap<(u64, u64), Happening>,
    planned: u64,
}

fn lock() -> LockName {
    LockName::parse("db").unwrap()
}

impl World {
    /// Runs one world to its end.
    pub(super) fn run(seed: u64, clock_percent: u64) -> Found {
        CHANCE.set(Some(Chance(seed ^ 0xc11e)));
        DIALLED.take();
        NOW.set(Some(0));
        let mut world = Self {
            now: 0,
            chance: Chance(seed),
            cluster: Cluster::new(clock_percent),
            judge: Judge::default(),
            processes: Vec::new(),
            links: Vec::new(),
            held_up: Vec::new(),
            happenings: BTreeMap::new(),
            planned: 0,
        };
        world.cluster.leader_begins(0);
        world.plan(TICK_MS, Happening::Tick);
        let dies = world.chance.between(500, 4_000);
        world.plan(dies, Happening::LeaderDies);
        for program in 0..PROGRAMS {
            let process = world.start(program);
            world.processes.push(process);
            world.plan_misfortune(program);
        }
        while world.now < LASTS_MS {
            world.step();
        }
        let found = std::mem::take(&mut world.judge.known().found);
        for program in 0..PROGRAMS {
            world.judge.lets_go(program);
        }
        drop(world);
        NOW.set(None);
        CHANCE.set(None);
        found
    }

    fn plan(&mut self, after_ms: u64, happening: Happening) {
        self.planned += 1;
        let at = (self.now + after_ms, self.planned);
        self.happenings.insert(at, happening);
    }

    fn plan_misfortune(&mut self, program: usize) {
        let after = self.chance.between(200, 4_000);
        self.plan(after, Happening::Befalls(program));
    }

    /// How long a message travels: mostly briefly.
    fn delay(&mut self) -> u64 {
        match self.chance.between(0, 9) {
            0 => self.chance.between(50, 900),
            _ => self.chance.between(1, 25),
        }
    }

    fn start(&mut self, number: usize) -> Process {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let program = Program {
            number,
            chance: Chance(self.chance.next()),
            judge: self.judge.clone(),
        };
        // It ends with the runtime.
        drop(runtime.spawn(program.run()));
        Process {
            runtime,
            life: Life::Runs,
            behind_ms: 0,
        }
    }

    fn step(&mut self) {
        self.now += STEP_MS;
        NOW.set(Some(self.now * 1_000_000));
        while let Some(first) = self.happenings.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            let happening = first.remove();
            self.happen(happening);
        }
        for at in 0..self.processes.len() {
            let process = &mut self.processes[at];
            match process.life {
                Life::Runs => {
                    let by = process.behind_ms + STEP_MS;
                    process.behind_ms = 0;
                    process.runtime.block_on(async {
                        tokio::time::advance(Duration::from_millis(by)).await;
                        for _ in 0..POLLS {
                            tokio::task::yield_now().await;
                        }
                    });
                }
                Life::Paused => process.behind_ms += STEP_MS,
                Life::Suspended => {}
            }
            self.accept();
        }
        for link in 0..self.links.len() {
            self.listen(link);
        }
    }

    /// Takes the connections that a program has just opened.
    fn accept(&mut self) {
        for stream in DIALLED.take() {
            self.links.push(Link {
                stream: Some(stream),
                received: Vec::new(),
                waits: None,
            });
        }
    }

    /// Reads what a client has sent.
    fn listen(&mut self, at: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let link = &mut self.links[at];
        while let Some(stream) = &mut link.stream {
            let mut bytes = [0; 4096];
            let mut read = ReadBuf::new(&mut bytes);
            match Pin::new(stream).poll_read(&mut context, &mut read) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    link.received.extend_from_slice(read.filled());
                }
                Poll::Ready(_) => link.stream = None,
            }
        }
        if link.stream.is_none()
            && let Some((session, attachment)) = link.waits.take()
        {
            let after = self.delay();
            self.plan(after, Happening::Vanished(session, attachment));
        }
        while let Some((asked, end)) = Asked::parse(&self.links[at].received) {
            self.links[at].received.drain(..end);
            let after = self.delay();
            if self.chance.percent(3) {
                self.plan(after, Happening::Cut(at));
            } else {
                self.plan(after, Happening::Arrives(at, asked));
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives(link, asked) => self.arrive(link, asked),
            Happening::Answers(link, answer) => self.send(link, &answer),
            Happening::Cut(link) => self.links[link].stream = None,
            Happening::Vanished(session, attachment) => {
                if self.cluster.is_led() {
                    let op = Op::Abandon {
                        session,
                        lock: lock(),
                        attachment,
                    };
                    let (_, events) = self.cluster.apply(self.now, None, op);
                    self.follow(events);
                }
            }
            Happening::Tick => {
                if self.cluster.is_led() {
                    let events = self.cluster.tick(self.now);
                    self.follow(events);
                }
                self.plan(TICK_MS, Happening::Tick);
            }
            Happening::LeaderDies => {
                self.judge.known().found.failovers += 1;
                self.cluster.leader_dies();
                let gap = self.chance.between(50, 1_500);
                self.plan(gap, Happening::LeaderBegins);
                for link in &mut self.links {
                    // Some calls were at the node that died.
                    if self.chance.percent(40) {
                        link.stream = None;
                        link.waits = None;
                    }
                }
            }
            Happening::LeaderBegins => {
                self.cluster.leader_begins(self.now);
                for (link, asked) in std::mem::take(&mut self.held_up) {
                    self.arrive(link, asked);
                }
                let dies = self.chance.between(500, 4_000);
                self.plan(dies, Happening::LeaderDies);
            }
            Happening::Befalls(program) => self.befall(program),
            Happening::GoesOn(program) => {
                self.processes[program].life = Life::Runs;
                self.plan_misfortune(program);
            }
        }
    }

    fn befall(&mut self, program: usize) {
        let lasts = self.chance.between(50, 3_000);
        let kind = self.chance.between(0, 5);
        self.processes[program].life = match kind {
            0 => {
                self.judge.known().found.kills += 1;
                self.judge.lets_go(program);
                let process = self.start(program);
                // The one before goes with its tasks; its connections close.
                drop(std::mem::replace(&mut self.processes[program], process));
                DIALLED.take();
                self.plan_misfortune(program);
                return;
            }
            1 => {
                self.judge.slept(program);
                Life::Suspended
            }
            _ => Life::Paused,
        };
        self.judge.known().found.pauses += 1;
        self.plan(lasts, Happening::GoesOn(program));
    }

    fn arrive(&mut self, link: usize, asked: Asked) {
        if !self.cluster.is_led() {
            if self.chance.percent(50) {
                self.answer(link, door::problem(ErrorCode::Unready));
            } else {
                self.held_up.push((link, asked));
            }
            return;
        }
        let op = match asked.wanted(&mut self.chance) {
            Wanted::Op(op) => op,
            Wanted::Look => return self.answer(link, self.cluster.look()),
            Wanted::Session(session) => return self.answer(link, self.cluster.session(session)),
            Wanted::Listen => return self.answer(link, door::stream()),
        };
        let (reply, events) = self.cluster.apply(self.now, asked.request(), op);
        self.follow(events);
        if let Outcome::Queued(place) = &reply.outcome {
            self.links[link].waits = Some((place.session, place.attachment));
            if self.links[link].stream.is_none() {
                let waits = self.links[link].waits.take();
                let (session, attachment) = waits.expect("it was just set");
                self.plan(1, Happening::Vanished(session, attachment));
            }
        }
        if let Some(answer) = self.cluster.answer(&reply.outcome, reply.replayed) {
            self.answer(link, answer);
        }
    }

    /// Sends an answer on its way, on which it may be lost.
    fn answer(&mut self, link: usize, answer: String) {
        let after = self.delay();
        if self.chance.percent(4) {
            self.plan(after, Happening::Cut(link));
        } else {
            self.plan(after, Happening::Answers(link, answer));
        }
    }

    fn send(&mut self, link: usize, answer: &str) {
        let mut context = Context::from_waker(Waker::noop());
        if let Some(stream) = &mut self.links[link].stream {
            // It fails when the client has closed meanwhile.
            let sent = Pin::new(stream).poll_write(&mut context, answer.as_bytes());
            assert!(!sent.is_pending(), "answers are shorter than the buffer");
        }
    }

    /// Tells the judge and the waiting calls.
    fn follow(&mut self, events: Vec<What>) {
        for event in events {
            match event {
                What::Granted { grant, .. } => {
                    let (now, processes) = (self.now, &self.processes);
                    let mut known = self.judge.known();
                    known.found.grants += 1;
                    let runs = |program: usize| processes[program].life == Life::Runs;
                    known.granted(grant.fence.number(), runs, now);
                    drop(known);
                    let answer = self.cluster.granted(&grant, false);
                    self.wake(grant.session, &answer);
                }
                What::WaitEnded {
                    session,
                    refusal: Some(refusal),
                    ..
                } => self.wake(session, &door::refused(&refusal)),
                _ => {}
            }
        }
    }

    fn wake(&mut self, session: SessionId, answer: &str) {
        for link in 0..self.links.len() {
            let waits = self.links[link].waits;
            if waits.is_some_and(|(waiting, _)| waiting == session) {
                self.links[link].waits = None;
                self.answer(link, answer.to_owned());
            }
        }
    }
}
