//! The highest fence seen, for each of many resources in this process.
//!
//! **One step.** To admit a fence and then write is not enough when writes take time: a request
//! under fence 5 is admitted, its body trickles in, one under fence 6 comes and is done, and then
//! the first one writes. So a caller goes *in* and holds a [`Pass`] while it writes. A higher
//! fence is recorded at once, which turns lower ones away and tells those inside
//! ([`Pass::superseded`]); it goes in when they are out.
//!
//! **Bounded memory.** Fences rise over the whole cluster, not for each lock. So when there are
//! too many resources, the one with the lowest fence is forgotten, and that fence becomes the
//! *floor*: what is not remembered takes no fence below it. A stale write is therefore never taken
//! for having been forgotten. The price is paid by a holder that has had its lease for so long
//! that a table full of others was written since: it may be refused although it holds the lock,
//! and has to release and acquire it again.
//!
//! **How durable.** As durable as the process: a restart forgets everything, and the first fence
//! that comes for a resource is taken, stale or not. Writing the table to a file would not help
//! unless each mark was synced together with the write that it guards, and what can do that is a
//! store; guard *there*. For state that is lost with the process nothing is needed. In between
//! there is [`Gate::starting_at`]: at its start the process acquires a lock of its own, and the
//! fence of that is higher than that of every lease granted before, so all of them are refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockring_core::Fence;
use tokio::sync::watch;

use super::Stale;

/// Remembers the highest fence of each resource, and refuses lower ones. One gate serves a whole
/// process: share it in an [`Arc`].
///
/// ```
/// use lockring_client::Fence;
/// use lockring_client::fence::Gate;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let gate = Gate::new(10_000);
/// let pass = gate.enter("reports/nightly", Fence::claimed(7)).await.expect("the first");
/// // Write here: nobody with another fence is inside.
/// drop(pass);
/// let late = gate.enter("reports/nightly", Fence::claimed(6)).await;
/// assert_eq!(late.unwrap_err().to_string(), "fence 6 is stale: the resource takes 7 and higher");
/// # }
/// ```
#[derive(Debug)]
pub struct Gate {
    resources_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    doors: HashMap<Arc<str>, Arc<Door>>,
    /// The same resources by their highest fence; the first is the next to be forgotten.
    by_fence: BTreeSet<(Fence, Arc<str>)>,
    /// What is not in the table takes no fence below this one.
    floor: Option<Fence>,
}

/// The state of one resource; the channel is both its lock and its news.
type Door = watch::Sender<Inside>;

#[derive(Debug)]
struct Inside {
    highest: Fence,
    /// How many passes are out, by fence.
    passes: BTreeMap<Fence, usize>,
}

impl Gate {
    /// A gate that remembers this many resources, and beyond them those in which somebody is.
    #[must_use]
    pub fn new(resources_max: usize) -> Self {
        Self {
            resources_max: resources_max.max(1),
            table: Mutex::default(),
        }
    }

    /// The same, refusing every fence below `least`. With the fence of a lock that this process
    /// has acquired at its start, no lease that was granted before can write any more; their
    /// holders have to release and acquire again.
    #[must_use]
    pub fn starting_at(resources_max: usize, least: Fence) -> Self {
        let gate = Self::new(resources_max);
        gate.table().floor = Some(least);
        gate
    }

    /// Goes in to write: refused if a higher fence has come, else as soon as everybody with a
    /// lower one is out.
    ///
    /// Cancellation-safe; the fence stays recorded, because its lease exists.
    ///
    /// # Errors
    /// [`Stale`], also when a higher fence comes while this one waits.
    pub async fn enter(&self, resource: &str, fence: Fence) -> Result<Pass, Stale> {
        let door = self.table().record(resource, fence, self.resources_max)?;
        let mut news = door.subscribe();
        loop {
            news.mark_unchanged();
            if go_in(&door, fence)? {
                return Ok(Pass { door, fence });
            }
            news.changed().await.expect("the sender is in the door");
        }
    }

    /// Records a fence, or refuses it, without going in. It suffices when the caller has the
    /// resource to itself from before this call until its write is done; whoever has a pass is
    /// not waited for.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn admit(&self, resource: &str, fence: Fence) -> Result<(), Stale> {
        self.table()
            .record(resource, fence, self.resources_max)
            .map(drop)
    }

    /// The least fence that a resource takes; nothing if it takes any.
    #[must_use]
    pub fn least(&self, resource: &str) -> Option<Fence> {
        let table = self.table();
        let door = table.doors.get(resource);
        door.map(|door| door.borrow().highest).or(table.floor)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No panic can leave the table half-changed: its methods do not call out.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it went in; if not, somebody with a lower fence is still there.
fn go_in(door: &Door, fence: Fence) -> Result<bool, Stale> {
    let mut outcome = Ok(false);
    door.send_if_modified(|inside| {
        let least = inside.highest;
        if fence < least {
            outcome = Err(Stale { fence, least });
        } else if inside.passes.keys().all(|other| *other >= fence) {
            *inside.passes.entry(fence).or_default() += 1;
            outcome = Ok(true);
        }
        // Nobody waits for somebody to come in.
        false
    });
    outcome
}

impl Table {
    fn record(
        &mut self,
        resource: &str,
        fence: Fence,
        resources_max: usize,
    ) -> Result<Arc<Door>, Stale> {
        if let Some((name, door)) = self.doors.get_key_value(resource) {
            let least = door.borrow().highest;
            if fence < least {
                return Err(Stale { fence, least });
            }
            if fence > least {
                self.by_fence.remove(&(least, name.clone()));
                self.by_fence.insert((fence, name.clone()));
                door.send_modify(|inside| inside.highest = fence);
            }
            return Ok(door.clone());
        }
        if let Some(least) = self.floor.filter(|least| fence < *least) {
            return Err(Stale { fence, least });
        }
        while self.doors.len() >= resources_max && self.forget_one() {}
        let name: Arc<str> = resource.into();
        let door = Arc::new(Door::new(Inside {
            highest: fence,
            passes: BTreeMap::new(),
        }));
        self.by_fence.insert((fence, name.clone()));
        self.doors.insert(name, door.clone());
        Ok(door)
    }

    /// Forgets the resource with the lowest fence in which nobody is; `false` if there is none.
    fn forget_one(&mut self) -> bool {
        // Whoever is inside or waits to be holds the door too, and got it under this table's lock.
        let is_empty = |name: &Arc<str>| Arc::strong_count(&self.doors[name]) == 1;
        let found = self.by_fence.iter().find(|(_, name)| is_empty(name));
        let Some((fence, name)) = found.cloned() else {
            return false;
        };
        self.doors.remove(&name);
        self.floor = self.floor.max(Some(fence));
        self.by_fence.remove(&(fence, name));
        true
    }
}

/// Being inside: as long as it exists, nobody with a higher fence goes in.
#[derive(Debug)]
#[must_use = "dropping the pass lets the next one in"]
pub struct Pass {
    door: Arc<Door>,
    fence: Fence,
}

impl Pass {
    /// The fence it was given for.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// Ends when a higher fence has come, and answers that: it waits for this pass to be dropped.
    pub async fn superseded(&self) -> Stale {
        let mut news = self.door.subscribe();
        let fence = self.fence;
        let inside = news.wait_for(|inside| inside.highest > fence).await;
        let least = inside.expect("the sender is in the door").highest;
        Stale { fence, least }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.door.send_modify(|inside| {
            if let Some(passes) = inside.passes.get_mut(&self.fence) {
                *passes -= 1;
                if *passes == 0 {
                    inside.passes.remove(&self.fence);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
