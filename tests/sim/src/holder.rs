//! A client that fights for locks: in all modes, for one or many, with everything that a holder,
//! a waiter, an operator or somebody who is mistaken does.
//!
//! TTLs, waits and holds are drawn from the same few values, so that ends meet: a lease that ends
//! with its TTL and a wait that ends a moment later fall due in one entry whenever the leader
//! stands still for that moment.

use lockring_core::{
    Acquirer, Fence, LockName, Mode, NewSession, Op, Outcome, Owner, Reason, Refusal, Renewal,
    RequestId, SessionId, Ttl, Want, Wants,
};

use crate::clients::Mind;
use crate::dice::Dice;
use crate::history::{Ask, Call, Lease, Told};

/// The locks that they fight for.
const LOCKS: u64 = 3;
/// How long sessions live, calls wait and leases may last, in milliseconds.
const SPANS_MS: [u64; 4] = [500, 600, 900, 1_800];
/// Permits of each lock, but for those who are mistaken.
const PERMITS: u32 = 3;
/// Calls that it may make again.
const AGAIN_MAX: usize = 8;
/// Leases that it remembers it had.
const STALE_MAX: usize = 10;

/// See the module's text.
#[derive(Debug)]
pub struct Holder {
    session: Option<(SessionId, u64)>,
    leases: Vec<Lease>,
    /// Leases it had once: it may still believe in them.
    stale: Vec<Lease>,
    /// A wait under way: the call is repeated until it ends.
    waits: Option<Ask>,
    /// Calls whose answers are not known, or are to be heard again.
    again: Vec<Ask>,
    /// Whether it renews when it should.
    careful: bool,
    /// Whether it asks the service. It does always or never, for a wait that two calls share is as
    /// long as the longer of them, and the service does not tell how long that is.
    by_service: bool,
    renewed_ms: u64,
}

impl Holder {
    /// One without a session.
    #[must_use]
    pub fn new(dice: &mut Dice) -> Self {
        Self {
            careful: dice.hits(700_000),
            by_service: dice.coin(),
            session: None,
            leases: Vec::new(),
            stale: Vec::new(),
            waits: None,
            again: Vec::new(),
            renewed_ms: 0,
        }
    }

    fn command(&self, dice: &mut Dice, op: Op) -> Ask {
        let request = RequestId::from_bits(dice.number());
        match self.by_service {
            true => Ask::Use(request, op),
            false => Ask::Command(request, op),
        }
    }

    fn choose(&mut self, session: SessionId, dice: &mut Dice, others: &[Lease]) -> Ask {
        let read = Ask::Read(lock(dice));
        let op = match dice.between(0, 99) {
            0..20 => return read,
            20..48 => acquire(Acquirer::Session(session), lock(dice), mode(dice), dice),
            48..54 => acquire_all(session, dice),
            54..60 => match self.leases.last() {
                Some(held) => change_mode(session, held, dice),
                None => return read,
            },
            60..62 => {
                let new = new_session(dice);
                acquire(Acquirer::OneLease(new), lock(dice), Mode::Exclusive, dice)
            }
            62..80 => match self.leases.pop() {
                Some(lease) => {
                    self.stale.push(lease.clone());
                    release(lease.session, &lease)
                }
                None => return read,
            },
            80..86 => return self.stray(session, dice, others).unwrap_or(read),
            86..90 => match (self.leases.last(), others.last()) {
                (Some(mine), Some(other)) => Op::Transfer {
                    session: mine.session,
                    lock: mine.lock.clone(),
                    fence: mine.fence,
                    to: other.session,
                },
                _ => return read,
            },
            90..94 => operate(dice, others),
            94..97 => Op::Close { session },
            _ => Op::Renew {
                sessions: vec![session],
            },
        };
        self.command(dice, op)
    }

    /// What somebody does who overslept, is mistaken or means harm: a release of what it has not.
    fn stray(&self, session: SessionId, dice: &mut Dice, others: &[Lease]) -> Option<Ask> {
        let from = if dice.coin() { &self.stale } else { others };
        if from.is_empty() {
            return None;
        }
        let lease = dice.pick(from).clone();
        Some(self.command(dice, release(session, &lease)))
    }

    fn learn(&mut self, ask: &Ask, op: &Op, outcome: &Outcome, now_ms: u64) -> u64 {
        let of_this = self.waits.as_ref().and_then(Ask::command);
        let of_this = of_this.is_some_and(|(of, _)| Some(of) == ask.command().map(|(id, _)| id));
        match outcome {
            Outcome::Opened { session, ttl, .. } => {
                self.session = Some((*session, ttl.ms()));
                self.renewed_ms = now_ms;
                self.leases.clear();
            }
            Outcome::Granted(grant) => {
                if let Op::Acquire { lock, by, .. } = op {
                    let alone = matches!(by, Acquirer::OneLease(_));
                    self.gets(grant.session, lock, grant.fence, grant.mode, alone);
                }
            }
            Outcome::GrantedAll(all) => {
                for row in &all.leases {
                    self.gets(all.session, &row.lock, row.fence, row.mode, false);
                }
            }
            Outcome::Queued(_) => {
                self.waits = Some(ask.clone());
                return 150;
            }
            Outcome::Transferred { .. } => {
                if let Op::Transfer { fence, .. } = op {
                    self.leases.retain(|lease| lease.fence != *fence);
                }
            }
            Outcome::Refused(Refusal::SessionGone { session, .. }) => self.is_gone(*session),
            Outcome::Renewed(rows) => {
                for (session, renewal) in rows {
                    if matches!(renewal, Renewal::Gone(_)) {
                        self.is_gone(*session);
                    }
                }
            }
            Outcome::Closed { .. } => {
                if let Op::Close { session } | Op::EndSession { session, .. } = op {
                    self.is_gone(*session);
                }
            }
            _ => {}
        }
        if of_this {
            self.waits = None;
        }
        0
    }

    fn gets(&mut self, session: SessionId, lock: &LockName, fence: Fence, mode: Mode, alone: bool) {
        let mine = alone || self.session.is_some_and(|(id, _)| id == session);
        let known = |leases: &[Lease]| leases.iter().any(|lease| lease.fence == fence);
        if mine && !known(&self.leases) && !known(&self.stale) {
            self.leases
                .retain(|lease| (lease.session, &lease.lock) != (session, lock));
            self.leases.push(Lease {
                session,
                lock: lock.clone(),
                fence,
                mode,
            });
        }
    }

    fn is_gone(&mut self, session: SessionId) {
        if self.session.is_some_and(|(id, _)| id == session) {
            self.session = None;
            self.waits = None;
        }
        let gone = |lease: &mut Lease| lease.session == session;
        self.stale.extend(self.leases.extract_if(.., gone));
        let old = self.stale.len().saturating_sub(STALE_MAX);
        self.stale.drain(..old);
    }
}

impl Mind for Holder {
    fn next(&mut self, now_ms: u64, dice: &mut Dice, others: &[Lease]) -> Option<Ask> {
        if let Some(ask) = &self.waits {
            return Some(ask.clone());
        }
        if !self.again.is_empty() && dice.hits(300_000) {
            let at = dice.between(0, self.again.len() as u64 - 1) as usize;
            return Some(self.again.swap_remove(at));
        }
        let Some((session, ttl_ms)) = self.session else {
            let new = new_session(dice);
            return Some(self.command(dice, Op::Open(new)));
        };
        if self.careful && now_ms > self.renewed_ms + ttl_ms / 3 {
            self.renewed_ms = now_ms;
            let sessions = vec![session];
            return Some(self.command(dice, Op::Renew { sessions }));
        }
        Some(self.choose(session, dice, others))
    }

    fn hear(&mut self, call: &Call, told: &Told, now_ms: u64, dice: &mut Dice) -> u64 {
        let mut rests_ms = dice.between(0, 60);
        let Some((_, op)) = call.ask.command() else {
            return rests_ms;
        };
        let again = match told {
            Told::Reply(reply) => {
                rests_ms = rests_ms.max(self.learn(&call.ask, op, &reply.outcome, now_ms));
                // It will ask again, as if it had not heard.
                self.waits.is_none() && dice.hits(250_000)
            }
            Told::Parked => {
                self.waits = Some(call.ask.clone());
                false
            }
            Told::Unknown | Told::Nothing => self.waits.is_none(),
            Told::Seen(..) | Told::Table(..) => false,
        };
        if again && self.again.len() < AGAIN_MAX {
            self.again.push(call.ask.clone());
        }
        rests_ms
    }

    fn leases(&self) -> &[Lease] {
        &self.leases
    }
}

fn lock(dice: &mut Dice) -> LockName {
    let name = format!("lock-{}", dice.between(1, LOCKS));
    LockName::parse(&name).expect("a short name")
}

fn mode(dice: &mut Dice) -> Mode {
    match dice.between(0, 99) {
        0..60 => Mode::Exclusive,
        60..80 => Mode::Shared,
        80..98 => Mode::Permits {
            count: dice.between(1, 2) as u32,
            of: PERMITS,
        },
        _ => Mode::Permits {
            count: 1,
            of: PERMITS + 1,
        },
    }
}

fn new_session(dice: &mut Dice) -> NewSession {
    let lock_delay_ms = match dice.hits(250_000) {
        true => dice.between(50, 500),
        false => 0,
    };
    NewSession {
        session: SessionId::from_bits(dice.number()),
        ttl: Ttl::parse(*dice.pick(&SPANS_MS)).expect("within the bounds"),
        owner: Owner::default(),
        lock_delay_ms,
        metadata: String::new(),
    }
}

fn wait_ms(dice: &mut Dice) -> u64 {
    match dice.hits(350_000) {
        true => 0,
        false => *dice.pick(&SPANS_MS) - 200,
    }
}

fn max_hold_ms(dice: &mut Dice) -> Option<u64> {
    dice.hits(350_000).then(|| *dice.pick(&SPANS_MS) - 300)
}

fn acquire(by: Acquirer, lock: LockName, mode: Mode, dice: &mut Dice) -> Op {
    Op::Acquire {
        by,
        lock,
        mode,
        wait_ms: wait_ms(dice),
        max_hold_ms: max_hold_ms(dice),
        value: String::new(),
    }
}

fn acquire_all(session: SessionId, dice: &mut Dice) -> Op {
    let first = dice.between(1, LOCKS);
    let second = first % LOCKS + 1;
    let wants = [first, second].map(|number| Want {
        lock: LockName::parse(&format!("lock-{number}")).expect("a short name"),
        mode: mode(dice),
    });
    Op::AcquireAll {
        session,
        wants: Wants::parse(wants.to_vec()).expect("two locks"),
        wait_ms: wait_ms(dice),
        max_hold_ms: max_hold_ms(dice),
    }
}

/// Up, or down; or what is refused.
fn change_mode(session: SessionId, held: &Lease, dice: &mut Dice) -> Op {
    let mode = match held.mode {
        Mode::Exclusive => Mode::Shared,
        Mode::Shared | Mode::Permits { .. } => Mode::Exclusive,
    };
    acquire(Acquirer::Session(session), held.lock.clone(), mode, dice)
}

fn release(session: SessionId, lease: &Lease) -> Op {
    Op::Release {
        session,
        lock: lease.lock.clone(),
        fence: lease.fence,
    }
}

/// What an operator does.
fn operate(dice: &mut Dice, others: &[Lease]) -> Op {
    let reason = Reason::parse("to see what happens").expect("a short reason");
    let lock = lock(dice);
    match (dice.between(0, 2), others.last()) {
        (0, Some(other)) => Op::EndSession {
            session: other.session,
            reason,
        },
        (1, _) => Op::Break { lock, reason },
        _ => Op::Revoke {
            lock,
            reason,
            deadline_ms: dice.between(0, 400),
        },
    }
}
