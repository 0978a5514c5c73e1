//! Who waits for whom, and whether somebody who has just begun to wait never gets anywhere.
//!
//! *The question.* A session waits for those whose leases stand in its way and for whoever comes
//! before it in a queue. If these wait in turn, and the circle closes, nobody in it is ever
//! granted anything. The request that closes a circle is refused, so none is ever there before.
//!
//! *The answer.* Who waits for an exclusive or a shared lease waits for everybody in its way, so a
//! circle of such waits is a deadlock. The search goes from the session outwards, the nearest
//! first, and so finds the shortest circle, mostly in two or three steps and however long the
//! queues are that it looks into.
//!
//! Who waits for permits need not wait for everybody: of five holders it may be enough that any
//! two are done. So circles through permits alone prove nothing. If there are any, everybody whom
//! the session waits for, directly or not, is gathered; then those are set free who wait for
//! nothing, then those whose waits can all be met once the free ones are done, and so on. Whoever
//! is left waits for ever, and if the session is among them, a circle leads from it through others
//! who are left back to it: the shortest is told.
//!
//! *Who does not count.* Sessions and waits that are overdue: they are about to go. A session that
//! waits in one place is taken to do nothing else meanwhile, as one thread would.
//!
//! *What it costs.* Nothing, if nobody can be waiting for the session: it holds nothing that
//! others queue for. Otherwise at most [`DEADLOCK_STEPS_MAX`] holders and waiters are looked at.
//! If there are more, the request is let into the queue: no wait is longer than its deadline.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use super::Machine;
use crate::limits::DEADLOCK_STEPS_MAX;
use crate::lock::{Lock, Queue, Waiter};
use crate::mode::Mode;
use crate::name::{LockName, Owner, SessionId};
use crate::outcome::{CycleStep, Refusal};

/// Leases of a session that are looked through for somebody who waits for one of them. A session
/// with more is taken to be waited for.
const LEASES_LOOKED_AT: usize = 1024;

/// A lease as it would be after a transfer or an upgrade.
#[derive(Clone, Copy)]
struct Moved<'a> {
    lock: &'a LockName,
    from: SessionId,
    to: SessionId,
    mode: Mode,
}

/// The gathering of those whom a session waits for.
struct Search<'a> {
    machine: &'a Machine,
    moved: Option<Moved<'a>>,
    /// Whether holders of permits count: they may be in the way, or others may do as well.
    doubtful: bool,
    /// Whether some were met that did not count.
    doubts: bool,
    steps: usize,
    numbers: BTreeMap<SessionId, usize>,
    sessions: Vec<SessionId>,
    /// The waits of each session, by its number.
    waits: Vec<Vec<Wait<'a>>>,
}

/// One wait, and what stands in its way; sessions by their numbers.
struct Wait<'a> {
    lock: &'a LockName,
    /// The nearest who comes before it.
    before: Option<usize>,
    /// Holders, all of whom have to be done.
    holders: Vec<usize>,
    /// Holders of permits, and how many each has.
    permits: Vec<(usize, u64)>,
    /// How many permits may stay with them.
    spare: u64,
}

impl Machine {
    /// The refusal of a wait that this session has just begun, if it would never end.
    pub(super) fn deadlock(&self, id: SessionId) -> Option<Refusal> {
        if !self.is_waited_for(id) {
            return None;
        }
        self.search(id, None)
    }

    /// The refusal of a transfer, if those who wait for the lock would wait for its new holder
    /// for ever.
    pub(super) fn deadlock_after_transfer(
        &self,
        lock: &LockName,
        from: SessionId,
        to: SessionId,
    ) -> Option<Refusal> {
        let mode = self.locks.lease_of(from, lock)?.mode;
        let moved = Moved {
            lock,
            from,
            to,
            mode,
        };
        self.search_if_stuck(moved)
    }

    /// The refusal of an upgrade that could be had at once, if those who wait to share the lock
    /// would wait for ever for their turn: its holder may wait behind them elsewhere.
    pub(super) fn deadlock_after_upgrade(&self, lock: &LockName, id: SessionId) -> Option<Refusal> {
        let moved = Moved {
            lock,
            from: id,
            to: id,
            mode: Mode::Exclusive,
        };
        self.search_if_stuck(moved)
    }

    /// Who waits for nothing is in nobody's way for long, nor is who holds what nobody wants.
    fn search_if_stuck(&self, moved: Moved<'_>) -> Option<Refusal> {
        let row = self.locks.get(moved.lock)?;
        let places = self.sessions.get(moved.to)?.places;
        if row.waiting() == 0 || places == 0 {
            return None;
        }
        self.search(moved.to, Some(moved))
    }

    /// Whether anybody can be waiting for a session.
    fn is_waited_for(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id).expect("it is alive");
        if session.leases as usize > LEASES_LOOKED_AT {
            return true;
        }
        let mut held = self.locks.leases_of(id).filter_map(|l| self.locks.get(l));
        let others = |row: &Lock| row.waiters().any(|waiter| waiter.session != id);
        let mut places = self.locks.places_of(id);
        held.any(others)
            || places.any(|(lock, ticket)| {
                let row = self.locks.get(lock).expect("it waits for it");
                row.queue().is_some_and(|queue| queue.has_after(ticket))
            })
    }

    fn search(&self, id: SessionId, moved: Option<Moved<'_>>) -> Option<Refusal> {
        let mut certain = Search::new(self, moved, false);
        if let Some(cycle) = certain.nearest_circle(id)? {
            return Some(Refusal::Deadlock { cycle });
        }
        if !certain.doubts {
            return None;
        }
        let mut search = Search::new(self, moved, true);
        search.gather(id)?;
        let free = search.set_free()?;
        let cycle = search.circle(&free)?;
        Some(Refusal::Deadlock { cycle })
    }

    pub(super) fn owner(&self, id: SessionId) -> Owner {
        let session = self.sessions.get(id);
        session.map_or_else(Owner::default, |session| session.owner.clone())
    }
}

impl<'a> Search<'a> {
    fn new(machine: &'a Machine, moved: Option<Moved<'a>>, doubtful: bool) -> Self {
        Self {
            machine,
            moved,
            doubtful,
            doubts: false,
            steps: 0,
            numbers: BTreeMap::new(),
            sessions: Vec::new(),
            waits: Vec::new(),
        }
    }

    /// One more holder or waiter is looked at; `None` at the bound.
    fn step(&mut self) -> Option<()> {
        self.steps += 1;
        (self.steps <= DEADLOCK_STEPS_MAX).then_some(())
    }

    fn number(&mut self, id: SessionId) -> usize {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let number = self.sessions.len();
        self.numbers.insert(id, number);
        self.sessions.push(id);
        number
    }

    /// The shortest circle that begins with the session, of waits that are for everybody in their
    /// way. `None` at the bound.
    fn nearest_circle(&mut self, id: SessionId) -> Option<Option<Vec<CycleStep>>> {
        self.number(id);
        let mut came_from: Vec<Option<(usize, &LockName)>> = vec![None];
        let mut at = 0;
        while let Some(id) = self.sessions.get(at).copied() {
            for wait in self.waits_of(id)? {
                for to in wait.in_the_way() {
                    if to == 0 {
                        return Some(Some(self.cycle(at, wait.lock, &came_from)));
                    }
                    // They are numbered in the order in which they are met.
                    if to == came_from.len() {
                        came_from.push(Some((at, wait.lock)));
                    }
                }
            }
            at += 1;
        }
        Some(None)
    }

    /// Everybody whom the session waits for, directly or not; it has the number 0.
    fn gather(&mut self, id: SessionId) -> Option<()> {
        self.number(id);
        while let Some(id) = self.sessions.get(self.waits.len()).copied() {
            let waits = self.waits_of(id)?;
            self.waits.push(waits);
        }
        Some(())
    }

    fn waits_of(&mut self, id: SessionId) -> Option<Vec<Wait<'a>>> {
        let machine = self.machine;
        let session = machine.sessions.get(id);
        let session = session.filter(|session| session.expires_at > machine.clock);
        let mut waits = Vec::new();
        if session.is_none_or(|session| session.places == 0) {
            return Some(waits);
        }
        for (lock, ticket) in machine.locks.places_of(id) {
            self.step()?;
            let row = machine.locks.get(lock).expect("it waits for it");
            let (_, waiter) = row.waiter(ticket).expect("it has a place");
            if waiter.until > machine.clock && !self.is_moot(lock, waiter) {
                waits.push(self.wait(lock, row, waiter)?);
            }
        }
        Some(waits)
    }

    fn wait(&mut self, lock: &'a LockName, row: &'a Lock, waiter: &Waiter) -> Option<Wait<'a>> {
        let mut wait = Wait {
            lock,
            before: None,
            holders: Vec::new(),
            permits: Vec::new(),
            spare: 0,
        };
        for lease in row.leases() {
            self.step()?;
            let (holder, mode) = match self.moved {
                Some(moved) if moved.lock == lock && moved.from == lease.session => {
                    (moved.to, moved.mode)
                }
                _ => (lease.session, lease.mode),
            };
            if holder == waiter.session {
                continue;
            }
            match (mode, waiter.ask.mode) {
                (Mode::Shared, Mode::Shared) => {}
                (Mode::Permits { .. }, Mode::Permits { .. }) if !self.doubtful => {
                    self.doubts = true;
                }
                (Mode::Permits { count, .. }, Mode::Permits { count: asked, of }) => {
                    wait.spare = u64::from(of) - u64::from(asked);
                    let number = self.number(holder);
                    wait.permits.push((number, u64::from(count)));
                }
                _ => {
                    let number = self.number(holder);
                    wait.holders.push(number);
                }
            }
        }
        let before = self.nearest_before(lock, row, waiter);
        wait.before = before.map(|id| self.number(id));
        Some(wait)
    }

    /// Whether a wait would be over after the transfer: whoever gives its lease away has none to
    /// raise.
    fn is_moot(&self, lock: &LockName, waiter: &Waiter) -> bool {
        let moved = self.moved.filter(|moved| moved.lock == lock);
        moved.is_some_and(|moved| moved.from == waiter.session)
    }

    /// Whoever comes right before a waiter, of those who are not overdue.
    fn nearest_before(&self, lock: &LockName, row: &Lock, waiter: &Waiter) -> Option<SessionId> {
        let machine = self.machine;
        let lives = |other: &&Waiter| {
            let session = machine.sessions.get(other.session);
            other.until > machine.clock
                && session.is_some_and(|s| s.expires_at > machine.clock)
                && !self.is_moot(lock, other)
        };
        let upgrade = row.upgrade().filter(|up| up.ticket != waiter.ticket);
        let own_upgrade = row.upgrade().is_some() && upgrade.is_none();
        let queue = row.queue().filter(|_| !own_upgrade);
        let mut before = queue
            .into_iter()
            .flat_map(|q: &Queue| q.before(waiter.ticket));
        let nearest = before.find(lives).or_else(|| upgrade.filter(lives));
        nearest.map(|waiter| waiter.session)
    }

    /// Who gets somewhere, once those are done who wait for nothing, and so on.
    fn set_free(&mut self) -> Option<Vec<bool>> {
        let mut free = vec![false; self.sessions.len()];
        loop {
            let mut more = false;
            // The last were found through the first, so this way a chain comes loose in one go.
            for number in (0..free.len()).rev() {
                if free[number] {
                    continue;
                }
                self.step()?;
                if self.waits[number].iter().all(|wait| wait.is_met(&free)) {
                    free[number] = true;
                    more = true;
                }
            }
            if !more {
                return Some(free);
            }
        }
    }

    /// The shortest circle that begins with the session, through others who are not free.
    fn circle(&self, free: &[bool]) -> Option<Vec<CycleStep>> {
        if free[0] {
            return None;
        }
        let mut came_from: Vec<Option<(usize, &LockName)>> = vec![None; free.len()];
        let mut next = VecDeque::from([0]);
        while let Some(at) = next.pop_front() {
            for wait in &self.waits[at] {
                for to in wait.in_the_way().filter(|to| !free[*to]) {
                    if to == 0 {
                        return Some(self.cycle(at, wait.lock, &came_from));
                    }
                    if came_from[to].is_none() {
                        came_from[to] = Some((at, wait.lock));
                        next.push_back(to);
                    }
                }
            }
        }
        None
    }

    /// The circle that ends with the session `last` wanting `wants` of the first.
    fn cycle(
        &self,
        last: usize,
        wants: &LockName,
        came_from: &[Option<(usize, &'a LockName)>],
    ) -> Vec<CycleStep> {
        let closing = wants;
        let (mut at, mut wants) = (last, wants);
        let mut cycle = Vec::new();
        loop {
            let before = came_from[at];
            let holds = before.map_or(closing, |(_, lock)| lock);
            cycle.push(CycleStep {
                session: self.sessions[at],
                owner: self.machine.owner(self.sessions[at]),
                holds: holds.clone(),
                wants: wants.clone(),
            });
            let Some((from, lock)) = before else {
                cycle.reverse();
                return cycle;
            };
            (at, wants) = (from, lock);
        }
    }
}

impl Wait<'_> {
    /// Whether it is met once the free are done.
    fn is_met(&self, free: &[bool]) -> bool {
        let stuck = self.permits.iter().filter(|(holder, _)| !free[*holder]);
        let stuck: u64 = stuck.map(|(_, count)| count).sum();
        self.before.is_none_or(|before| free[before])
            && self.holders.iter().all(|holder| free[*holder])
            && stuck <= self.spare
    }

    /// Everybody who may keep it from being met, holders first.
    fn in_the_way(&self) -> impl Iterator<Item = usize> {
        let holders = self.holders.iter().copied();
        let permits = self.permits.iter().map(|(holder, _)| *holder);
        holders.chain(permits).chain(self.before)
    }
}
