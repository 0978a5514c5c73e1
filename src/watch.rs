//! A value that many follow, each at its own pace: only the newest is kept.
//!
//! It is called and behaves as `tokio::sync::watch`, but for one thing: those who wait are woken
//! in the order in which they began to. Tokio spreads its waiters over slots that it draws by
//! lot, so the same program runs in another order each time, and a simulation could not have one
//! run again. The order is fair, and the cost is the same: a lock that is held for a few
//! instructions.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

/// A value and its two ends.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Channel<T> {
    value: RwLock<Versioned<T>>,
    waiters: Mutex<Waiters>,
}

struct Versioned<T> {
    value: T,
    version: u64,
}

#[derive(Default)]
struct Waiters {
    queue: VecDeque<(u64, Waker)>,
    next: u64,
    senders: usize,
}

impl<T> Channel<T> {
    fn wake_all(&self) {
        // Not while the lock is held: a waker may run what waits at once.
        let woken = std::mem::take(&mut self.waiters.lock().queue);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// Changes the value. Its clones change the same one.
pub struct Sender<T>(Arc<Channel<T>>);

/// Follows the value. A clone has seen what this one has.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    seen: u64,
}

/// The value, which does not change while this is held.
pub struct Ref<'a, T>(RwLockReadGuard<'a, Versioned<T>>);

/// Nobody can change the value any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody changes the value any more")]
pub struct Closed;

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Sender<T> {
    /// A value that nobody follows yet.
    pub fn new(value: T) -> Self {
        let waiters = Waiters {
            senders: 1,
            ..Waiters::default()
        };
        Self(Arc::new(Channel {
            value: RwLock::new(Versioned { value, version: 0 }),
            waiters: Mutex::new(waiters),
        }))
    }

    /// Another who follows it, and has seen what it is now.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver {
            seen: self.0.value.read().version,
            channel: Arc::clone(&self.0),
        }
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.value.read())
    }

    /// Puts another value in its place, which is answered.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|old| std::mem::swap(old, &mut value));
        value
    }

    /// Changes it.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Changes it; nobody is woken if the closure says that nothing changed.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut versioned = self.0.value.write();
        let modified = modify(&mut versioned.value);
        versioned.version += u64::from(modified);
        drop(versioned);
        if modified {
            self.0.wake_all();
        }
        modified
    }

    /// Whether anybody follows it.
    pub fn is_followed(&self) -> bool {
        Arc::strong_count(&self.0) > self.0.waiters.lock().senders
    }
}

impl<T> Receiver<T> {
    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.channel.value.read())
    }

    /// The value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let versioned = self.channel.value.read();
        self.seen = versioned.version;
        Ref(versioned)
    }

    /// From now on it counts as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.channel.value.read().version;
    }

    /// Whether it has changed since it was last seen.
    ///
    /// # Errors
    /// It cannot change any more.
    pub fn has_changed(&self) -> Result<bool, Closed> {
        if self.channel.waiters.lock().senders == 0 {
            return Err(Closed);
        }
        Ok(self.channel.value.read().version != self.seen)
    }

    /// Waits until it has changed since it was last seen, and sees it. Cancellation-safe.
    ///
    /// # Errors
    /// It cannot change any more, and what it is has been seen.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let version = Changed {
            channel: &self.channel,
            seen: self.seen,
            place: None,
        };
        self.seen = version.await?;
        Ok(())
    }

    /// Waits until it is as wanted. Cancellation-safe.
    ///
    /// # Errors
    /// It is not, and cannot change any more.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, Closed> {
        loop {
            let there = {
                let versioned = self.channel.value.read();
                self.seen = versioned.version;
                wanted(&versioned.value)
            };
            if there {
                // It may be newer than what was looked at; whoever waits for a condition that
                // does not stay true has to look again anyway.
                return Ok(Ref(self.channel.value.read()));
            }
            self.changed().await?;
        }
    }
}

/// Waits for another version than the seen one.
struct Changed<'a, T> {
    channel: &'a Channel<T>,
    seen: u64,
    /// Where it waits in the queue.
    place: Option<u64>,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<u64, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Whoever changes the value empties the queue after that: so either the change is seen
        // here, or this waiter is found there.
        let mut waiters = this.channel.waiters.lock();
        let version = this.channel.value.read().version;
        if version != this.seen {
            return Poll::Ready(Ok(version));
        }
        if waiters.senders == 0 {
            return Poll::Ready(Err(Closed));
        }
        let known = this.place.and_then(|place| {
            let mut queue = waiters.queue.iter_mut();
            queue.find(|(waiter, _)| *waiter == place)
        });
        match known {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => {
                let place = waiters.next;
                waiters.next += 1;
                waiters.queue.push_back((place, context.waker().clone()));
                this.place = Some(place);
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Changed<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut waiters = self.channel.waiters.lock();
            waiters.queue.retain(|(waiter, _)| *waiter != place);
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.waiters.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut waiters = self.0.waiters.lock();
        waiters.senders -= 1;
        let last = waiters.senders == 0;
        drop(waiters);
        if last {
            self.0.wake_all();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            channel: Arc::clone(&self.channel),
            seen: self.seen,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&*self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&*self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_in_the_order_in_which_they_came() {
        let sender = Sender::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..20)
            .map(|number| {
                let (mut receiver, woken) = (sender.subscribe(), Arc::clone(&woken));
                tokio::spawn(async move {
                    receiver.changed().await.unwrap();
                    woken.lock().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        sender.send_replace(1);
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(*woken.lock(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_is_seen_once_and_the_end_after_it() {
        let (sender, mut receiver) = channel(1);
        assert_eq!(receiver.has_changed(), Ok(false));
        assert!(receiver.changed().now_or_never().is_none());
        sender.send_modify(|value| *value += 1);
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(receiver.has_changed(), Ok(true));
        assert_eq!(receiver.changed().now_or_never(), Some(Ok(())));
        assert_eq!(*receiver.borrow(), 2);
        assert!(receiver.changed().now_or_never().is_none());
        assert_eq!(sender.send_replace(7), 2);
        drop(sender);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await, Err(Closed));
        assert_eq!(receiver.has_changed(), Err(Closed));
        assert_eq!(
            receiver.wait_for(|value| *value == 7).await.as_deref(),
            Ok(&7)
        );
        assert_eq!(
            receiver.wait_for(|value| *value == 8).await.err(),
            Some(Closed)
        );
    }

    #[tokio::test]
    async fn one_who_gave_up_waiting_leaves_nothing_behind() {
        let (sender, mut receiver) = channel(());
        for _ in 0..3 {
            assert!(receiver.changed().now_or_never().is_none());
        }
        assert!(sender.0.waiters.lock().queue.is_empty());
        assert!(sender.is_followed());
        drop(receiver);
        assert!(!sender.is_followed());
    }
}
