//! What the calls of operators came to.
//!
//! An operator breaks a lease, asks for one or ends a session without a session of its own. The
//! call may be repeated all the same, after an answer that was lost, and must not break the lease
//! of the next holder: so the newest outcomes are remembered by request id, for the whole cluster.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::replay::{Found, Record};
use crate::limits::OPERATOR_REPLAYS_MAX;
use crate::name::RequestId;

/// The newest outcomes; shared with snapshots until they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operators {
    settled: Arc<VecDeque<Record>>,
}

impl Operators {
    pub(crate) fn find(&self, request: RequestId, call: u64) -> Found<'_> {
        match self.settled.iter().rfind(|r| r.request == request) {
            Some(record) if record.call == call => Found::Settled(&record.outcome),
            Some(_) => Found::Reused,
            None => Found::Nothing,
        }
    }

    /// Remembers an outcome; forgets the oldest if there are too many.
    pub(crate) fn settle(&mut self, record: Record) {
        let settled = Arc::make_mut(&mut self.settled);
        if settled.len() == OPERATOR_REPLAYS_MAX {
            settled.pop_front();
        }
        settled.push_back(record);
    }

    /// Whether there are no more than there may be.
    pub(crate) fn fits(&self) -> bool {
        self.settled.len() <= OPERATOR_REPLAYS_MAX
    }
}
