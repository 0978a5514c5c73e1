//! Values: get, set, append, measure.

use super::Turn;
use super::expiry::{Past, SYNTAX, Until};
use super::run::Here;
use crate::cache::resp::{Args, BULK_BYTES_MAX, Replies};
use crate::cache::store::{NEVER, Put};

/// What `SET` and `GETEX` are asked for beside key and value.
#[derive(Debug, Default)]
struct Options {
    until: Until,
    /// The word that said how the key ends; it may be said again, and the last one counts.
    ends: Option<Vec<u8>>,
    when: When,
    shows_old: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum When {
    #[default]
    Always,
    Absent,
    Present,
}

/// The commands whose options are parsed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Set,
    GetEx,
}

impl Options {
    /// `None` is a syntax error.
    fn parse(words: Args<'_>, of: Of) -> Option<Self> {
        let mut options = Self::default();
        let mut at = 0;
        while let Some(word) = words.try_get(at) {
            at += 1;
            let lower = word.to_ascii_lowercase();
            match (lower.as_slice(), of) {
                (b"nx", Of::Set) if options.when != When::Present => options.when = When::Absent,
                (b"xx", Of::Set) if options.when != When::Absent => options.when = When::Present,
                (b"get", Of::Set) => options.shows_old = true,
                _ if options.ends.as_ref().is_some_and(|said| *said != lower) => return None,
                (b"keepttl", Of::Set) => options.ends = Some(lower),
                (b"persist", Of::GetEx) => {
                    options.until = Until::Never;
                    options.ends = Some(lower);
                }
                (unit, _) => {
                    options.until = Until::parse(unit, words.try_get(at)?)?;
                    options.ends = Some(lower);
                    at += 1;
                }
            }
        }
        Some(options)
    }

    fn keeps_ttl(&self) -> bool {
        self.ends.as_deref() == Some(b"keepttl")
    }
}

impl Turn<'_> {
    pub(super) fn get(&mut self, args: Args<'_>, here: Here) {
        let at = self.at(here, args.get(1));
        let mut replies = Replies::new(self.out, self.client.proto);
        let mut shard = self.node.store.shard(here.slot);
        if shard.read(at, |entry| replies.bulk(&entry.value)).is_none() {
            replies.null();
        }
    }

    pub(super) fn mget(&mut self, args: Args<'_>, here: Here) {
        let keys = args.from(1);
        self.replies().array(keys.len());
        let mut shard = self.node.store.shard(here.slot);
        for key in keys.iter() {
            let at = self.at(here, key);
            let mut replies = Replies::new(self.out, self.client.proto);
            if shard.read(at, |entry| replies.bulk(&entry.value)).is_none() {
                replies.null();
            }
        }
    }

    pub(super) fn set(&mut self, args: Args<'_>, here: Here) {
        if args.len() == 3 {
            return self.put(here, args.get(1), args.get(2), NEVER);
        }
        let Some(options) = Options::parse(args.from(3), Of::Set) else {
            return self.replies().error(SYNTAX);
        };
        let expires = match options.until.resolve(self.now, "set", Past::Allowed) {
            Ok(expires) => expires,
            Err(message) => return self.replies().error(&message),
        };
        let at = self.at(here, args.get(1));
        let mut shard = self.node.store.shard(here.slot);
        let old = shard.read(at, |entry| (entry.value.clone(), entry.expires));
        let may = match options.when {
            When::Always => true,
            When::Absent => old.is_none(),
            When::Present => old.is_some(),
        };
        let kept = old.as_ref().map(|(_, expires)| *expires);
        let expires = match kept.filter(|_| options.keeps_ttl()) {
            Some(kept) => kept,
            None => expires,
        };
        let put = may.then(|| shard.put(at, args.get(2), expires));
        drop(shard);
        match (put, options.shows_old, old) {
            (Some(Put::TooLarge), _, _) => self.too_large(),
            (_, true, Some((value, _))) => self.replies().bulk(&value),
            (_, true, None) | (None, false, _) => self.replies().null(),
            (Some(Put::Kept), false, _) => self.replies().ok(),
        }
    }

    pub(super) fn set_for(&mut self, args: Args<'_>, here: Here, unit: &[u8], name: &str) {
        let until = Until::parse(unit, args.get(2)).expect("the callers' units are units");
        match until.resolve(self.now, name, Past::Allowed) {
            Ok(expires) => self.put(here, args.get(1), args.get(3), expires),
            Err(message) => self.replies().error(&message),
        }
    }

    fn put(&mut self, here: Here, key: &[u8], value: &[u8], expires: u64) {
        let at = self.at(here, key);
        match self.node.store.shard(here.slot).put(at, value, expires) {
            Put::Kept => self.replies().ok(),
            Put::TooLarge => self.too_large(),
        }
    }

    pub(super) fn set_nx(&mut self, args: Args<'_>, here: Here) {
        let at = self.at(here, args.get(1));
        let mut shard = self.node.store.shard(here.slot);
        if shard.has(at) {
            return self.replies().integer(0);
        }
        match shard.put(at, args.get(2), NEVER) {
            Put::Kept => self.replies().integer(1),
            Put::TooLarge => self.too_large(),
        }
    }

    pub(super) fn get_set(&mut self, args: Args<'_>, here: Here) {
        let at = self.at(here, args.get(1));
        let mut shard = self.node.store.shard(here.slot);
        let old = shard.read(at, |entry| entry.value.clone());
        match (shard.put(at, args.get(2), NEVER), old) {
            (Put::TooLarge, _) => self.too_large(),
            (Put::Kept, Some(old)) => self.replies().bulk(&old),
            (Put::Kept, None) => self.replies().null(),
        }
    }

    pub(super) fn get_del(&mut self, args: Args<'_>, here: Here) {
        let at = self.at(here, args.get(1));
        let mut shard = self.node.store.shard(here.slot);
        match shard.read(at, |_| ()).and_then(|()| shard.take(at)) {
            Some(entry) => self.replies().bulk(&entry.value),
            None => self.replies().null(),
        }
    }

    pub(super) fn get_ex(&mut self, args: Args<'_>, here: Here) {
        let Some(Options { until, .. }) = Options::parse(args.from(2), Of::GetEx) else {
            return self.replies().error(SYNTAX);
        };
        let at = self.at(here, args.get(1));
        let mut shard = self.node.store.shard(here.slot);
        let Some((value, kept)) = shard.read(at, |entry| (entry.value.clone(), entry.expires))
        else {
            return self.replies().null();
        };
        match until.resolve(self.now, "getex", Past::Allowed) {
            Err(message) => return self.replies().error(&message),
            Ok(_) if until == Until::Unsaid => {}
            Ok(expires) if expires != kept => {
                shard.expire(at, expires);
            }
            Ok(_) => {}
        }
        self.replies().bulk(&value);
    }

    pub(super) fn mset(&mut self, args: Args<'_>, here: Here) {
        let mut shard = self.node.store.shard(here.slot);
        let mut all = Put::Kept;
        for nth in (1..args.len()).step_by(2) {
            let at = self.at(here, args.get(nth));
            if shard.put(at, args.get(nth + 1), NEVER) == Put::TooLarge {
                all = Put::TooLarge;
            }
        }
        match all {
            Put::Kept => self.replies().ok(),
            Put::TooLarge => self.too_large(),
        }
    }

    pub(super) fn append(&mut self, args: Args<'_>, here: Here) {
        let (at, more) = (self.at(here, args.get(1)), args.get(2));
        let mut shard = self.node.store.shard(here.slot);
        let before = shard.read(at, |entry| (entry.value.to_vec(), entry.expires));
        let (mut value, expires) = before.unwrap_or((Vec::new(), NEVER));
        if value.len() + more.len() > BULK_BYTES_MAX {
            let message = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
            return self.replies().error(message);
        }
        value.extend_from_slice(more);
        match shard.put(at, &value, expires) {
            Put::Kept => self.replies().count(value.len()),
            Put::TooLarge => self.too_large(),
        }
    }

    pub(super) fn str_len(&mut self, args: Args<'_>, here: Here) {
        let at = self.at(here, args.get(1));
        let length = self
            .node
            .store
            .shard(here.slot)
            .read(at, |entry| entry.value.len());
        self.replies().count(length.unwrap_or(0));
    }
}
