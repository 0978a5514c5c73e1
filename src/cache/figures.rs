//! What is counted, from the beginning of the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that any thread may raise; nothing is decided by them.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    clients: AtomicU64,
    connections: AtomicU64,
    commands: AtomicU64,
    redirects: AtomicU64,
    waits: AtomicU64,
    origin_calls: AtomicU64,
    origin_failures: AtomicU64,
    warm_asked: AtomicU64,
    warm_found: AtomicU64,
    forwards: AtomicU64,
    slots_gained: AtomicU64,
    slots_lost: AtomicU64,
    batches_by_time: Buckets,
    batch_nanos: AtomicU64,
}

/// Batches by how long they took: up to 1 µs, 2 µs, 4 µs, … and longer than all.
pub(crate) const BUCKETS: usize = 24;
type Buckets = [AtomicU64; BUCKETS];

fn raise(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Figures {
    pub(crate) fn connected(&self) -> u64 {
        raise(&self.clients, 1);
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn disconnected(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// So many commands were answered in one batch.
    pub(crate) fn answered(&self, commands: u64, took: Duration) {
        raise(&self.commands, commands);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        raise(&self.batches_by_time[bucket.min(BUCKETS - 1)], 1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        raise(&self.batch_nanos, nanos);
    }

    pub(crate) fn redirected(&self) {
        raise(&self.redirects, 1);
    }

    pub(crate) fn waited(&self) {
        raise(&self.waits, 1);
    }

    #[cfg(test)]
    pub(crate) fn waits(&self) -> u64 {
        read(&self.waits)
    }

    pub(crate) fn origin_called(&self) {
        raise(&self.origin_calls, 1);
    }

    pub(crate) fn origin_failed(&self) {
        raise(&self.origin_failures, 1);
    }

    pub(crate) fn warm(&self, found: bool) {
        raise(&self.warm_asked, 1);
        raise(&self.warm_found, u64::from(found));
    }

    pub(crate) fn forwarded(&self) {
        raise(&self.forwards, 1);
    }

    pub(crate) fn moved(&self, gained: u64, lost: u64) {
        raise(&self.slots_gained, gained);
        raise(&self.slots_lost, lost);
    }

    pub(crate) fn clients(&self) -> u64 {
        read(&self.clients)
    }

    pub(crate) fn connections(&self) -> u64 {
        read(&self.connections)
    }

    pub(crate) fn commands(&self) -> u64 {
        read(&self.commands)
    }

    /// Counters by name, with what they count.
    pub(crate) fn rows(&self) -> [(&'static str, &'static str, u64); 11] {
        let of = |name, help, counter: &AtomicU64| (name, help, read(counter));
        [
            of("commands", "Commands answered", &self.commands),
            of(
                "connections_accepted",
                "Connections accepted",
                &self.connections,
            ),
            of(
                "redirects",
                "Requests that were sent to another member",
                &self.redirects,
            ),
            of(
                "waits",
                "Requests that waited for a slot on its way, or for its owner to hear of it",
                &self.waits,
            ),
            of(
                "origin_calls",
                "Values asked for at the origin",
                &self.origin_calls,
            ),
            of(
                "origin_failures",
                "Of these, answered with neither value nor absence",
                &self.origin_failures,
            ),
            of(
                "warm_asked",
                "Values asked for at the slot's owner before us",
                &self.warm_asked,
            ),
            of("warm_found", "Of these, found", &self.warm_found),
            of(
                "forwards",
                "Requests passed on to a slot's owner",
                &self.forwards,
            ),
            of(
                "slots_gained",
                "Slots that became this member's",
                &self.slots_gained,
            ),
            of(
                "slots_lost",
                "Slots that went to other members",
                &self.slots_lost,
            ),
        ]
    }

    /// How long all batches took together.
    pub(crate) fn in_batches(&self) -> Duration {
        Duration::from_nanos(read(&self.batch_nanos))
    }

    /// Batches that took at most 2^n µs, for each n; the last one has all.
    pub(crate) fn batches(&self) -> [u64; BUCKETS] {
        let mut sum = 0;
        std::array::from_fn(|n| {
            sum += read(&self.batches_by_time[n]);
            sum
        })
    }
}
