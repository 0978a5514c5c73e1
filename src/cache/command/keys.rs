//! Keys, whatever is under them.

use super::Turn;
use super::expiry::SYNTAX;
use super::glob;
use super::run::{Done, Here};
use crate::cache::client::Door;
use crate::cache::resp::{Args, integer};
use crate::cache::store::{Cursor, Stride};

/// Keys that one `SCAN` looks at, if not said and at most: a client's number must not make one
/// answer hold everything up.
const SCAN_COUNT: usize = 10;
const SCAN_COUNT_MAX: usize = 10_000;

impl Turn<'_> {
    pub(super) fn del(&mut self, args: Args<'_>, here: Here) {
        let mut shard = self.node.store.shard(here.slot);
        let mut removed = 0;
        for key in args.from(1).iter() {
            removed += i64::from(shard.remove(self.at(here, key)));
        }
        self.replies().integer(removed);
    }

    pub(super) fn exists(&mut self, args: Args<'_>, here: Here) {
        let mut shard = self.node.store.shard(here.slot);
        let mut found = 0;
        for key in args.from(1).iter() {
            found += i64::from(shard.read(self.at(here, key), |_| ()).is_some());
        }
        self.replies().integer(found);
    }

    pub(super) fn type_of(&mut self, args: Args<'_>, here: Here) {
        let at = self.at(here, args.get(1));
        let is_there = self.node.store.shard(here.slot).has(at);
        self.replies()
            .simple(if is_there { "string" } else { "none" });
    }

    pub(super) fn flush_all(&mut self, args: Args<'_>) {
        match args.try_get(1).map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"async" | b"sync") if args.len() <= 2 => {
                self.node.flush();
                self.replies().ok();
            }
            _ => self.replies().error(SYNTAX),
        }
    }

    pub(super) fn scan(&mut self, args: Args<'_>) -> Done {
        let cursor = std::str::from_utf8(args.get(1))
            .ok()
            .and_then(|text| text.parse().ok());
        let Some(cursor) = cursor.and_then(Cursor::of_number) else {
            self.replies().error("ERR invalid cursor");
            return Done::Answered;
        };
        match ScanOptions::parse(args.from(2)) {
            Ok(options) => self.scan_from(cursor, options),
            Err(message) => self.replies().error(message),
        }
        Done::Answered
    }

    fn scan_from(&mut self, cursor: Cursor, options: ScanOptions<'_>) {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let view = self.view;
        // A member walks over its own slots and leaves the rest of the way to their owners; a
        // client of the cluster asks each of them anyway.
        let elsewhere = match self.client.door {
            Door::Cluster => Stride::Skip,
            Door::Proxy | Door::Peer => Stride::Stop,
        };
        let next = self.node.store.walk(
            cursor,
            options.count,
            self.now,
            |slot| view.epoch_if_mine(slot).map_or(elsewhere, Stride::Tell),
            |key| {
                let fits = options
                    .pattern
                    .is_none_or(|pattern| glob::matches(pattern, key));
                if fits && options.strings {
                    found.push(key.to_vec());
                }
            },
        );
        let next = next.map_or(0, Cursor::number).to_string();
        let mut replies = self.replies();
        replies.array(2);
        replies.bulk(next.as_bytes());
        replies.array(found.len());
        for key in found {
            replies.bulk(&key);
        }
    }
}

struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    /// Whether strings are asked for, which is all that there is.
    strings: bool,
}

impl<'a> ScanOptions<'a> {
    fn parse(words: Args<'a>) -> Result<Self, &'static str> {
        let mut options = Self {
            pattern: None,
            count: SCAN_COUNT,
            strings: true,
        };
        for nth in (0..words.len()).step_by(2) {
            let value = words.try_get(nth + 1).ok_or(SYNTAX)?;
            match words.get(nth).to_ascii_lowercase().as_slice() {
                b"match" => options.pattern = Some(value),
                b"count" => {
                    let count = integer(value).ok_or(super::run::NO_INTEGER)?;
                    let count = usize::try_from(count).ok().filter(|count| *count > 0);
                    options.count = count.ok_or(SYNTAX)?.min(SCAN_COUNT_MAX);
                }
                b"type" => options.strings = value.eq_ignore_ascii_case(b"string"),
                _ => return Err(SYNTAX),
            }
        }
        Ok(options)
    }
}
