//! The world: nodes, the network between them, their clients, and one millisecond after another.
//!
//! In each millisecond the network delivers, then each node runs in the order of the numbers, and
//! is heard; then clients act. All of it is one thread, and all chance is drawn from the seed, so
//! that two runs of one seed do the same. What the hash of a run covers: every byte that arrives,
//! every operation of every disk, every fault, every answer. What it does not: log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lockring::consensus::Timing;
use lockring_core::NodeId;

use crate::call::call;
use crate::clients::{Answers, Client};
use crate::dice::{Dice, Trace};
use crate::history::{Ask, Call, Lease, Told};
use crate::holder::Holder;
use crate::member::{Member, Span};
use crate::net::Net;
use crate::node::{Millis, Node, Plan, Tray, tells_of_damage};
use crate::panics;
use crate::truth::Truth;
use crate::watcher::Watcher;

/// How long a dead node stays dead, unless somebody says otherwise.
const DOWN_MS_MAX: u64 = 2_500;

/// How often the leader's machine is audited.
const AUDIT_EVERY_MS: u64 = 300;

/// The number of a client that asks what a test wants asked.
pub const NOBODY: usize = usize::MAX;

/// Everything.
#[derive(Debug)]
pub struct World {
    /// What the run is made of.
    pub seed: u64,
    /// The world's time in milliseconds.
    pub now_ms: u64,
    /// Founders first, then nodes that may join.
    pub nodes: Vec<Node>,
    /// Between them.
    pub net: Net,
    /// Whose calls are checked.
    pub clients: Vec<Client>,
    /// Readers of the event stream.
    pub watchers: Vec<Watcher>,
    /// Their calls.
    pub history: Vec<Call>,
    /// What members of a ring served.
    pub spans: Tray<Span>,
    /// What happened.
    pub truth: Truth,
    /// What was found to be wrong so far.
    pub violations: Vec<String>,
    /// A number for all of it.
    pub trace: Trace,
    /// Answers that are lost on their way to the client, in a million.
    pub answers_lost: u64,
    /// Whether clients begin new calls.
    pub clients_act: bool,
    /// A node whose disk was lost, until it is a member again with all that it should have.
    pub at_risk: Option<NodeId>,
    /// How often each kind of thing happened.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
    plan: Plan,
    clock: Millis,
    answers: Answers,
    pub(crate) dice: Dice,
}

impl World {
    /// A cluster of so many founders and so many spare nodes. Nothing has begun, and nobody asks
    /// for anything.
    #[must_use]
    pub fn new(seed: u64, founders: u64, spare: u64, timing: Timing) -> Self {
        lockring::chance::repeat_from(seed);
        panics::forget();
        let trace = Trace::default();
        let clock = Arc::new(AtomicU64::new(0));
        let net = Net::new(Dice::of(seed, "net"), trace.clone());
        let mut dice = Dice::of(seed, "world");
        let mut nodes: Vec<Node> = (1..=founders + spare)
            .map(|id| Node::new(id, &mut dice, &net, &trace, &clock))
            .collect();
        for spare in nodes.iter_mut().filter(|node| node.id > founders) {
            spare.back_at_ms = None;
        }
        Self {
            seed,
            now_ms: 0,
            nodes,
            net,
            clients: Vec::new(),
            watchers: Vec::new(),
            spans: Tray::default(),
            history: Vec::new(),
            truth: Truth::default(),
            violations: Vec::new(),
            trace,
            answers_lost: 0,
            clients_act: true,
            at_risk: None,
            counts: std::collections::BTreeMap::new(),
            plan: Plan {
                founders: (1..=founders).collect(),
                timing,
            },
            clock,
            answers: Answers::default(),
            dice,
        }
    }

    /// Adds clients that fight for locks, members of a ring, and readers of events.
    pub fn add_clients(&mut self, holders: usize, members: usize, watchers: usize) {
        for number in 0..holders + members {
            let mut dice = Dice::of(self.seed, &format!("client {number}"));
            let client = if number < holders {
                let holder = Holder::new(&mut dice);
                Client::new(number, dice, Box::new(holder))
            } else {
                let member = Member::new(number - holders, Arc::clone(&self.spans));
                Client::new(number, dice, Box::new(member))
            };
            self.clients.push(client);
        }
        for number in 0..watchers {
            let dice = Dice::of(self.seed, &format!("watcher {number}"));
            self.watchers.push(Watcher::new(dice));
        }
    }

    /// Counts something.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
        self.trace.note(what, &[self.now_ms], &[]);
    }

    /// One millisecond.
    pub fn tick(&mut self) {
        self.now_ms += 1;
        self.clock.store(self.now_ms, Ordering::Relaxed);
        self.net.deliver(self.now_ms);
        for at in 0..self.nodes.len() {
            self.nodes[at].step(self.now_ms);
            self.hear(at);
            self.look_after(at);
        }
        self.answer();
        if self.clients_act {
            self.act();
        }
        for watcher in &mut self.watchers {
            let count = watcher.act(self.now_ms, &self.nodes) as u64;
            if count > 0 {
                self.trace.note("heard", &[self.now_ms, count], &[]);
            }
        }
        if self.now_ms.is_multiple_of(AUDIT_EVERY_MS) {
            self.audit();
        }
        let panics = panics::take();
        self.violations
            .extend(panics.into_iter().map(|what| format!("no panic: {what}")));
    }

    /// The leader's machine, checked against itself: places in order, nobody left waiting who
    /// could hold, rings with one server a slot.
    fn audit(&mut self) {
        let Some(at) = self.leader() else { return };
        let life = self.nodes[at].life.as_ref().expect("it leads");
        if let Err(why) = life.replica.view(lockring_core::Machine::audit) {
            self.violations.push(format!("the audit passes: {why}"));
        }
    }

    /// Lets time pass until something is true, at most so long. Answers whether it became true.
    pub fn until(&mut self, within_ms: u64, mut reached: impl FnMut(&mut Self) -> bool) -> bool {
        for _ in 0..within_ms {
            if reached(self) {
                return true;
            }
            self.tick();
        }
        reached(self)
    }

    fn hear(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(life) = &mut node.life else { return };
        for news in life.applied() {
            if let Err(why) = self.truth.hear(node.id, self.now_ms, &news) {
                self.violations.push(format!("replicas agree: {why}"));
            }
        }
        let revision = life.replica.view(|machine| machine.revision());
        self.truth.newest = self.truth.newest.max(revision);
    }

    /// Notices that a process has ended, and starts one that is due.
    fn look_after(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[at];
        if let Some(life) = &node.life {
            if life.disk.is_dark() {
                node.cut_power(lockring::storage::disk::Tear::Nothing);
                node.back_at_ms = Some(now_ms + self.dice.between(50, DOWN_MS_MAX));
                self.lose_calls(at);
                self.count("power cut");
            } else if let Some(why) = life.fatal() {
                if !node.disk_fault {
                    let id = node.id;
                    self.violations
                        .push(format!("a node stops only for its disk: node {id}: {why}"));
                }
                let node = &mut self.nodes[at];
                // What a failed flush left in the kernel's hands is not believed by anybody: the
                // machine goes down with its disk.
                node.cut_power(lockring::storage::disk::Tear::Nothing);
                node.back_at_ms = Some(now_ms + self.dice.between(50, DOWN_MS_MAX));
                self.lose_calls(at);
                self.count("stopped by its disk");
            }
            return;
        }
        if node.back_at_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.start(at);
        }
    }

    /// Starts a node's process.
    pub fn start(&mut self, at: usize) {
        let plan = self.plan.clone();
        let node = &mut self.nodes[at];
        let Err(why) = node.start(&plan) else { return };
        let id = node.id;
        node.back_at_ms = None;
        if self.at_risk == Some(id) && tells_of_damage(&why) {
            self.count("damage refused");
            let node = &mut self.nodes[at];
            node.wipe(&mut self.dice);
            node.back_at_ms = Some(self.now_ms + self.dice.between(50, 500));
        } else {
            self.violations
                .push(format!("a whole disk is taken up again: node {id}: {why}"));
        }
    }

    /// Kills a node's process; it comes back at some time.
    pub fn kill(&mut self, at: usize, down_ms: u64) {
        self.nodes[at].kill();
        self.nodes[at].back_at_ms = Some(self.now_ms + down_ms);
        self.lose_calls(at);
    }

    /// Calls that were at a node that died get no answer.
    fn lose_calls(&mut self, at: usize) {
        let id = self.nodes[at].id;
        for client in &mut self.clients {
            let lost = self.history.iter().enumerate().rev().take(4_000);
            let mut lost = lost.filter(|(_, call)| call.told_ms.is_none() && call.node == id);
            if let Some((_, call)) = lost.find(|(at, _)| client.waits_for(*at)) {
                client.lose(call, self.now_ms);
            }
        }
    }

    fn answer(&mut self) {
        let answers = std::mem::take(&mut *self.answers.lock());
        for (at, told) in answers {
            let call = &mut self.history[at];
            if call.client == NOBODY {
                call.told_ms = Some(self.now_ms);
                call.told = told;
                continue;
            }
            let client = &mut self.clients[call.client];
            if !client.waits_for(at) {
                continue;
            }
            let loses = self.answers_lost > 0 && self.dice.hits(self.answers_lost);
            let told = client.hear(call, told, self.now_ms, loses);
            let words = format!("{told:?}");
            self.trace
                .note("answer", &[self.now_ms, at as u64], words.as_bytes());
            call.told_ms = Some(self.now_ms);
            call.told = told;
        }
    }

    fn act(&mut self) {
        let leases: Vec<Vec<Lease>> = self.clients.iter().map(|it| it.leases().to_vec()).collect();
        for (number, client) in self.clients.iter_mut().enumerate() {
            let others = &leases[(number + 1) % leases.len()];
            let (nodes, history) = (&self.nodes, &mut self.history);
            client.act(self.now_ms, nodes, others, history, &self.answers);
        }
    }

    /// Asks a node for something, whatever the clients do. Answers the call's place in the history.
    ///
    /// # Panics
    /// If the node is down.
    pub fn ask(&mut self, at: usize, ask: Ask) -> usize {
        let node = &self.nodes[at];
        let life = node.life.as_ref().expect("the node is up");
        let number = self.history.len();
        self.history.push(Call {
            client: NOBODY,
            node: node.id,
            asked_ms: self.now_ms,
            told_ms: None,
            ask: ask.clone(),
            told: Told::Unknown,
        });
        let (replica, service) = (life.replica.clone(), life.service.clone());
        let answers = self.answers.clone();
        life.runtime.spawn(async move {
            let told = call(&replica, &service, ask).await;
            answers.lock().push((number, told));
        });
        number
    }

    /// The node that leads and may stamp, as it sees it itself.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let leading = (0..self.nodes.len()).filter_map(|at| {
            let life = self.nodes[at].life.as_ref()?;
            let role = life.replica.role().borrow().clone();
            role.leads.then_some((role.term, at))
        });
        leading.max().map(|(_, at)| at)
    }

    /// The founders' positions.
    #[must_use]
    pub fn founders(&self) -> std::ops::Range<usize> {
        0..self.plan.founders.len()
    }
}
