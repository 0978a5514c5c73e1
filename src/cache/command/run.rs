//! One request: found, checked, routed, done.
//!
//! The order of the checks is Redis's, for clients tell errors apart: does the command exist, has
//! it the right number of words, has the client said who it is, whose slot is it; only then is it
//! looked at closely.

use super::{Command, Effect, Keys, Spec, feature_of, find};
use crate::cache::client::{Client, Door};
use crate::cache::node::Node;
use crate::cache::resp::{Args, Replies};
use crate::cache::slot::{self, SLOTS};
use crate::cache::store::At;
use crate::cache::view::{Place, View};

pub(super) const NO_INTEGER: &str = "ERR value is not an integer or out of range";
const DOWN: &str = "CLUSTERDOWN The cluster is down";

/// What requests are answered with while one view of the ring holds.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) node: &'a Node,
    pub(crate) view: &'a View,
    pub(crate) client: &'a mut Client,
    /// Where the replies go.
    pub(crate) out: &'a mut Vec<u8>,
    /// The slots that were answered for, for the audit.
    pub(crate) touched: &'a mut Vec<u16>,
    /// Whether this member may answer for its slots.
    pub(crate) serves: bool,
    /// The wall clock, in milliseconds.
    pub(crate) now: u64,
}

/// Whether a request is looked at for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    First,
    /// The ring has been waited for, as long as that is of use: as it is now, it is.
    Routed,
    /// What was missing has been asked for elsewhere: what is not here now is nowhere.
    Second,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Done {
    Answered,
    /// Answered, and the client wants no more.
    Close,
    /// Nothing was done or answered yet.
    Wait(Wait),
}

/// What a request waits for.
#[derive(Debug)]
pub(crate) enum Wait {
    /// Values that others may have.
    Values(Vec<Missing>),
    /// Other members, who own its keys.
    Owners,
    /// Its slot, which is on its way to this member.
    Arrival(u16),
    /// The member that it is about to be sent to, until that one has a table of this epoch.
    Hearing { peer: String, epoch: u64 },
}

/// A key that is not here, and may be elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) slot: u16,
    pub(crate) epoch: u64,
    pub(crate) key: Box<[u8]>,
    pub(crate) reads_through: bool,
}

/// A slot that this member serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    pub(super) slot: u16,
    pub(super) epoch: u64,
    is_warm: bool,
}

enum Route {
    Here(Here),
    Wait(Wait),
    Refused,
}

impl Turn<'_> {
    pub(super) fn replies(&mut self) -> Replies<'_> {
        Replies::new(self.out, self.client.proto)
    }

    pub(super) fn at<'k>(&self, here: Here, key: &'k [u8]) -> At<'k> {
        self.node.store.at(here.slot, here.epoch, self.now, key)
    }

    pub(super) fn too_large(&mut self) {
        self.replies()
            .error("OOM the value is larger than a part of the cache");
    }

    pub(super) fn wrong_words(&mut self, name: &str) {
        let message = format!("ERR wrong number of arguments for '{name}' command");
        self.replies().error(&message);
    }

    /// Does what the request says.
    pub(crate) fn run(&mut self, args: Args<'_>, pass: Pass) -> Done {
        let Some(spec) = find(args.get(0)) else {
            self.unknown(args);
            return Done::Answered;
        };
        if !spec.takes(args.len()) {
            self.wrong_words(spec.name);
            return Done::Answered;
        }
        let opens = matches!(
            spec.command,
            Command::Auth | Command::Hello | Command::Quit | Command::Reset
        );
        if !self.client.is_known && !opens {
            self.replies().error("NOAUTH Authentication required.");
            return Done::Answered;
        }
        if spec.keys == Keys::No {
            return self.run_keyless(spec, args);
        }
        match self.route(spec, args, pass) {
            Route::Refused => Done::Answered,
            Route::Wait(wait) => Done::Wait(wait),
            Route::Here(here) => {
                if pass != Pass::Second
                    && (here.is_warm || (spec.reads_through && self.node.origin.is_some()))
                {
                    let missing = self.missing(spec, args, here);
                    if !missing.is_empty() {
                        return Done::Wait(Wait::Values(missing));
                    }
                }
                self.touched.push(here.slot);
                self.run_here(spec.command, args, here);
                Done::Answered
            }
        }
    }

    fn unknown(&mut self, args: Args<'_>) {
        let name = String::from_utf8_lossy(args.get(0))
            .chars()
            .take(128)
            .collect::<String>();
        let message = match feature_of(args.get(0)) {
            Some(feature) => format!("ERR unknown command '{name}': this cache has no {feature}"),
            None => {
                let mut said = String::new();
                for word in args.from(1).iter() {
                    let room = 128_usize.saturating_sub(said.len());
                    if room == 0 {
                        break;
                    }
                    let word = String::from_utf8_lossy(word);
                    said.push('\'');
                    said.extend(word.chars().take(room));
                    said.push_str("' ");
                }
                format!("ERR unknown command '{name}', with args beginning with: {said}")
            }
        };
        self.replies().error(&message);
    }

    /// Who does it.
    fn route(&mut self, spec: &Spec, args: Args<'_>, pass: Pass) -> Route {
        let mut words = spec.key_words(args.len());
        let first = words.next().expect("the arity asks for one key at least");
        let slot = slot::of(args.get(first));
        if words.any(|word| slot::of(args.get(word)) != slot) {
            if self.client.door == Door::Proxy {
                return Route::Wait(Wait::Owners);
            }
            let message = "CROSSSLOT Keys in request don't hash to the same slot";
            self.replies().error(message);
            return Route::Refused;
        }
        match self.view.place(slot) {
            Place::Here { is_warm } if self.serves => Route::Here(Here {
                slot,
                epoch: self.view.epoch_of(slot),
                is_warm,
            }),
            // A proxy's client need not know of rings: whoever serves the slot is waited for.
            _ if self.client.door == Door::Proxy => Route::Wait(Wait::Owners),
            Place::Here { .. } | Place::Nowhere => self.refuse(DOWN),
            Place::Coming if self.is_patient(pass) => Route::Wait(Wait::Arrival(slot)),
            Place::Coming => {
                let message = format!("TRYAGAIN slot {slot} is being handed over to this node");
                self.refuse(&message)
            }
            Place::At(member) if self.view.is_vouched() => {
                let (peer, epoch) = (&self.view.member(member).peer, self.view.epoch_of(slot));
                if self.is_patient(pass) && self.node.peers.has_heard_of(peer) < epoch {
                    let peer = peer.clone();
                    return Route::Wait(Wait::Hearing { peer, epoch });
                }
                self.node.figures.redirected();
                let message = format!("MOVED {slot} {}", self.view.member(member).resp);
                self.refuse(&message)
            }
            Place::At(_) => self.refuse(DOWN),
        }
    }

    /// Whether the request may wait for the ring; `patience.rs` says why it should.
    fn is_patient(&self, pass: Pass) -> bool {
        self.client.door == Door::Cluster && pass == Pass::First
    }

    fn refuse(&mut self, message: &str) -> Route {
        self.replies().error(message);
        Route::Refused
    }

    /// The keys that are not here.
    fn missing(&self, spec: &Spec, args: Args<'_>, here: Here) -> Vec<Missing> {
        let shard = self.node.store.shard(here.slot);
        let keys = spec.key_words(args.len()).map(|word| args.get(word));
        let absent = keys.filter(|key| !shard.has(self.at(here, key)));
        let missing = absent.map(|key| Missing {
            slot: here.slot,
            epoch: here.epoch,
            key: key.into(),
            reads_through: spec.reads_through,
        });
        missing.collect()
    }

    fn run_here(&mut self, command: Command, args: Args<'_>, here: Here) {
        match command {
            Command::Get => self.get(args, here),
            Command::Set => self.set(args, here),
            Command::MGet => self.mget(args, here),
            Command::MSet => self.mset(args, here),
            Command::SetEx => self.set_for(args, here, b"ex", "setex"),
            Command::PSetEx => self.set_for(args, here, b"px", "psetex"),
            Command::SetNx => self.set_nx(args, here),
            Command::GetSet => self.get_set(args, here),
            Command::GetDel => self.get_del(args, here),
            Command::GetEx => self.get_ex(args, here),
            Command::Append => self.append(args, here),
            Command::StrLen => self.str_len(args, here),
            Command::Incr => self.incr(args, here, 1),
            Command::Decr => self.incr(args, here, -1),
            Command::IncrBy => self.incr_by(args, here),
            Command::DecrBy => self.decr_by(args, here),
            Command::Del | Command::Unlink => self.del(args, here),
            Command::Exists => self.exists(args, here),
            Command::Type => self.type_of(args, here),
            Command::Expire => self.expire(args, here, b"ex", "expire"),
            Command::PExpire => self.expire(args, here, b"px", "pexpire"),
            Command::ExpireAt => self.expire(args, here, b"exat", "expireat"),
            Command::PExpireAt => self.expire(args, here, b"pxat", "pexpireat"),
            Command::Persist => self.persist(args, here),
            Command::Ttl => self.ttl(args, here, |millis| (millis + 500) / 1000),
            Command::PTtl => self.ttl(args, here, |millis| millis),
            Command::Auth
            | Command::Client
            | Command::Cluster
            | Command::Commands
            | Command::Config
            | Command::DbSize
            | Command::Echo
            | Command::FlushAll
            | Command::Hello
            | Command::Info
            | Command::Ping
            | Command::Quit
            | Command::ReadOnly
            | Command::ReadWrite
            | Command::Reset
            | Command::Scan
            | Command::Select => unreachable!("{command:?} has no keys in the table"),
        }
    }

    fn run_keyless(&mut self, spec: &Spec, args: Args<'_>) -> Done {
        // What is asked of all keys is asked of all owners.
        if self.client.door == Door::Proxy && spec.effect != Effect::No {
            return Done::Wait(Wait::Owners);
        }
        match spec.command {
            Command::Ping => self.ping(args),
            Command::Echo => self.replies().bulk(args.get(1)),
            Command::Hello => self.hello(args),
            Command::Auth => self.auth(args),
            Command::Select => self.select(args),
            Command::Quit => {
                self.replies().ok();
                return Done::Close;
            }
            Command::Reset => self.reset(),
            Command::Client => self.client_command(args),
            Command::Commands => self.command_command(args),
            Command::Info => self.info(args),
            Command::Config => self.config(args),
            Command::ReadOnly | Command::ReadWrite => self.replies().ok(),
            Command::Cluster => self.cluster(args),
            Command::DbSize => {
                let mine = (0..SLOTS).filter_map(|slot| u16::try_from(slot).ok());
                let mine = mine.filter(|slot| self.view.epoch_if_mine(*slot).is_some());
                let keys = mine.map(|slot| self.node.store.keys_in(slot)).sum();
                self.replies().count(keys);
            }
            Command::Scan => return self.scan(args),
            Command::FlushAll => self.flush_all(args),
            Command::Get
            | Command::Set
            | Command::MGet
            | Command::MSet
            | Command::SetEx
            | Command::PSetEx
            | Command::SetNx
            | Command::GetSet
            | Command::GetDel
            | Command::GetEx
            | Command::Append
            | Command::StrLen
            | Command::Incr
            | Command::Decr
            | Command::IncrBy
            | Command::DecrBy
            | Command::Del
            | Command::Unlink
            | Command::Exists
            | Command::Type
            | Command::Expire
            | Command::PExpire
            | Command::ExpireAt
            | Command::PExpireAt
            | Command::Persist
            | Command::Ttl
            | Command::PTtl => unreachable!("{:?} has keys in the table", spec.command),
        }
        Done::Answered
    }
}
