//! Clients: each asks one thing at a time, of any node, and hears of it, or not.
//!
//! How it asks is here; what it wants is its [`Mind`]: it fights for locks (`holder`), or is a
//! member of a ring (`member`).

use std::fmt::Debug;

use crate::call::call;
use crate::dice::Dice;
use crate::history::{Ask, Call, Lease, Told};
use crate::node::{Node, Tray};

/// What a client wants.
pub trait Mind: Debug {
    /// What to ask for next, if anything; how long to rest after it, at most.
    fn next(&mut self, now_ms: u64, dice: &mut Dice, others: &[Lease]) -> Option<Ask>;

    /// Learns what a call came to. Answers how long to rest.
    fn hear(&mut self, call: &Call, told: &Told, now_ms: u64, dice: &mut Dice) -> u64;

    /// The leases that it believes to have.
    fn leases(&self) -> &[Lease] {
        &[]
    }

    /// The run ends.
    fn end(&mut self, _now_ms: u64) {}
}

/// One client.
#[derive(Debug)]
pub struct Client {
    number: usize,
    dice: Dice,
    /// The call under way, as its index in the history.
    busy: Option<usize>,
    /// Nothing is asked before this time.
    rests_until_ms: u64,
    mind: Box<dyn Mind>,
}

/// An answer on its way from a node to the history.
pub type Answers = Tray<(usize, Told)>;

impl Client {
    /// A client that wants this.
    #[must_use]
    pub fn new(number: usize, dice: Dice, mind: Box<dyn Mind>) -> Self {
        Self {
            number,
            dice,
            busy: None,
            rests_until_ms: 0,
            mind,
        }
    }

    /// Begins a call, if it wants to.
    pub fn act(
        &mut self,
        now_ms: u64,
        nodes: &[Node],
        others: &[Lease],
        history: &mut Vec<Call>,
        answers: &Answers,
    ) {
        if self.busy.is_some() || now_ms < self.rests_until_ms {
            return;
        }
        let up: Vec<&Node> = nodes.iter().filter(|node| node.life.is_some()).collect();
        if up.is_empty() {
            return;
        }
        let Some(ask) = self.mind.next(now_ms, &mut self.dice, others) else {
            return;
        };
        let node = *self.dice.pick(&up);
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
        let (replica, service) = (life.replica.clone(), life.service.clone());
        let answers = answers.clone();
        life.runtime.spawn(async move {
            let told = call(&replica, &service, ask).await;
            answers.lock().push((at, told));
        });
    }

    /// Hears of the call under way. Answers what it is told, which may be less than there was.
    pub fn hear(&mut self, call: &Call, told: Told, now_ms: u64, loses: bool) -> Told {
        self.busy = None;
        let told = if loses { Told::Unknown } else { told };
        let rests_ms = self.mind.hear(call, &told, now_ms, &mut self.dice);
        self.rests_until_ms = now_ms + rests_ms;
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

    /// What it believes to have.
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        self.mind.leases()
    }

    /// The run ends.
    pub fn end(&mut self, now_ms: u64) {
        self.mind.end(now_ms);
    }
}
