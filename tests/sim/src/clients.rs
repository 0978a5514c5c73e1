//! Clients: each asks one thing at a time, of any node, and often twice.

use std::time::Duration;

use lockring::consensus::{ProposeError, Replica};
use lockring_core::{
    Acquirer, Command, Deadline, Fence, LockName, Mode, NewSession, NodeId, Op, Outcome, Owner,
    Refusal, Renewal, RequestId, SessionId, Ttl,
};

use crate::dice::Dice;
use crate::history::{Ask, Call, Lease, Told};
use crate::node::{Node, Tray};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The locks that they fight for.
const LOCKS: u64 = 3;

/// One client.
#[derive(Debug)]
pub struct Client {
    number: usize,
    dice: Dice,
    /// The call under way, as its index in the history.
    busy: Option<usize>,
    /// Nothing is asked before this time.
    rests_until_ms: u64,
    session: Option<(SessionId, u64)>,
    leases: Vec<Lease>,
    /// Leases it had once: it may still believe in them.
    stale: Vec<Lease>,
    /// A wait under way: the call is repeated until it ends.
    waits: Option<(RequestId, Op, Deadline)>,
    /// A call whose answer is not known, or is to be heard again.
    again: Vec<(RequestId, Op)>,
    /// Whether it renews when it should.
    careful: bool,
    renewed_ms: u64,
}

/// An answer on its way from a node to the history.
pub type Answers = Tray<(usize, Told)>;

impl Client {
    /// A client without a session.
    #[must_use]
    pub fn new(number: usize, seed: u64) -> Self {
        let mut dice = Dice::of(seed, &format!("client {number}"));
        Self {
            careful: dice.hits(700_000),
            number,
            dice,
            busy: None,
            rests_until_ms: 0,
            session: None,
            leases: Vec::new(),
            stale: Vec::new(),
            waits: None,
            again: Vec::new(),
            renewed_ms: 0,
        }
    }

    /// Begins a call, if it wants to.
    pub fn act(
        &mut self,
        now_ms: u64,
        nodes: &mut [Node],
        strangers: &[Lease],
        history: &mut Vec<Call>,
        answers: &Answers,
    ) {
        if self.busy.is_some() || now_ms < self.rests_until_ms {
            return;
        }
        let up: Vec<usize> = (0..nodes.len())
            .filter(|at| nodes[*at].life.is_some())
            .collect();
        if up.is_empty() {
            return;
        }
        let ask = self.next(now_ms, strangers);
        let node = &nodes[*self.dice.pick(&up)];
        let at = history.len();
        self.busy = Some(at);
        history.push(Call {
            client: self.number,
            node: node.id,
            asked_ms: now_ms,
            told_ms: None,
            ask: ask.clone(),
            told: Told::Unknown,
        });
        let life = node.life.as_ref().expect("it was just seen to be up");
        let (replica, answers) = (life.replica.clone(), answers.clone());
        life.runtime.spawn(async move {
            let told = call(&replica, ask).await;
            answers.lock().push((at, told));
        });
    }

    /// What to ask for next.
    fn next(&mut self, now_ms: u64, strangers: &[Lease]) -> Ask {
        if let Some((request, op, _)) = self.waits.clone() {
            return Ask::Command(request, op);
        }
        if !self.again.is_empty() && self.dice.hits(300_000) {
            let at = self.dice.between(0, self.again.len() as u64 - 1) as usize;
            let (request, op) = self.again.swap_remove(at);
            return Ask::Command(request, op);
        }
        let Some((session, ttl_ms)) = self.session else {
            return self.open();
        };
        if self.careful && now_ms > self.renewed_ms + ttl_ms / 3 {
            self.renewed_ms = now_ms;
            return self.command(Op::Renew {
                sessions: vec![session],
            });
        }
        match self.dice.between(0, 99) {
            0..25 => Ask::Read(self.lock()),
            25..60 => self.acquire(session),
            60..85 => self.release(session),
            85..90 => self.release_stale(session),
            90..94 => self.release_of_a_stranger(session, strangers),
            94..97 => {
                let op = Op::Close { session };
                self.command(op)
            }
            _ => {
                let sessions = vec![session];
                self.command(Op::Renew { sessions })
            }
        }
    }

    fn command(&mut self, op: Op) -> Ask {
        Ask::Command(RequestId::from_bits(self.dice.number()), op)
    }

    fn lock(&mut self) -> LockName {
        let name = format!("lock-{}", self.dice.between(1, LOCKS));
        LockName::parse(&name).expect("a short name")
    }

    fn open(&mut self) -> Ask {
        let ttl = Ttl::parse(self.dice.between(500, 2_000)).expect("within the bounds");
        let new = NewSession {
            session: SessionId::from_bits(self.dice.number()),
            ttl,
            owner: Owner::default(),
            lock_delay_ms: 0,
            metadata: String::new(),
        };
        self.command(Op::Open(new))
    }

    fn acquire(&mut self, session: SessionId) -> Ask {
        let wait_ms = match self.dice.coin() {
            true => 0,
            false => self.dice.between(50, 1_200),
        };
        let op = Op::Acquire {
            by: Acquirer::Session(session),
            lock: self.lock(),
            mode: if self.dice.hits(250_000) {
                Mode::Shared
            } else {
                Mode::Exclusive
            },
            wait_ms,
            max_hold_ms: None,
            value: String::new(),
        };
        self.command(op)
    }

    fn release(&mut self, session: SessionId) -> Ask {
        let Some(lease) = self.leases.pop() else {
            return Ask::Read(self.lock());
        };
        self.stale.push(lease.clone());
        self.give_up(session, lease.lock, lease.fence)
    }

    /// What somebody does who overslept.
    fn release_stale(&mut self, session: SessionId) -> Ask {
        if self.stale.is_empty() {
            return Ask::Read(self.lock());
        }
        let lease = self.dice.pick(&self.stale).clone();
        self.give_up(session, lease.lock, lease.fence)
    }

    /// What somebody does who is mistaken, or means harm.
    fn release_of_a_stranger(&mut self, session: SessionId, strangers: &[Lease]) -> Ask {
        if strangers.is_empty() {
            return Ask::Read(self.lock());
        }
        let lease = self.dice.pick(strangers).clone();
        self.give_up(session, lease.lock, lease.fence)
    }

    fn give_up(&mut self, session: SessionId, lock: LockName, fence: Fence) -> Ask {
        let op = Op::Release {
            session,
            lock,
            fence,
        };
        self.command(op)
    }

    /// Hears of the call under way. Answers what it is told, which may be less than there was.
    pub fn hear(&mut self, call: &Call, told: Told, now_ms: u64, loses: bool) -> Told {
        self.busy = None;
        self.rests_until_ms = now_ms + self.dice.between(0, 60);
        let told = if loses { Told::Unknown } else { told };
        let Ask::Command(request, op) = &call.ask else {
            return told;
        };
        match &told {
            Told::Reply(reply) => self.learn(*request, op, &reply.outcome, now_ms),
            Told::Unknown | Told::Nothing => {
                if self.waits.is_none() && self.again.len() < 8 {
                    self.again.push((*request, op.clone()));
                }
            }
            Told::Seen(..) => {}
        }
        told
    }

    /// Its node died with the call.
    pub fn lose(&mut self, call: &Call, now_ms: u64) {
        let _ = self.hear(call, Told::Unknown, now_ms, true);
    }

    /// Whether the call under way is this one.
    #[must_use]
    pub fn waits_for(&self, call: usize) -> bool {
        self.busy == Some(call)
    }

    fn learn(&mut self, request: RequestId, op: &Op, outcome: &Outcome, now_ms: u64) {
        if self.dice.hits(250_000) && self.again.len() < 8 {
            // It will ask again, as if it had not heard.
            self.again.push((request, op.clone()));
        }
        let of_this = self.waits.as_ref().is_some_and(|(of, ..)| *of == request);
        match outcome {
            Outcome::Opened { session, ttl, .. } => {
                self.session = Some((*session, ttl.ms()));
                self.renewed_ms = now_ms;
                self.leases.clear();
            }
            Outcome::Granted(grant) => {
                let Op::Acquire { lock, mode, .. } = op else {
                    return;
                };
                if of_this {
                    self.waits = None;
                }
                let (lock, fence, mode) = (lock.clone(), grant.fence, *mode);
                let known = self.leases.iter().any(|lease| lease.fence == fence);
                let mine = self.session.is_some_and(|(id, _)| id == grant.session);
                let over = self.stale.iter().any(|lease| lease.fence == fence);
                if !known && mine && !over {
                    self.leases.retain(|lease| lease.lock != lock);
                    self.leases.push(Lease { lock, fence, mode });
                }
            }
            Outcome::Queued(queued) => {
                self.waits = Some((request, op.clone(), queued.until));
                self.rests_until_ms = now_ms + 150;
            }
            Outcome::Refused(Refusal::SessionGone { session, .. }) => self.is_gone(*session),
            Outcome::Refused(_) if of_this => self.waits = None,
            Outcome::Renewed(rows) => {
                for (session, renewal) in rows {
                    if matches!(renewal, Renewal::Gone(_)) {
                        self.is_gone(*session);
                    }
                }
            }
            Outcome::Closed { .. } => {
                if let Op::Close { session } = op {
                    self.is_gone(*session);
                }
            }
            _ => {}
        }
    }

    fn is_gone(&mut self, session: SessionId) {
        if self.session.is_some_and(|(id, _)| id == session) {
            self.session = None;
            self.waits = None;
            self.stale.append(&mut self.leases);
            let old = self.stale.len().saturating_sub(10);
            self.stale.drain(..old);
        }
    }

    /// What it believes to have.
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }
}

/// One call at a node, from inside of it.
pub async fn call(replica: &Replica, ask: Ask) -> Told {
    match ask {
        Ask::Command(request, op) => {
            let request = Some(request);
            match replica.propose(Command { request, op }, PATIENCE).await {
                Ok(reply) => Told::Reply(reply),
                Err(ProposeError::Unready { .. }) => Told::Nothing,
                Err(ProposeError::Indeterminate | ProposeError::Stopped) => Told::Unknown,
            }
        }
        Ask::Read(lock) => match replica.read_barrier(PATIENCE).await {
            Ok(_) => replica.view(|machine| {
                let view = machine.lock(&lock);
                let holders = view.iter().flat_map(|view| &view.holders);
                let holders = holders.map(|holder| (holder.session, holder.fence.number()));
                Told::Seen(machine.revision(), holders.collect())
            }),
            Err(_) => Told::Nothing,
        },
    }
}

/// The node with this number.
#[must_use]
pub fn node_of(nodes: &[Node], id: NodeId) -> Option<&Node> {
    nodes.iter().find(|node| node.id == id)
}
