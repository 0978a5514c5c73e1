//! Rings: what is asked of them, what they look like, and how they are followed.
//!
//! A ring's state is shared, not copied, out of the machine; tables, lists and dry runs are made
//! from it outside, so that the machine never waits for them. The view of a ring's newest epoch is
//! made once, however many ask.
//!
//! Followers do not listen to every apply. One task does, and wakes them when a ring has changed;
//! a follower then looks for itself, so one that sleeps over three changes sees the third.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockring_core::{
    Command, MemberName, Op, Outcome, PlanChange, PlanError, Refusal, RingDiff, RingName, RingOp,
    RingOutcome, RingPlan, RingRefusal, RingState, RingView, What,
};
use parking_lot::Mutex;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;

use super::{Answer, Freshness, Service, ServiceError, repeatable};
use crate::consensus::News;

/// What a node keeps for readers of rings.
#[derive(Debug)]
pub(super) struct Rings {
    /// The views of the newest epochs that somebody asked for.
    views: Mutex<BTreeMap<RingName, Arc<RingView>>>,
    /// Changes whenever a ring may have.
    changes: watch::Sender<u64>,
}

impl Default for Rings {
    fn default() -> Self {
        Self {
            views: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

/// What keys have been looked up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedUp {
    /// The epoch that it is of.
    pub epoch: u64,
    /// A slot a key, and whom to ask for it.
    pub rows: Vec<(u16, Vec<MemberName>)>,
}

/// A dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The epoch that it begins from.
    pub epoch: u64,
    /// What would come of it.
    pub plan: RingPlan,
}

/// What moved between two epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The epoch that it ends at: the newest, if none was asked for.
    pub to: u64,
    /// What moved.
    pub diff: RingDiff,
}

/// One follower of a ring.
#[derive(Debug)]
pub struct RingWatch {
    service: Service,
    ring: RingName,
    changes: watch::Receiver<u64>,
    /// The epoch that the follower has.
    known: u64,
}

impl Service {
    /// Asks something of a ring.
    ///
    /// # Errors
    /// [`RingRefusal`] in [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn change_ring(&self, op: RingOp) -> Result<Answer<RingOutcome>, ServiceError> {
        let command = Command {
            request: repeatable(),
            op: Op::Ring(op),
        };
        let answer = self.commit(command).await?;
        match answer.body {
            Outcome::Ring(outcome) => Ok(answer.map(|_| outcome)),
            other => Err(ServiceError::Mismatch(Box::new(other))),
        }
    }

    /// Every ring and its epoch.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn rings(
        &self,
        fresh: Freshness,
    ) -> Result<Answer<Vec<(RingName, u64)>>, ServiceError> {
        self.read(fresh, |machine, _| machine.rings()).await
    }

    /// One ring.
    ///
    /// # Errors
    /// [`RingRefusal::NoRing`] in [`ServiceError::Refused`], and the rest of [`ServiceError`].
    pub async fn ring(
        &self,
        ring: &RingName,
        fresh: Freshness,
    ) -> Result<Answer<Arc<RingView>>, ServiceError> {
        let answer = self.ring_state(ring, fresh).await?;
        Ok(answer.map(|state| self.view_of(&state)))
    }

    /// Whom to ask for these keys: as many members as asked, or as the ring has replicas.
    ///
    /// # Errors
    /// See [`Service::ring`].
    pub async fn look_up(
        &self,
        ring: &RingName,
        keys: &[&[u8]],
        wanted: Option<usize>,
        fresh: Freshness,
    ) -> Result<Answer<LookedUp>, ServiceError> {
        let answer = self.ring_state(ring, fresh).await?;
        Ok(answer.map(|state| LookedUp {
            epoch: state.epoch(),
            rows: state.look_up(keys, wanted),
        }))
    }

    /// What changes would come to.
    ///
    /// # Errors
    /// See [`Service::ring`]; [`ServiceError::Invalid`] for changes that cannot be made.
    pub async fn plan_ring(
        &self,
        ring: &RingName,
        changes: &[PlanChange],
        fresh: Freshness,
    ) -> Result<Answer<Foreseen>, ServiceError> {
        let answer = self.ring_state(ring, fresh).await?;
        let plan = answer.body.plan(changes);
        let plan = plan.map_err(|error| cannot_plan(answer.revision, error))?;
        Ok(answer.map(|state| Foreseen {
            epoch: state.epoch(),
            plan,
        }))
    }

    /// What moved from one epoch to another, or to the newest.
    ///
    /// # Errors
    /// See [`Service::ring`]; [`ServiceError::Invalid`] for an epoch that is not there.
    pub async fn diff_ring(
        &self,
        ring: &RingName,
        from: u64,
        to: Option<u64>,
        fresh: Freshness,
    ) -> Result<Answer<Moved>, ServiceError> {
        let answer = self.ring_state(ring, fresh).await?;
        let newest = answer.body.epoch();
        let to = to.unwrap_or(newest);
        for (field, epoch) in [("from", from), ("to", to)] {
            if epoch > newest {
                let bound = format!("at most {newest}, the newest epoch");
                return Err(ServiceError::invalid(field, epoch, bound));
            }
        }
        let diff = answer.body.diff(from, to).map_err(|oldest| {
            let bound = format!("from {oldest} on: what was before is no longer kept");
            ServiceError::invalid("from", from.min(to), bound)
        })?;
        Ok(answer.map(|_| Moved { to, diff }))
    }

    /// Follows a ring from an epoch that the follower has, or from nothing.
    ///
    /// # Errors
    /// See [`Service::ring`].
    pub async fn watch_ring(
        &self,
        ring: &RingName,
        known: Option<u64>,
    ) -> Result<Answer<RingWatch>, ServiceError> {
        // It listens first and looks then, so that no change falls in between.
        let changes = self.inner.rings.changes.subscribe();
        let answer = self.ring_state(ring, Freshness::default()).await?;
        Ok(answer.map(|_| RingWatch {
            service: self.clone(),
            ring: ring.clone(),
            changes,
            known: known.unwrap_or(0),
        }))
    }

    async fn ring_state(
        &self,
        ring: &RingName,
        fresh: Freshness,
    ) -> Result<Answer<RingState>, ServiceError> {
        let answer = self.read(fresh, |machine, _| machine.ring(ring)).await?;
        let revision = answer.revision;
        match answer.body {
            Some(state) => Ok(Answer {
                revision,
                replayed: false,
                body: state,
            }),
            None => Err(ServiceError::Refused {
                revision,
                refusal: Refusal::Ring(RingRefusal::NoRing),
            }),
        }
    }

    /// The view of a state, made once an epoch.
    fn view_of(&self, state: &RingState) -> Arc<RingView> {
        let views = &self.inner.rings.views;
        let known = views.lock().get(state.name()).cloned();
        if let Some(view) = known.filter(|view| view.epoch == state.epoch()) {
            return view;
        }
        let view = Arc::new(state.view());
        views.lock().insert(state.name().clone(), Arc::clone(&view));
        view
    }
}

impl RingWatch {
    /// The ring as it is, once it is of another epoch than the follower has; `None` when this node
    /// stops.
    pub async fn next(&mut self) -> Option<Arc<RingView>> {
        loop {
            let ring = &self.ring;
            let state = self
                .service
                .inner
                .replica
                .view(|machine| machine.ring(ring));
            if let Some(state) = state.filter(|state| state.epoch() != self.known) {
                self.known = state.epoch();
                return Some(self.service.view_of(&state));
            }
            tokio::select! {
                biased;
                changed = self.changes.changed() => changed.ok()?,
                () = self.service.inner.stopping.cancelled() => return None,
            }
        }
    }
}

/// Wakes followers; runs until the service stops or the replica does.
pub(super) async fn wake(service: Service, mut news: Receiver<Arc<News>>) {
    let inner = &service.inner;
    loop {
        let heard = tokio::select! {
            biased;
            heard = news.recv() => heard,
            () = inner.stopping.cancelled() => return,
        };
        let changed = match heard {
            Ok(news) => {
                let ring = |what: &What| matches!(what, What::Ring(_));
                news.gap || news.events.iter().any(|event| ring(&event.what))
            }
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
        if changed {
            inner.rings.changes.send_modify(|times| *times += 1);
        }
    }
}

fn cannot_plan(revision: u64, error: PlanError) -> ServiceError {
    match error {
        PlanError::NoMember(member) => {
            ServiceError::invalid("changes", member, "a member of the ring")
        }
        PlanError::OnTheRing(member) => {
            ServiceError::invalid("changes", member, "not on the ring yet, to join it")
        }
        PlanError::Refused(refusal) => ServiceError::Refused { revision, refusal },
    }
}
