//! Who never gets anywhere, in the naive machine: everybody is looked at, always.

use std::vec;
use std::vec::Vec;

use super::*;

/// What one place waits for.
struct InTheWay<'a> {
    lock: &'a LockName,
    client: SessionId,
    /// All who come before it, the nearest first.
    before: Vec<SessionId>,
    holders: Vec<SessionId>,
    /// Of permits: how many each holder has, and how many may stay taken.
    permits: Vec<(SessionId, u32)>,
    spare: u32,
}

impl Naive {
    /// Clients that wait for ever.
    pub(in crate::tests) fn stuck(&self) -> Vec<SessionId> {
        self.stuck_among(&self.in_the_way(&self.waits, &self.leases))
    }

    fn alive(&self, wait: &Wait) -> bool {
        wait.until > self.clock && !self.overdue(wait.client)
    }

    fn in_the_way<'a>(&self, waits: &'a [Wait], leases: &[Held]) -> Vec<InTheWay<'a>> {
        let mut all = vec![];
        for wait in waits.iter().filter(|w| self.alive(w)) {
            for (lock, mode) in &wait.wants {
                let before = |w: &&Wait| {
                    let wants = w.wants.iter().any(|(name, _)| name == lock);
                    let earlier = w.ticket < wait.ticket;
                    let first =
                        (w.upgrades && !wait.upgrades) || (w.upgrades == wait.upgrades && earlier);
                    wants && first && self.alive(w) && w.ticket != wait.ticket
                };
                let (first, mut before): (Vec<_>, Vec<_>) =
                    waits.iter().filter(before).partition(|w| w.upgrades);
                before.reverse();
                let mut found = InTheWay {
                    lock,
                    client: wait.client,
                    before: [before, first].concat().iter().map(|w| w.client).collect(),
                    holders: vec![],
                    permits: vec![],
                    spare: 0,
                };
                let of = |l: &&Held| l.lock == *lock && l.client != wait.client;
                for lease in leases.iter().filter(of) {
                    match (lease.mode, mode) {
                        (Mode::Shared, Mode::Shared) => {}
                        (Mode::Permits { count: has, .. }, Mode::Permits { count, of }) => {
                            found.permits.push((lease.client, has));
                            found.spare = of - count;
                        }
                        _ => found.holders.push(lease.client),
                    }
                }
                all.push(found);
            }
        }
        all.sort_by_key(|w| (w.client, w.lock.clone()));
        all
    }

    fn stuck_among(&self, waits: &[InTheWay<'_>]) -> Vec<SessionId> {
        let mut stuck: Vec<_> = waits.iter().map(|w| w.client).collect();
        stuck.dedup();
        loop {
            let is = |id: &SessionId| stuck.contains(id);
            let blocked = |w: &&InTheWay<'_>| {
                let kept = w.permits.iter().filter(|(id, _)| is(id));
                w.before.iter().any(is)
                    || w.holders.iter().any(is)
                    || kept.map(|(_, count)| count).sum::<u32>() > w.spare
            };
            let mut left: Vec<_> = waits.iter().filter(blocked).map(|w| w.client).collect();
            left.dedup();
            if left == stuck {
                return stuck;
            }
            stuck = left;
        }
    }

    /// The shortest way from a client that waits for ever back to itself; if there is one, past
    /// those only who are certainly in the way.
    pub(super) fn circle(
        &self,
        id: SessionId,
        waits: &[Wait],
        leases: &[Held],
    ) -> Option<Vec<CycleStep>> {
        let waits = self.in_the_way(waits, leases);
        let stuck = self.stuck_among(&waits);
        if !stuck.contains(&id) {
            return None;
        }
        self.way_back(id, &waits, &stuck, false)
            .or_else(|| self.way_back(id, &waits, &stuck, true))
    }

    fn way_back(
        &self,
        id: SessionId,
        waits: &[InTheWay<'_>],
        stuck: &[SessionId],
        doubtful: bool,
    ) -> Option<Vec<CycleStep>> {
        let mut ways: Vec<Vec<(SessionId, &LockName)>> = vec![];
        let mut reached = vec![id];
        let mut next = 0;
        loop {
            let way = match next {
                0 => vec![],
                _ => ways.get(next - 1)?.clone(),
            };
            let at = way.last().map_or(id, |(to, _)| *to);
            for wait in waits.iter().filter(|w| w.client == at) {
                let permits = wait.permits.iter().filter(|_| doubtful);
                let permits = permits.map(|(id, _)| id);
                let all = wait.holders.iter().chain(permits);
                for to in all.chain(wait.before.first()) {
                    let mut way = way.clone();
                    way.push((*to, wait.lock));
                    if *to == id {
                        return Some(self.steps(&way));
                    }
                    if stuck.contains(to) && !reached.contains(to) {
                        reached.push(*to);
                        ways.push(way);
                    }
                }
            }
            next += 1;
        }
    }

    /// A way of clients and the locks that they are in the way at, the last back to the first.
    fn steps(&self, way: &[(SessionId, &LockName)]) -> Vec<CycleStep> {
        let (id, holds) = way[way.len() - 1];
        let mut steps = vec![];
        let (mut session, mut holds) = (id, holds);
        for (to, wants) in way {
            steps.push(CycleStep {
                session,
                owner: self.client(session).unwrap().owner.clone(),
                holds: holds.clone(),
                wants: (*wants).clone(),
            });
            (session, holds) = (*to, wants);
        }
        steps
    }
}
