//! The cluster: lockring's machine, under a leader that can die.
//!
//! While nobody leads, time stands still in it, as in the real one: the next leader goes on from
//! the machine's own clock, under the next term.

use lockring_core::{
    Applied, ClusterTime, Command, Entry, Machine, Op, Reply, RequestId, Stamp, What,
};

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) machine: Machine,
    term: u64,
    /// Cluster time and the world's time when the leader began; nothing while nobody leads.
    anchor: Option<(ClusterTime, u64)>,
    /// How fast its clock runs; a right one runs at 100.
    clock_percent: u64,
}

impl Cluster {
    pub(super) fn new(clock_percent: u64) -> Self {
        Self {
            machine: Machine::new(),
            term: 0,
            anchor: None,
            clock_percent,
        }
    }

    pub(super) fn is_led(&self) -> bool {
        self.anchor.is_some()
    }

    pub(super) fn leader_dies(&mut self) {
        self.anchor = None;
    }

    pub(super) fn leader_begins(&mut self, now: u64) {
        self.term += 1;
        self.anchor = Some((self.machine.clock(), now));
    }

    fn stamp(&self, now: u64) -> Stamp {
        let (began, at) = self.anchor.expect("only a leader stamps");
        Stamp {
            term: self.term,
            at: began.plus_ms((now - at) * self.clock_percent / 100),
            wall_ms: 0,
        }
    }

    /// What falls due, falls due.
    pub(super) fn tick(&mut self, now: u64) -> Vec<What> {
        let stamp = self.stamp(now);
        let entry = Entry::tick(stamp.term, stamp.at, 0);
        happened(self.machine.apply(self.term, &entry))
    }

    pub(super) fn apply(
        &mut self,
        now: u64,
        request: Option<RequestId>,
        op: Op,
    ) -> (Reply, Vec<What>) {
        let entry = Entry {
            stamp: self.stamp(now),
            commands: vec![Command { request, op }],
        };
        let mut applied = self.machine.apply(self.term, &entry);
        let reply = applied.replies.pop().expect("a command has a reply");
        (reply, happened(applied))
    }
}

fn happened(applied: Applied) -> Vec<What> {
    applied.events.into_iter().map(|event| event.what).collect()
}
