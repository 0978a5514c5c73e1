//! Counters: values that are decimal numbers of 64 bits.

use super::Turn;
use super::run::{Here, NO_INTEGER};
use crate::cache::resp::{Args, decimal, integer};
use crate::cache::store::{At, NEVER, Put};

impl Turn<'_> {
    pub(super) fn incr(&mut self, args: Args<'_>, here: Here, by: i64) {
        self.add(here, args.get(1), by);
    }

    pub(super) fn incr_by(&mut self, args: Args<'_>, here: Here) {
        match integer(args.get(2)) {
            Some(by) => self.add(here, args.get(1), by),
            None => self.replies().error(NO_INTEGER),
        }
    }

    pub(super) fn decr_by(&mut self, args: Args<'_>, here: Here) {
        match integer(args.get(2)).map(i64::checked_neg) {
            Some(Some(by)) => self.add(here, args.get(1), by),
            Some(None) => self.replies().error("ERR decrement would overflow"),
            None => self.replies().error(NO_INTEGER),
        }
    }

    fn add(&mut self, here: Here, key: &[u8], by: i64) {
        let at: At<'_> = self.at(here, key);
        let mut shard = self.node.store.shard(here.slot);
        let before = shard.read(at, |entry| (integer(&entry.value), entry.expires));
        let (before, expires) = before.unwrap_or((Some(0), NEVER));
        let Some(before) = before else {
            return self.replies().error(NO_INTEGER);
        };
        let Some(after) = before.checked_add(by) else {
            let message = "ERR increment or decrement would overflow";
            return self.replies().error(message);
        };
        let put = shard.put(at, decimal(after, &mut [0; 20]), expires);
        drop(shard);
        match put {
            Put::Kept => self.replies().integer(after),
            Put::TooLarge => self.too_large(),
        }
    }
}
