//! Why sessions ended, for as long as memory is set aside for it.
//!
//! Somebody who comes back with a dead session shall be told whether it was closed or expired,
//! and somebody who repeats the very call that ended it shall get that call's outcome. The newest
//! [`ENDED_SESSIONS_MAX`] are kept; older ones "never existed".

use alloc::collections::BTreeMap;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::replay::Record;
use crate::limits::ENDED_SESSIONS_MAX;
use crate::name::SessionId;
use crate::outcome::Gone;
use crate::paged::Paged;

/// Rows in one page.
const PAGE_ROWS: usize = 128;
/// Ended sessions by the order in which they ended, as snapshots see them.
pub(crate) type Rows = Paged<u64, Ended, PAGE_ROWS>;

/// A session that is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// Which.
    pub(crate) session: SessionId,
    /// Why.
    pub(crate) cause: Gone,
    /// The call that ended it, and what that came to.
    pub(crate) record: Option<Record>,
}

/// The newest ended sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) rows: Rows,
    by_session: BTreeMap<SessionId, u64>,
    next: u64,
}

impl Memory {
    /// The memory that these rows make; `None` if a session is in it twice or there are too many.
    pub(crate) fn rebuild(rows: Rows) -> Option<Self> {
        let mut memory = Self::default();
        for (number, ended) in rows.iter() {
            if memory.by_session.insert(ended.session, *number).is_some() {
                return None;
            }
            memory.next = number.checked_add(1)?;
        }
        memory.rows = rows;
        (memory.rows.len() <= ENDED_SESSIONS_MAX).then_some(memory)
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&Ended> {
        self.rows.get(self.by_session.get(&session)?)
    }

    /// The last to end of those with such an id.
    pub(crate) fn last_in(&self, ids: RangeInclusive<SessionId>) -> Option<SessionId> {
        let found = self.by_session.range(ids);
        found.max_by_key(|(_, number)| **number).map(|(id, _)| *id)
    }

    pub(crate) fn get_mut(&mut self, session: SessionId) -> Option<&mut Ended> {
        self.rows.get_mut(self.by_session.get(&session)?)
    }

    /// Remembers one more; returns the one that is forgotten for it.
    pub(crate) fn push(&mut self, ended: Ended) -> Option<Ended> {
        let twice = self.by_session.insert(ended.session, self.next).is_some();
        assert!(!twice, "a session ends once");
        self.rows.insert(self.next, ended);
        self.next += 1;
        if self.rows.len() <= ENDED_SESSIONS_MAX {
            return None;
        }
        let oldest = *self.rows.first().expect("it is over-full").0;
        let oldest = self.rows.remove(&oldest).expect("it is the first");
        self.by_session.remove(&oldest.session);
        Some(oldest)
    }

    pub(crate) fn index_len(&self) -> usize {
        self.by_session.len()
    }
}
