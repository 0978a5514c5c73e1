//! Many locks at once in the naive machine.

use std::vec;
use std::vec::Vec;

use super::asks::sensible;
use super::*;

impl Naive {
    pub(super) fn acquire_all(
        &mut self,
        id: SessionId,
        wants: &Wants,
        wait_ms: u64,
        hold_ms: Option<u64>,
        by: Option<Request>,
    ) -> (bool, Outcome) {
        if let Some(answer) = self.before(id, &by) {
            return answer;
        }
        let outcome = self.acquire_all_anew(id, wants, wait_ms, hold_ms, by.clone());
        self.note(id, by, &outcome);
        (false, outcome)
    }

    fn acquire_all_anew(
        &mut self,
        id: SessionId,
        wants: &Wants,
        wait_ms: u64,
        hold_ms: Option<u64>,
        by: Option<Request>,
    ) -> Outcome {
        let same = |w: &&Wait| w.client == id && w.all.as_ref() == Some(wants);
        let same = self.waits.iter().find(same).cloned();
        if let Some(wait) = same.filter(|w| w.wants[0].0 == wants[0].lock) {
            return match wait_ms {
                0 => Outcome::Refused(self.not_free(&self.first_missing(&wait))),
                _ => self.join(wait.ticket, wait_ms, by),
            };
        }
        let mut missing = vec![];
        for want in wants.iter() {
            if !sensible(want.mode) {
                let limit = Limit::Permits;
                return Outcome::Refused(Refusal::Limit { limit });
            }
            let held = self.lease(id, &want.lock).map(|l| l.mode);
            let wait = self.wait_of(id, &want.lock).map(|w| &w.wants);
            let waits = wait.and_then(|w| w.iter().find(|(name, _)| *name == want.lock));
            match (held, waits.map(|(_, mode)| *mode)) {
                (None, None) => missing.push((want.lock.clone(), want.mode)),
                (Some(mode), None) if mode == want.mode => {}
                (Some(mode), _) | (None, Some(mode)) => {
                    let lock = want.lock.clone();
                    return Outcome::Refused(Refusal::UpgradeConflict { lock, mode });
                }
            }
        }
        if let Some(refusal) = self.no_leases(id, &missing, wait_ms) {
            return Outcome::Refused(refusal);
        }
        let most = self.bounds.holders_per_lock;
        let open = missing
            .iter()
            .all(|(lock, mode)| self.open_for(lock, *mode, most));
        let wait = Wait {
            client: id,
            ticket: self.revision,
            attachment: self.revision,
            until: self.clock.plus_ms(wait_ms.min(limits::WAIT_MS_MAX)),
            wants: missing,
            all: Some(wants.clone()),
            upgrades: false,
            hold_ms: hold_ms.map(|ms| ms.clamp(1, limits::HOLD_MS_MAX)),
            value: Default::default(),
            asked_by: by.into_iter().collect(),
        };
        if open {
            return Outcome::GrantedAll(self.grant_all(
                &Wait {
                    attachment: 0,
                    ..wait
                },
                wants,
            ));
        }
        self.enqueue(wait)
    }

    fn no_leases(
        &self,
        id: SessionId,
        missing: &[(LockName, Mode)],
        wait_ms: u64,
    ) -> Option<Refusal> {
        if let Some(refusal) = self.too_many(id, missing.len()) {
            return Some(refusal);
        }
        let mut in_use = self.in_use();
        in_use.extend(missing.iter().map(|(lock, _)| lock.clone()));
        in_use.sort();
        in_use.dedup();
        if in_use.len() > self.bounds.locks {
            let limit = Limit::Locks;
            return Some(Refusal::Limit { limit });
        }
        let mut refusals = missing
            .iter()
            .map(|(lock, mode)| self.no_lease(lock, *mode, wait_ms));
        refusals.find(Option::is_some).flatten()
    }

    /// Those that the client does not have yet are granted.
    fn grant_all(&mut self, wait: &Wait, wants: &Wants) -> GrantedAll {
        let (id, mut leases, mut hold_until) = (wait.client, vec![], None);
        for want in wants.iter() {
            if self.lease(id, &want.lock).is_none() {
                self.grant(wait, &want.lock, want.mode);
                hold_until = self.told(id, &want.lock).hold_until;
            }
            let grant = self.told(id, &want.lock);
            leases.push(LeaseRow {
                lock: want.lock.clone(),
                mode: grant.mode,
                fence: grant.fence,
            });
        }
        GrantedAll {
            session: id,
            expires_at: self.ends_at(self.client(id).unwrap()),
            hold_until,
            leases,
        }
    }

    /// A wait for many, whose turn it is at one lock. Nothing if it is not over yet; else what
    /// it came to, unless whoever called has been told already.
    pub(super) fn all_at_last(&mut self, wait: &Wait, all: &Wants) -> Option<Option<Outcome>> {
        let id = wait.client;
        for want in all.iter() {
            let kept = !wait.wants.iter().any(|(name, _)| *name == want.lock);
            let held = self.lease(id, &want.lock).map(|l| l.mode);
            if kept && held != Some(want.mode) {
                let highest_fence = self.highest(&want.lock);
                self.refuse(wait.ticket, Refusal::FenceStale { highest_fence });
                return Some(None);
            }
        }
        let turn = |(lock, mode): &(LockName, Mode)| self.turn(wait, lock, *mode);
        if !wait.wants.iter().all(turn) {
            return None;
        }
        self.waits.retain(|w| w.ticket != wait.ticket);
        let names = wait.wants.iter().map(|(name, _)| name.clone());
        self.freed.extend(names);
        let all = self.grant_all(wait, all);
        let ticket = wait.ticket;
        self.tell(What::GrantedAll {
            ticket,
            all: all.clone(),
        });
        Some(Some(Outcome::GrantedAll(all)))
    }

    pub(super) fn abandon_all(&mut self, id: SessionId, wants: &Wants, attachment: u64) -> Outcome {
        let waits = wants.iter().filter_map(|w| self.wait_of(id, &w.lock));
        let first = waits.into_iter().find(|w| w.all.is_some());
        if let Some(ticket) = first
            .filter(|w| w.attachment == attachment)
            .map(|w| w.ticket)
        {
            self.leave(ticket, None);
            return Outcome::Abandoned(Abandoned::Place);
        }
        let leases = wants.iter().filter_map(|want| self.lease(id, &want.lock));
        let leases = leases.filter(|l| attachment > 0 && l.attachment == attachment);
        let leases: Vec<_> = leases
            .map(|l| (l.lock.clone(), Fence::claimed(l.fence)))
            .collect();
        Outcome::Abandoned(if leases.is_empty() {
            Abandoned::Nothing
        } else {
            Abandoned::Leases(leases)
        })
    }
}
