//! The live sessions, what each remembers, and why others ended.
//!
//! The table knows locks by their names only; what a session holds is for the machine to say.

mod ended;
mod operators;
mod replay;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::limits::LOCK_DELAY_MS_MAX;
use crate::name::{LockName, Owner, RequestId, SessionId};
use crate::outcome::{Gone, Outcome};
use crate::paged::Paged;
use crate::time::{Deadline, Ttl};
pub(crate) use ended::{Ended, Memory, Rows as EndedRows};
pub(crate) use operators::Operators;
pub(crate) use replay::{Found, Record, Replay};

/// Rows of the session table in one page of it.
const PAGE_ROWS: usize = 64;
/// The session table itself, as snapshots see it.
pub(crate) type Rows = Paged<SessionId, Session, PAGE_ROWS>;

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Who it says it is.
    pub(crate) owner: Owner,
    /// What it wants to be listed with.
    pub(crate) metadata: Arc<str>,
    /// How long it lives without renewal.
    pub(crate) ttl: Ttl,
    /// For how long nobody is granted a lock that it lost abnormally.
    pub(crate) lock_delay_ms: u32,
    /// When it ends unless renewed; while it [`Life::Waits`], when that wait ends.
    pub(crate) expires_at: Deadline,
    /// What it lives for.
    pub(crate) life: Life,
    /// The call that opened it.
    pub(crate) opening: Option<Opening>,
    /// How many leases it has; follows from the lock table.
    #[serde(skip)]
    pub(crate) leases: u32,
    /// How many places it has; follows from the lock table.
    #[serde(skip)]
    pub(crate) places: u32,
    /// What its calls came to; allocated with the first, shared with snapshots until it changes.
    replay: Option<Arc<Replay>>,
}

/// What a session lives for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    /// Itself: it was opened by name, and lives while it is renewed.
    Open,
    /// One lease that it still waits for: it lives as long as the wait.
    Waits(LockName),
    /// One lease that it has: it lives while it is renewed and the lease is not released.
    Holds(LockName),
}

/// The call that opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opening {
    /// Its id.
    pub(crate) request: RequestId,
    /// What tells it from other calls.
    pub(crate) call: u64,
}

impl Session {
    /// A session that nobody has used yet.
    pub(crate) fn new(
        new: &crate::command::NewSession,
        expires_at: Deadline,
        life: Life,
        opening: Option<Opening>,
    ) -> Self {
        Self {
            owner: new.owner.clone(),
            metadata: new.metadata.as_str().into(),
            ttl: new.ttl,
            lock_delay_ms: lock_delay_of(new),
            expires_at,
            life,
            opening,
            leases: 0,
            places: 0,
            replay: None,
        }
    }

    pub(crate) fn find(&self, request: RequestId, call: u64) -> Found<'_> {
        if let Some(opening) = self.opening.filter(|o| o.request == request)
            && opening.call != call
        {
            return Found::Reused;
        }
        match &self.replay {
            Some(replay) => replay.find(request, call),
            None => Found::Nothing,
        }
    }

    pub(crate) fn replay(&self) -> Option<&Replay> {
        self.replay.as_deref()
    }

    pub(crate) fn replay_mut(&mut self) -> &mut Replay {
        Arc::make_mut(self.replay.get_or_insert_default())
    }

    /// It as if it had never been called: what a planted bug writes into snapshots.
    pub(crate) fn without_replays(&self) -> Self {
        Self {
            replay: None,
            ..self.clone()
        }
    }

    /// Whether it lives for its place in this lock's queue.
    pub(crate) fn waits_for(&self, lock: &LockName) -> bool {
        matches!(&self.life, Life::Waits(name) if name == lock)
    }

    /// Whether it lives for its lease of this lock.
    pub(crate) fn holds_for(&self, lock: &LockName) -> bool {
        matches!(&self.life, Life::Holds(name) if name == lock)
    }

    /// The place was given up: the calls that waited in it are forgotten.
    pub(crate) fn forget_wait(&mut self, ticket: u64) {
        if self.replay.as_ref().is_some_and(|r| r.askers(ticket) > 0) {
            self.replay_mut().forget_wait(ticket);
        }
    }

    /// All calls that waited in this place came to this.
    pub(crate) fn settle_wait(&mut self, ticket: u64, outcome: &Outcome) {
        if self.replay.as_ref().is_some_and(|r| r.askers(ticket) > 0) {
            self.replay_mut().settle_wait(ticket, outcome);
        }
    }
}

/// The delay that a new session asks for, within its bound.
fn lock_delay_of(new: &crate::command::NewSession) -> u32 {
    let delay_ms = new.lock_delay_ms.min(LOCK_DELAY_MS_MAX);
    u32::try_from(delay_ms).expect("the bound fits")
}

/// All live sessions, and the newest ended ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Rows,
    pub(crate) ended: Memory,
    /// What the calls of operators came to, who have no session.
    pub(crate) operators: Operators,
    /// Sessions by the call that opened them, and ended ones by that call if it ended them too.
    openings: BTreeMap<RequestId, SessionId>,
    /// Live sessions by their owners' words.
    owners: BTreeSet<(Owner, SessionId)>,
}

impl Table {
    /// The table that these rows make, with its indexes; `None` if they contradict each other.
    pub(crate) fn rebuild(mut rows: Rows, ended: EndedRows, operators: Operators) -> Option<Self> {
        let mut openings = BTreeMap::new();
        let owners = rows
            .iter()
            .map(|(id, session)| (session.owner.clone(), *id));
        let owners = owners.collect();
        let ids: alloc::vec::Vec<_> = rows.iter().map(|(id, _)| *id).collect();
        for id in ids {
            let session = rows.get_mut(&id)?;
            if let Some(opening) = session.opening
                && openings.insert(opening.request, id).is_some()
            {
                return None;
            }
            if session.replay.is_some() {
                session.replay_mut().rebuild();
            }
        }
        let ended = Memory::rebuild(ended)?;
        for (_, ended) in ended.rows.iter() {
            if let Some(request) = ended.opened_and_ended_by()
                && openings.insert(request, ended.session).is_some()
            {
                return None;
            }
        }
        Some(Self {
            rows,
            ended,
            operators,
            openings,
            owners,
        })
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.rows.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.rows.get_mut(&id)
    }

    /// Why a session is not alive.
    pub(crate) fn cause(&self, id: SessionId) -> Gone {
        self.ended.get(id).map_or(Gone::NeverExisted, |e| e.cause)
    }

    /// Whether an id is or was in use.
    pub(crate) fn knows(&self, id: SessionId) -> bool {
        self.rows.get(&id).is_some() || self.ended.get(id).is_some()
    }

    /// The session that a call opened, alive or remembered.
    pub(crate) fn opened_by(&self, request: RequestId) -> Option<SessionId> {
        self.openings.get(&request).copied()
    }

    pub(crate) fn insert(&mut self, id: SessionId, session: Session) {
        if let Some(opening) = session.opening {
            let twice = self.openings.insert(opening.request, id).is_some();
            assert!(!twice, "a call opens one session");
        }
        self.owners.insert((session.owner.clone(), id));
        let twice = self.rows.insert(id, session).is_some();
        assert!(!twice, "a session is opened once");
    }

    /// The live sessions of an owner behind this id, in order.
    pub(crate) fn of_owner(
        &self,
        owner: &Owner,
        after: Option<SessionId>,
    ) -> impl Iterator<Item = (SessionId, &Session)> {
        let from = match after {
            Some(after) => Bound::Excluded((owner.clone(), after)),
            None => Bound::Included((owner.clone(), SessionId::from_bits(0))),
        };
        let to = Bound::Included((owner.clone(), SessionId::from_bits(u128::MAX)));
        // Nothing lies behind the last id, and a range that ends before it begins is none.
        let none = after == Some(SessionId::from_bits(u128::MAX));
        let ids = (!none).then(|| self.owners.range((from, to)));
        let ids = ids.into_iter().flatten().map(|(_, id)| *id);
        ids.map(|id| (id, self.get(id).expect("the index names live sessions")))
    }

    /// Ends a session, and remembers why.
    pub(crate) fn end(&mut self, id: SessionId, cause: Gone) -> Session {
        let session = self.rows.remove(&id).expect("it is alive");
        self.owners.remove(&(session.owner.clone(), id));
        if let Some(opening) = session.opening {
            self.openings.remove(&opening.request);
        }
        let forgotten = self.ended.push(Ended {
            session: id,
            cause,
            record: None,
        });
        if let Some(request) = forgotten.and_then(|f| f.opened_and_ended_by()) {
            self.openings.remove(&request);
        }
        session
    }

    /// Remembers the call that ended a session which has just ended.
    pub(crate) fn remember_end(&mut self, id: SessionId, record: Record) {
        let ended = self.ended.get_mut(id).expect("it has just ended");
        ended.record = Some(record);
        if let Some(request) = ended.opened_and_ended_by() {
            self.openings.insert(request, id);
        }
    }

    pub(crate) fn openings_len(&self) -> usize {
        self.openings.len()
    }

    /// Whether the session is in the index of owners, under this one.
    pub(crate) fn is_of_owner(&self, id: SessionId, owner: &Owner) -> bool {
        self.owners.contains(&(owner.clone(), id))
    }

    pub(crate) fn owners_len(&self) -> usize {
        self.owners.len()
    }
}

impl Ended {
    /// The request that both opened and ended it: an acquire that opened a session for one lease,
    /// waited, and timed out.
    pub(crate) fn opened_and_ended_by(&self) -> Option<RequestId> {
        let record = self.record.as_ref()?;
        match record.outcome {
            Outcome::Refused(_) => Some(record.request),
            Outcome::Released
            | Outcome::Closed { .. }
            | Outcome::Opened { .. }
            | Outcome::Renewed(_)
            | Outcome::Granted(_)
            | Outcome::GrantedAll(_)
            | Outcome::Queued(_)
            | Outcome::Abandoned(_)
            | Outcome::ValueSet
            | Outcome::Transferred { .. }
            | Outcome::Revoking { .. }
            | Outcome::Broken { .. }
            | Outcome::Ring(_) => None,
        }
    }
}
