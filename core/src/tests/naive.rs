//! The rules again, as plainly as they can be said: a second opinion for the machine.
//!
//! It shares the vocabulary with the machine (commands, outcomes, events) and no code. There are
//! vectors and loops, no index, no page, no digest; whatever it needs it looks for. Where the two
//! disagree, one of them has misread the rules.

mod calls;
mod endings;

use std::vec;
use std::vec::Vec;

use crate::machine::Bounds;
use crate::*;

type Request = (RequestId, Op);
/// Who ends, why, and by which call.
type Doomed = (SessionId, Gone, Option<(Request, Outcome)>);

#[derive(Clone)]
struct Client {
    id: SessionId,
    owner: Owner,
    ttl: Ttl,
    /// Of a client that waits for the one lock it lives for, this is not looked at.
    expires_at: Deadline,
    lives_for: Option<LockName>,
    opened_by: Option<Request>,
    outcomes: Vec<(Request, Outcome)>,
}

#[derive(Clone)]
struct Place {
    client: SessionId,
    ticket: u64,
    attachment: u64,
    until: Deadline,
    asked_by: Vec<Request>,
}

#[derive(Clone)]
struct Held {
    name: LockName,
    holder: SessionId,
    fence: u64,
    since: ClusterTime,
    attachment: u64,
    queue: Vec<Place>,
}

#[derive(Clone)]
struct Dead {
    id: SessionId,
    cause: Gone,
    ended_by: Option<(Request, Outcome)>,
}

/// The naive machine.
pub(super) struct Naive {
    bounds: Bounds,
    pub(super) revision: u64,
    clock: ClusterTime,
    wall_ms: u64,
    fence: u64,
    clients: Vec<Client>,
    locks: Vec<Held>,
    dead: Vec<Dead>,
    events: Vec<Event>,
    /// Clients that have to end before this revision is over.
    doomed: Vec<Doomed>,
}

/// A call without what may differ from one repetition to the next.
fn plain(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Open(new)
        | Op::Acquire {
            by: Acquirer::OneLease(new),
            ..
        } => new.session = SessionId::from_bits(0),
        _ => {}
    }
    op
}

impl Naive {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            revision: 0,
            clock: ClusterTime(0),
            wall_ms: 0,
            fence: 0,
            clients: vec![],
            locks: vec![],
            dead: vec![],
            events: vec![],
            doomed: vec![],
        }
    }

    pub(super) fn apply(&mut self, term: u64, entry: &Entry) -> Applied {
        if entry.stamp.term != term {
            return Applied {
                void: true,
                replies: vec![],
                events: vec![],
            };
        }
        if entry.stamp.at > self.clock {
            self.clock = entry.stamp.at;
        }
        self.wall_ms = entry.stamp.wall_ms;
        self.events = vec![];
        let mut left = self.bounds.expiries_per_entry;
        while left > 0 && self.first_due() {
            left -= 1;
        }
        let mut replies = vec![];
        for command in &entry.commands {
            self.overdue_before(command);
            self.revision += 1;
            let request = command.request.map(|id| (id, plain(&command.op)));
            let (replayed, outcome) = self.command(&command.op, request);
            self.bury();
            replies.push(Reply {
                revision: self.revision,
                replayed,
                outcome,
            });
        }
        Applied {
            void: false,
            replies,
            events: self.events.clone(),
        }
    }

    /// Handles what falls due first, if anything is due.
    fn first_due(&mut self) -> bool {
        let mut due: Vec<(Deadline, u8, u128)> = vec![];
        for client in &self.clients {
            if self.life_place(client).is_none() {
                due.push((client.expires_at, 0, client.id.to_bits()));
            }
        }
        for place in self.locks.iter().flat_map(|lock| &lock.queue) {
            due.push((place.until, 1, u128::from(place.ticket)));
        }
        due.sort_unstable();
        match due.first() {
            Some((at, 0, id)) if *at <= self.clock => self.expire(SessionId::from_bits(*id)),
            Some((at, 1, ticket)) if *at <= self.clock => {
                self.time_out_alone(u64::try_from(*ticket).unwrap());
            }
            _ => return false,
        }
        true
    }

    fn expire(&mut self, id: SessionId) {
        self.revision += 1;
        self.end(id, Gone::Expired, None);
        self.bury();
    }

    fn time_out_alone(&mut self, ticket: u64) {
        self.revision += 1;
        self.time_out(ticket, true);
        self.bury();
    }

    fn overdue_before(&mut self, command: &Command) {
        let opened = command.request.and_then(|id| self.opened_by(id));
        match &command.op {
            Op::Open(_) => self.overdue_client(opened),
            Op::Renew { sessions } => {
                for id in sessions {
                    self.overdue_client(Some(*id));
                }
            }
            Op::Close { session } => self.overdue_client(Some(*session)),
            Op::Abandon { session, lock, .. } => {
                self.overdue_client(Some(*session));
                self.overdue_place(*session, lock);
            }
            Op::Release { session, lock, .. } => {
                self.overdue_client(Some(*session));
                self.overdue_client(self.held(lock).map(|l| l.holder));
            }
            Op::AcquireAll { .. }
            | Op::AbandonAll { .. }
            | Op::SetValue { .. }
            | Op::Transfer { .. }
            | Op::Revoke { .. }
            | Op::Break { .. }
            | Op::EndSession { .. } => {}
            Op::Acquire { by, lock, .. } => {
                let id = match by {
                    Acquirer::Session(id) => Some(*id),
                    Acquirer::OneLease(_) => opened,
                };
                self.overdue_client(id);
                if let Some(id) = id {
                    self.overdue_place(id, lock);
                }
                self.overdue_client(self.held(lock).map(|l| l.holder));
            }
            Op::Ring(_) => unreachable!("rings have a naive observer of their own"),
        }
    }

    fn overdue_client(&mut self, id: Option<SessionId>) {
        let Some(client) = id.and_then(|id| self.client(id)) else {
            return;
        };
        let (id, expires_at) = (client.id, client.expires_at);
        match self.life_place(client).map(|p| (p.ticket, p.until)) {
            Some((ticket, until)) if until <= self.clock => self.time_out_alone(ticket),
            Some(_) => {}
            None if expires_at <= self.clock => self.expire(id),
            None => {}
        }
    }

    fn overdue_place(&mut self, id: SessionId, lock: &LockName) {
        if let Some(place) = self.place(id, lock)
            && place.until <= self.clock
        {
            self.time_out_alone(place.ticket);
        }
    }

    fn client(&self, id: SessionId) -> Option<&Client> {
        self.clients.iter().find(|c| c.id == id)
    }

    fn client_mut(&mut self, id: SessionId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|c| c.id == id)
    }

    fn held(&self, name: &LockName) -> Option<&Held> {
        self.locks.iter().find(|l| l.name == *name)
    }

    fn held_mut(&mut self, name: &LockName) -> Option<&mut Held> {
        self.locks.iter_mut().find(|l| l.name == *name)
    }

    fn place(&self, id: SessionId, name: &LockName) -> Option<&Place> {
        self.held(name)?.queue.iter().find(|p| p.client == id)
    }

    /// The place that a client lives for, while it has no lease yet.
    fn life_place(&self, client: &Client) -> Option<&Place> {
        self.place(client.id, client.lives_for.as_ref()?)
    }

    fn ends_at(&self, client: &Client) -> Deadline {
        let place = self.life_place(client);
        place.map_or(client.expires_at, |place| place.until)
    }

    fn opened_by(&self, id: RequestId) -> Option<SessionId> {
        let of = |request: &Option<Request>| request.as_ref().is_some_and(|r| r.0 == id);
        let alive = self.clients.iter().find(|c| of(&c.opened_by));
        let dead = self.dead.iter().find(|d| {
            d.ended_by.as_ref().is_some_and(|((request, _), outcome)| {
                *request == id && matches!(outcome, Outcome::Refused(_))
            })
        });
        alive.map(|c| c.id).or(dead.map(|d| d.id))
    }

    fn cause(&self, id: SessionId) -> Gone {
        let dead = self.dead.iter().find(|d| d.id == id);
        dead.map_or(Gone::NeverExisted, |d| d.cause)
    }

    fn holders(&self, name: &LockName) -> Vec<Holder> {
        let Some(lock) = self.held(name) else {
            return vec![];
        };
        let client = self.client(lock.holder).unwrap();
        vec![Holder {
            session: lock.holder,
            owner: client.owner.clone(),
            mode: Mode::Exclusive,
            hold_until: None,
            value: None,
            fence: Fence::claimed(lock.fence),
            since: lock.since,
            expires_at: self.ends_at(client),
        }]
    }

    fn uses(&self, id: SessionId) -> usize {
        let leases = self.locks.iter().filter(|l| l.holder == id).count();
        let places = self.locks.iter().flat_map(|l| &l.queue);
        leases + places.filter(|p| p.client == id).count()
    }

    fn tell(&mut self, what: What) {
        self.events.push(Event {
            revision: self.revision,
            at: self.clock,
            wall_ms: self.wall_ms,
            what,
        });
    }
}
