//! What happens to all locks, as it happens, over broken connections and failovers.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::stream::EventStream;
use crate::wire::{Event, Gap, route};

/// The pause after a stream that broke; each further one is twice as long, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// See [`PAUSE_FIRST`].
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something happened.
    Event(Box<Event>),
    /// Of these revisions something may be missing, because it is no longer kept. Whoever follows
    /// the state of a lock looks at the lock again.
    Gap(Gap),
}

/// What a subscription is made from; [`Client::events`].
#[derive(Clone, Debug)]
#[must_use = "nothing is subscribed before `subscribe`"]
pub struct EventsBuilder {
    client: Client,
    prefix: Option<String>,
    after: Option<String>,
}

impl Client {
    /// Prepares to follow what happens to locks and sessions.
    ///
    /// ```no_run
    /// use lockring_client::{Client, Notice};
    ///
    /// # async fn example(client: Client) -> Result<(), lockring_client::Error> {
    /// let mut events = client.events().prefix("invoices/").subscribe();
    /// loop {
    ///     match events.next().await? {
    ///         Notice::Event(event) => println!("{} {:?}", event.event.as_str(), event.lock),
    ///         Notice::Gap(gap) => println!("missed revisions {} to {}", gap.from, gap.to),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> EventsBuilder {
        EventsBuilder {
            client: self.clone(),
            prefix: None,
            after: None,
        }
    }
}

impl EventsBuilder {
    /// Only of locks whose names start so; sessions are then left out.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// From behind this event on, whose id [`Events::last_id`] told; a revision is one, too. If not
    /// said, from now on.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.after = Some(id.into());
        self
    }

    /// The subscription. It connects when it is first asked for an event.
    #[must_use]
    pub fn subscribe(self) -> Events {
        Events {
            client: self.client,
            prefix: self.prefix,
            after: self.after,
            stream: None,
        }
    }
}

/// A subscription: every event once, in the order of the revisions, and a gap where there may have
/// been more. A stream that breaks is resumed behind the last event that was told, at whatever
/// server answers.
#[derive(Debug)]
pub struct Events {
    client: Client,
    prefix: Option<String>,
    after: Option<String>,
    stream: Option<EventStream>,
}

impl Events {
    /// The next event, however long it takes to come.
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Error`] when no server could be subscribed to for as long as the client tries calls; the
    /// subscription can be asked again and goes on where it was.
    pub async fn next(&mut self) -> Result<Notice, Error> {
        loop {
            if self.stream.is_none() {
                self.stream = Some(self.open().await?);
            }
            let stream = self.stream.as_mut().expect("it was just opened");
            let next = stream.next().await;
            self.after = stream.resume();
            match next {
                Ok(Some(told)) if told.kind == "gap" => {
                    if let Ok(gap) = serde_json::from_str(&told.data) {
                        return Ok(Notice::Gap(gap));
                    }
                }
                Ok(Some(told)) => match serde_json::from_str(&told.data) {
                    Ok(event) => return Ok(Notice::Event(Box::new(event))),
                    // Of a kind that only a newer client knows.
                    Err(error) => tracing::debug!(kind = told.kind, %error, "event passed over"),
                },
                Ok(None) => self.stream = None,
                Err(error) => {
                    tracing::debug!(%error, "event stream broke");
                    self.stream = None;
                }
            }
        }
    }

    /// Connects now, so that what happens from here on will be told.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.stream.is_none() {
            let stream = self.open().await?;
            self.after = stream.resume();
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// The id of the last event that was told: a later subscription can go on behind it.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.after.as_deref()
    }

    async fn open(&self) -> Result<EventStream, Error> {
        let deadline = Instant::now() + self.client.timeout();
        let mut pause = PAUSE_FIRST;
        loop {
            let path = match &self.prefix {
                Some(prefix) => format!("{}?prefix={}", route::EVENTS, route::segment(prefix)),
                None => route::EVENTS.to_owned(),
            };
            let error = match EventStream::open(&self.client, path, self.after.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if !error.is_passing() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
