//! What happened to one lock, as far as this node keeps it.

use lockring_core::{Event, LockName};
use tokio::task::spawn_blocking;

use super::{Answer, Freshness, Service, ServiceError};
use crate::storage::history::HistoryError;

pub use crate::storage::history::Gap;

/// A page of a lock's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Oldest first; the events of one revision are not separated.
    pub events: Vec<Event>,
    /// Where more may have happened than is known.
    pub gaps: Vec<Gap>,
    /// Whether there is more behind them.
    pub more: bool,
}

impl Service {
    /// What happened to a lock behind a revision, about `rows` a page.
    ///
    /// # Errors
    /// [`ServiceError::Unready`] if this node's history has failed, and the rest of
    /// [`ServiceError`].
    pub async fn history(
        &self,
        lock: LockName,
        after: u64,
        rows: usize,
        fresh: Freshness,
    ) -> Result<Answer<HistoryPage>, ServiceError> {
        // What is applied here was given to the history before, so it knows as much as this view.
        let seen = self.read(fresh, |_, _| ()).await?;
        let Some(history) = self.inner.settings.history.clone() else {
            return Err(stopped("this node keeps no history"));
        };
        let read = spawn_blocking(move || history.of_lock(&lock, after, rows + 1)).await;
        let told = read.expect("the history answers with errors, not with panics");
        let told = told.map_err(|error: HistoryError| stopped(error.to_string()))?;
        let mut events = told.events;
        let more = events.len() > rows;
        if more {
            events.truncate(page_end(&events, rows));
        }
        let shown = events.last().map_or(after, |event| event.revision);
        let here = |gap: &Gap| !more || gap.after < shown;
        Ok(seen.map(|()| HistoryPage {
            events,
            gaps: told.missing.into_iter().filter(here).collect(),
            more,
        }))
    }
}

fn stopped(why: impl Into<std::borrow::Cow<'static, str>>) -> ServiceError {
    ServiceError::Unready {
        leader: None,
        why: why.into(),
    }
}

/// Where a page of about `rows` events ends, of more: between two revisions, and not at once.
fn page_end(events: &[Event], rows: usize) -> usize {
    let cut = |at: &usize| events[*at].revision != events[*at - 1].revision;
    let before = (1..=rows).rev().find(cut);
    before
        .or_else(|| (rows..events.len()).find(cut))
        .unwrap_or(events.len())
}
