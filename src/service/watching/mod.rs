//! What happens, told to one reader in order: the past from the history, then the present.
//!
//! The problem is the joint. A reader that asks the history and then listens loses what happens in
//! between; one that listens first and then asks hears some of it twice; and one that is slow
//! makes somebody keep what it has not taken yet. The answer is a place: *all events up to here
//! are told*. A watch listens first and then reads the history from its place, in pieces, until a
//! piece is short; every event was given to the history before it was told to listeners, so
//! whatever is in neither has not happened yet. What comes at or before the place is not told
//! again, wherever it comes from.
//!
//! Nobody keeps anything for a slow reader. The replica's channel has room for a number of applies;
//! a watch that falls behind it goes back to the history, as if it had just come. If the history
//! has not got it either, the reader is told the gap and goes on behind it.
//!
//! A watch does nothing until it is asked for more, so its memory is one piece.

mod place;
mod session;

use std::sync::Arc;

use lockring_core::{Event, Gone, SessionId, What};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::task::spawn_blocking;

use super::{Answer, Consistency, Freshness, READ_WITHIN, Service, ServiceError};
use crate::consensus::News;
use crate::storage::history::{Gap, Told};

pub use place::Place;
pub use session::{SessionNews, SessionWatch};

/// Events that are read from the history at a time.
const PIECE: usize = 512;

/// Which events a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// All.
    Everything,
    /// Those of locks whose names start so.
    Locks(String),
    /// What one session's owner has to know.
    Session(SessionId),
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// Something happened; the place is where to go on from.
    Event(Place, Event),
    /// Events of these revisions may be missing.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// One reader's watch.
#[derive(Debug)]
pub struct Watch {
    service: Service,
    subject: Subject,
    news: Receiver<Arc<News>>,
    /// All up to here is told.
    place: Place,
    /// Up to here the reader knows what is missing.
    gaps_told: u64,
    source: Source,
    _stream: OwnedSemaphorePermit,
}

/// Where a watch looks next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    History,
    News,
}

impl Service {
    /// Tells what happens behind a place, or from now on. The answer's revision is the one that
    /// the watch begins behind.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] if this node tells as many readers as it may, and the rest of
    /// [`ServiceError`].
    pub async fn watch(
        &self,
        subject: Subject,
        after: Option<Place>,
    ) -> Result<Answer<Watch>, ServiceError> {
        let inner = &self.inner;
        let stream = match Arc::clone(&inner.streams).try_acquire_owned() {
            Ok(stream) => stream,
            Err(TryAcquireError::NoPermits) => {
                return Err(ServiceError::Busy {
                    limit: "event_streams_per_node",
                });
            }
            Err(TryAcquireError::Closed) => unreachable!("nobody closes it"),
        };
        // Before the place is known: what happens from here on is heard.
        let news = inner.replica.subscribe();
        let (place, source) = match after {
            None => {
                inner.replica.read_barrier(READ_WITHIN).await?;
                (Place::behind(self.revision()), Source::News)
            }
            // Another node may have told more than this one has applied.
            Some(place) => {
                self.reach(place.revision()).await?;
                (place, Source::History)
            }
        };
        Ok(Answer {
            revision: place.revision(),
            replayed: false,
            body: Watch {
                service: self.clone(),
                subject,
                news,
                place,
                gaps_told: place.last_whole(),
                source,
                _stream: stream,
            },
        })
    }
}

impl Watch {
    /// The next that is to be told, at least one; `None` when this node tells no more. Whoever
    /// wants to go on asks another node, from the last place.
    ///
    /// Cancel-safe: nothing is taken as told before it is returned.
    pub async fn next(&mut self) -> Option<Vec<Noticed>> {
        let stopping = self.service.inner.stopping.clone();
        loop {
            let noticed = tokio::select! {
                biased;
                () = stopping.cancelled() => return None,
                noticed = self.look() => noticed?,
            };
            if !noticed.is_empty() {
                return Some(noticed);
            }
        }
    }

    /// Whether all that is known of the past has been told.
    fn is_in_the_present(&self) -> bool {
        self.source == Source::News
    }

    async fn look(&mut self) -> Option<Vec<Noticed>> {
        if self.source == Source::News {
            return match self.news.recv().await {
                Ok(news) if news.gap => Some(self.skip_to(news.revision)),
                Ok(news) => Some(self.tell(&news.events, &[])),
                Err(RecvError::Lagged(_)) => {
                    self.source = Source::History;
                    Some(Vec::new())
                }
                Err(RecvError::Closed) => None,
            };
        }
        let told = self.past().await;
        let Some(told) = told else {
            // There is no history, so what is in the channel now is all there is.
            self.news = self.service.inner.replica.subscribe();
            self.source = Source::News;
            let now = self.service.revision();
            return Some(self.skip_to(now));
        };
        if told.events.len() < PIECE {
            self.source = Source::News;
            return Some(self.tell(&told.events, &told.missing));
        }
        // Of the gaps, those that the next piece lies behind are told with it.
        let last = told.events.last().map_or(0, |event| event.revision);
        let before = |gap: &&Gap| gap.after < last;
        let gaps: Vec<_> = told.missing.iter().filter(before).copied().collect();
        Some(self.tell(&told.events, &gaps))
    }

    /// A piece of the history behind the place; `None` if there is no history.
    async fn past(&self) -> Option<Told> {
        let history = self.service.inner.settings.history.clone()?;
        let after = self.place.last_whole();
        let read = spawn_blocking(move || history.since(after, PIECE)).await;
        match read.expect("the history answers with errors, not with panics") {
            Ok(told) => Some(told),
            Err(error) => {
                tracing::debug!(%error, "a watch goes on without the past");
                None
            }
        }
    }

    /// Nothing of the revisions up to this one will be told.
    fn skip_to(&mut self, revision: u64) -> Vec<Noticed> {
        let gap = Gap {
            after: self.place.last_whole(),
            upto: revision,
        };
        let noticed = self.gap(gap).into_iter().collect();
        self.place = self.place.max(Place::behind(revision));
        noticed
    }

    /// Those of these events and gaps that are behind the place, in order; moves the place.
    fn tell(&mut self, events: &[Event], gaps: &[Gap]) -> Vec<Noticed> {
        let mut noticed = Vec::new();
        let mut gaps = gaps.iter().peekable();
        for of_one in events.chunk_by(|one, next| one.revision == next.revision) {
            let revision = of_one[0].revision;
            while let Some(gap) = gaps.next_if(|gap| gap.after < revision) {
                noticed.extend(self.gap(*gap));
            }
            let mut behind = of_one
                .iter()
                .enumerate()
                .map(|(nth, event)| (Place::within(revision, nth), event))
                .filter(|(place, event)| *place > self.place && self.subject.is_of(&event.what))
                .collect::<Vec<_>>();
            // The log tells first that the session ends; its owner is told last.
            if let Subject::Session(_) = self.subject {
                behind.sort_by_key(|(_, event)| matches!(event.what, What::SessionEnded { .. }));
            }
            if let Some((place, _)) = behind.last_mut() {
                *place = Place::behind(revision);
            }
            let behind = behind.into_iter();
            noticed.extend(behind.map(|(place, event)| Noticed::Event(place, event.clone())));
            self.place = self.place.max(Place::behind(revision));
        }
        noticed.extend(gaps.filter_map(|gap| self.gap(*gap)));
        noticed
    }

    /// What of a gap the reader does not know yet.
    fn gap(&mut self, gap: Gap) -> Option<Noticed> {
        let from = gap.after.max(self.gaps_told) + 1;
        self.gaps_told = self.gaps_told.max(gap.upto);
        (from <= gap.upto).then_some(Noticed::Gap { from, to: gap.upto })
    }

    /// What became of the session that the watch is about.
    async fn session_gone(&self, session: SessionId) -> Result<Option<Gone>, ServiceError> {
        let fresh = Freshness {
            consistency: Consistency::Linearizable,
            min_revision: None,
        };
        let look = self
            .service
            .read(fresh, |machine, _| machine.session(session).err())
            .await?;
        Ok(look.body)
    }
}

impl Subject {
    fn is_of(&self, what: &What) -> bool {
        match self {
            // The leases of a grant of many are told one by one; rings have watches of their own.
            Self::Everything => !matches!(what, What::GrantedAll { .. } | What::Ring(_)),
            Self::Locks(prefix) => match what {
                What::Granted { lock, .. }
                | What::Ended { lock, .. }
                | What::WaitEnded { lock, .. }
                | What::RevokeRequested { lock, .. }
                | What::ValueSet { lock, .. } => lock.as_str().starts_with(prefix),
                What::WaitAllEnded { locks, .. } => {
                    locks.iter().any(|lock| lock.as_str().starts_with(prefix))
                }
                What::SessionOpened { .. }
                | What::SessionEnded { .. }
                | What::GrantedAll { .. }
                | What::Ring(_) => false,
            },
            Self::Session(id) => match what {
                What::Granted { grant, .. } => grant.session == *id,
                What::Ended { session, .. }
                | What::RevokeRequested { session, .. }
                | What::SessionEnded { session, .. } => session == id,
                What::SessionOpened { .. }
                | What::WaitEnded { .. }
                | What::GrantedAll { .. }
                | What::WaitAllEnded { .. }
                | What::ValueSet { .. }
                | What::Ring(_) => false,
            },
        }
    }
}
