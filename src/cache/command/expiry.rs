//! When a key is gone: parsed, asked for, changed.

use super::Turn;
use super::run::{Here, NO_INTEGER};
use crate::cache::resp::{Args, integer};
use crate::cache::store::NEVER;

pub(super) const SYNTAX: &str = "ERR syntax error";

/// An end as a client says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Until {
    #[default]
    Unsaid,
    Never,
    /// From now on.
    In(Amount),
    /// Since 1970.
    At(Amount),
}

/// A number with its unit, or what is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    Seconds(i64),
    Millis(i64),
    NoNumber,
}

/// Whether an end may be zero or negative, as for `EXPIRE`, where that deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// A moment that has passed already is fine, a number below one is not.
    Allowed,
    /// Anything goes.
    Deletes,
}

impl Until {
    /// From a unit in lower case (`ex`, `px`, `exat`, `pxat`) and a number.
    pub(super) fn parse(unit: &[u8], number: &[u8]) -> Option<Self> {
        let number = integer(number);
        let seconds = number.map_or(Amount::NoNumber, Amount::Seconds);
        let millis = number.map_or(Amount::NoNumber, Amount::Millis);
        match unit {
            b"ex" => Some(Self::In(seconds)),
            b"px" => Some(Self::In(millis)),
            b"exat" => Some(Self::At(seconds)),
            b"pxat" => Some(Self::At(millis)),
            _ => None,
        }
    }

    /// The moment, in milliseconds of the wall clock; 1 for one that has passed.
    pub(super) fn resolve(self, now: u64, command: &str, past: Past) -> Result<u64, String> {
        let (amount, from) = match self {
            Self::Unsaid | Self::Never => return Ok(NEVER),
            Self::In(amount) => (amount, now),
            Self::At(amount) => (amount, 0),
        };
        let invalid = || format!("ERR invalid expire time in '{command}' command");
        let (number, scale) = match amount {
            Amount::Seconds(number) => (number, 1000),
            Amount::Millis(number) => (number, 1),
            Amount::NoNumber => return Err(NO_INTEGER.to_owned()),
        };
        if past == Past::Allowed && number <= 0 {
            return Err(invalid());
        }
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let moment = number
            .checked_mul(scale)
            .and_then(|millis| millis.checked_add(from));
        let moment = moment.ok_or_else(invalid)?;
        Ok(u64::try_from(moment).unwrap_or(0).max(1))
    }
}

/// When `EXPIRE` changes anything.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    only_new: bool,
    only_changed: bool,
    only_later: bool,
    only_sooner: bool,
}

impl Conditions {
    fn parse(words: Args<'_>) -> Result<Self, String> {
        let mut found = Self::default();
        for word in words.iter() {
            match word.to_ascii_lowercase().as_slice() {
                b"nx" => found.only_new = true,
                b"xx" => found.only_changed = true,
                b"gt" => found.only_later = true,
                b"lt" => found.only_sooner = true,
                _ => {
                    let word = String::from_utf8_lossy(word);
                    return Err(format!("ERR Unsupported option {word}"));
                }
            }
        }
        if found.only_new && (found.only_changed || found.only_later || found.only_sooner) {
            let message = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(message.to_owned());
        }
        if found.only_later && found.only_sooner {
            let message = "ERR GT and LT options at the same time are not compatible";
            return Err(message.to_owned());
        }
        Ok(found)
    }

    /// A key that does not expire counts as one that does so last.
    fn allow(self, before: u64, after: u64) -> bool {
        !(self.only_new && before != NEVER
            || self.only_changed && before == NEVER
            || self.only_later && after <= before
            || self.only_sooner && after >= before)
    }
}

impl Turn<'_> {
    pub(super) fn expire(&mut self, args: Args<'_>, here: Here, unit: &[u8], name: &str) {
        let until = Until::parse(unit, args.get(2)).expect("the callers' units are units");
        let parsed = Conditions::parse(args.from(3))
            .and_then(|when| Ok((when, until.resolve(self.now, name, Past::Deletes)?)));
        let (when, expires) = match parsed {
            Ok(parsed) => parsed,
            Err(message) => return self.replies().error(&message),
        };
        let at = self.at(here, args.get(1));
        let mut shard = self.node.store.shard(here.slot);
        let before = shard.peek(at, |entry| entry.expires);
        if !before.is_some_and(|before| when.allow(before, expires)) {
            return self.replies().integer(0);
        }
        if expires <= self.now {
            shard.remove(at);
        } else {
            shard.expire(at, expires);
        }
        self.replies().integer(1);
    }

    pub(super) fn persist(&mut self, args: Args<'_>, here: Here) {
        let at = self.at(here, args.get(1));
        let mut shard = self.node.store.shard(here.slot);
        let ends = shard
            .peek(at, |entry| entry.expires != NEVER)
            .unwrap_or(false);
        if ends {
            shard.expire(at, NEVER);
        }
        self.replies().integer(i64::from(ends));
    }

    pub(super) fn ttl(&mut self, args: Args<'_>, here: Here, of_millis: fn(i64) -> i64) {
        let at = self.at(here, args.get(1));
        let expires = self
            .node
            .store
            .shard(here.slot)
            .peek(at, |entry| entry.expires);
        let left = match expires {
            None => -2,
            Some(NEVER) => -1,
            Some(expires) => of_millis(i64::try_from(expires - self.now).unwrap_or(i64::MAX)),
        };
        self.replies().integer(left);
    }
}
