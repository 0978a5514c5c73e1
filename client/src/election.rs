//! Elections: one leader among those who campaign, seen by whoever asks.
//!
//! An election is a lock by the same name. Who holds it leads, and what the leader wants to be
//! known by (its address, say) is the value of its lease. So everything that holds of a lease holds
//! of a leadership: it ends before another's begins, by the leader's own clock, and each has a
//! fence, higher than all before, which whatever the leader writes must carry.
//!
//! Observers look at the lock whenever the event stream tells that something happened to it. A new
//! proclamation is no event: it is seen within a second.

use std::time::Duration;

use lockring_core::Fence;
use tokio::time::timeout;

use crate::client::Client;
use crate::error::{Error, LostCause};
use crate::events::{Events, Notice};
use crate::guard::LockGuard;
use crate::session::Session;

/// An observer looks at least so often: nothing tells of a proclamation.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One election, in which a session may campaign.
///
/// ```no_run
/// # async fn example(session: lockring_client::Session) -> Result<(), lockring_client::Error> {
/// let election = session.election("scheduler");
/// let leadership = election.campaign("http://10.0.0.7:8080").await?;
/// tokio::select! {
///     () = lead(leadership.fence().number()) => leadership.resign().await?,
///     cause = leadership.lost() => eprintln!("no longer the leader: {cause}"),
/// }
/// # Ok(())
/// # }
/// # async fn lead(_fence: u64) {}
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    session: Session,
    lock: String,
}

impl Session {
    /// The election of this name, which is also the name of its lock.
    #[must_use]
    pub fn election(&self, name: impl Into<String>) -> Election {
        Election {
            session: self.clone(),
            lock: name.into(),
        }
    }
}

impl Client {
    /// Who leads in the election of this name, if anybody does.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn leader(&self, election: &str) -> Result<Option<Leader>, Error> {
        let lock = self.get_lock(election).await?;
        Ok(lock.holders.into_iter().next().map(|holder| Leader {
            session: holder.session,
            owner: holder.owner,
            value: holder.value.unwrap_or_default(),
            fence: holder.fence,
        }))
    }

    /// Follows who leads in the election of this name.
    ///
    /// ```no_run
    /// # async fn example(client: lockring_client::Client) -> Result<(), lockring_client::Error> {
    /// let mut scheduler = client.observe("scheduler");
    /// loop {
    ///     match scheduler.next().await? {
    ///         Some(leader) => println!("{} leads, at {}", leader.owner, leader.value),
    ///         None => println!("nobody leads"),
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn observe(&self, election: impl Into<String>) -> Observer {
        let lock = election.into();
        Observer {
            client: self.clone(),
            events: self.events().prefix(&*lock).subscribe(),
            lock,
            told: None,
        }
    }
}

impl Election {
    /// Campaigns until it leads, which it then does as long as the session lives. `value` is what
    /// it is to be known by, at most 1 KiB.
    ///
    /// If the future is dropped, the candidature is withdrawn.
    ///
    /// # Errors
    /// [`Error::Lost`] when the session ends first.
    pub async fn campaign(&self, value: impl Into<String>) -> Result<Leadership, Error> {
        let request = self.session.lock(&*self.lock).value(value);
        let guard = request.acquire().await?;
        Ok(Leadership { guard })
    }

    /// The same for so long.
    ///
    /// # Errors
    /// [`Error::is_held`] when another led all the while.
    pub async fn campaign_for(
        &self,
        value: impl Into<String>,
        wait: Duration,
    ) -> Result<Leadership, Error> {
        let request = self.session.lock(&*self.lock).value(value);
        let guard = request.acquire_for(wait).await?;
        Ok(Leadership { guard })
    }

    /// Who leads, if anybody does.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn leader(&self) -> Result<Option<Leader>, Error> {
        self.session.owner.shared.client.leader(&self.lock).await
    }

    /// Follows who leads.
    #[must_use]
    pub fn observe(&self) -> Observer {
        self.session.owner.shared.client.observe(&*self.lock)
    }
}

/// That this client leads. Dropping it resigns in the background.
#[derive(Debug)]
#[must_use = "dropping it resigns"]
pub struct Leadership {
    guard: LockGuard,
}

impl Leadership {
    /// The number of this leadership, higher than that of every one before it.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.guard.fence()
    }

    /// Whether it can be relied on at this moment. It asks nobody.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.guard.is_valid()
    }

    /// Waits until it is lost, and says why: see [`LockGuard::lost`].
    pub async fn lost(&self) -> LostCause {
        self.guard.lost().await
    }

    /// Changes what the leader is known by.
    ///
    /// # Errors
    /// As [`LockGuard::set_value`].
    pub async fn proclaim(&self, value: impl Into<String>) -> Result<(), Error> {
        self.guard.set_value(value).await
    }

    /// Gives the leadership up, and waits until that is on record.
    ///
    /// # Errors
    /// As [`LockGuard::release`].
    pub async fn resign(self) -> Result<(), Error> {
        self.guard.release().await
    }

    /// The lease that it is.
    pub const fn guard(&self) -> &LockGuard {
        &self.guard
    }
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The first eight digits of its session.
    pub session: String,
    /// Who it says it is.
    pub owner: String,
    /// What it wants to be known by.
    pub value: String,
    /// The number of its leadership.
    pub fence: u64,
}

/// Follows who leads.
#[derive(Debug)]
pub struct Observer {
    client: Client,
    lock: String,
    events: Events,
    /// What was told last.
    told: Option<Option<Leader>>,
}

impl Observer {
    /// Who leads, at once when it is asked for the first time, and then whenever that is another
    /// than was told, or is known by another value. Changes that follow each other closely may be
    /// told as one.
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Error`]; it can be asked again.
    pub async fn next(&mut self) -> Result<Option<Leader>, Error> {
        loop {
            // The stream first and the look after it: what happens between the two is told. Without
            // a stream there are still the looks.
            let _ = timeout(LOOK_EVERY, self.events.connect()).await;
            let leader = self.client.leader(&self.lock).await?;
            if self.told.as_ref() != Some(&leader) {
                self.told = Some(leader.clone());
                return Ok(leader);
            }
            let news = news(&mut self.events, &self.lock);
            // Late news are none; then it looks all the same.
            let _ = timeout(LOOK_EVERY, news).await;
        }
    }
}

/// Waits until something happened to the lock, or may have.
async fn news(events: &mut Events, lock: &str) {
    loop {
        match events.next().await {
            Ok(Notice::Event(event)) if event.lock.as_deref() == Some(lock) => return,
            Ok(Notice::Event(_)) => {}
            Ok(Notice::Gap(_)) => return,
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
