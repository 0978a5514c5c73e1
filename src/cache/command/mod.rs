//! The commands: what each is called, how many words it takes, and where its keys are.
//!
//! One table says it all: it is what a name is looked up in, what the arity is checked against,
//! what a request is routed by, and what `COMMAND` tells clients that route by themselves.

mod cluster;
mod connection;
mod expiry;
mod glob;
mod keys;
mod numbers;
mod run;
mod server;
mod strings;

pub(crate) use run::{Done, Missing, Pass, Turn, Wait};

/// Which command a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Append,
    Auth,
    Client,
    Cluster,
    Commands,
    Config,
    DbSize,
    Decr,
    DecrBy,
    Del,
    Echo,
    Exists,
    Expire,
    ExpireAt,
    FlushAll,
    Get,
    GetDel,
    GetEx,
    GetSet,
    Hello,
    Incr,
    IncrBy,
    Info,
    MGet,
    MSet,
    PExpire,
    PExpireAt,
    PSetEx,
    PTtl,
    Persist,
    Ping,
    Quit,
    ReadOnly,
    ReadWrite,
    Reset,
    Scan,
    Select,
    Set,
    SetEx,
    SetNx,
    StrLen,
    Ttl,
    Type,
    Unlink,
}

/// Where the keys of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    No,
    /// The word after the name.
    One,
    /// All words after the name.
    All,
    /// Every other word after the name, values between them.
    Pairs,
}

/// What a command does to its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It has none to do with keys.
    No,
    Reads,
    Writes,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) command: Command,
    pub(crate) name: &'static str,
    /// Words with the name; negative: at least so many.
    pub(crate) arity: i32,
    pub(crate) keys: Keys,
    pub(crate) effect: Effect,
    /// Whether a value that is not here is asked for at the origin.
    pub(crate) reads_through: bool,
}

const fn row(command: Command, name: &'static str, arity: i32, keys: Keys, effect: Effect) -> Spec {
    let reads_through = matches!(command, Command::Get | Command::MGet | Command::GetEx);
    Spec {
        command,
        name,
        arity,
        keys,
        effect,
        reads_through,
    }
}

/// Every command, in the order of their names.
pub(crate) static TABLE: [Spec; 44] = {
    use Command as C;
    use Effect::{No as Aside, Reads, Writes};
    use Keys::{All, No, One, Pairs};
    [
        row(C::Append, "append", 3, One, Writes),
        row(C::Auth, "auth", -2, No, Aside),
        row(C::Client, "client", -2, No, Aside),
        row(C::Cluster, "cluster", -2, No, Aside),
        row(C::Commands, "command", -1, No, Aside),
        row(C::Config, "config", -2, No, Aside),
        row(C::DbSize, "dbsize", 1, No, Reads),
        row(C::Decr, "decr", 2, One, Writes),
        row(C::DecrBy, "decrby", 3, One, Writes),
        row(C::Del, "del", -2, All, Writes),
        row(C::Echo, "echo", 2, No, Aside),
        row(C::Exists, "exists", -2, All, Reads),
        row(C::Expire, "expire", -3, One, Writes),
        row(C::ExpireAt, "expireat", -3, One, Writes),
        row(C::FlushAll, "flushall", -1, No, Writes),
        row(C::Get, "get", 2, One, Reads),
        row(C::GetDel, "getdel", 2, One, Writes),
        row(C::GetEx, "getex", -2, One, Writes),
        row(C::GetSet, "getset", 3, One, Writes),
        row(C::Hello, "hello", -1, No, Aside),
        row(C::Incr, "incr", 2, One, Writes),
        row(C::IncrBy, "incrby", 3, One, Writes),
        row(C::Info, "info", -1, No, Aside),
        row(C::MGet, "mget", -2, All, Reads),
        row(C::MSet, "mset", -3, Pairs, Writes),
        row(C::Persist, "persist", 2, One, Writes),
        row(C::PExpire, "pexpire", -3, One, Writes),
        row(C::PExpireAt, "pexpireat", -3, One, Writes),
        row(C::Ping, "ping", -1, No, Aside),
        row(C::PSetEx, "psetex", 4, One, Writes),
        row(C::PTtl, "pttl", 2, One, Reads),
        row(C::Quit, "quit", -1, No, Aside),
        row(C::ReadOnly, "readonly", 1, No, Aside),
        row(C::ReadWrite, "readwrite", 1, No, Aside),
        row(C::Reset, "reset", 1, No, Aside),
        row(C::Scan, "scan", -2, No, Reads),
        row(C::Select, "select", 2, No, Aside),
        row(C::Set, "set", -3, One, Writes),
        row(C::SetEx, "setex", 4, One, Writes),
        row(C::SetNx, "setnx", 3, One, Writes),
        row(C::StrLen, "strlen", 2, One, Reads),
        row(C::Ttl, "ttl", 2, One, Reads),
        row(C::Type, "type", 2, One, Reads),
        row(C::Unlink, "unlink", -2, All, Writes),
    ]
};

/// The longest name in the table.
const NAME_BYTES_MAX: usize = 16;

/// The row of a name, in whatever case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    static GET: &Spec = place(Command::Get);
    static SET: &Spec = place(Command::Set);
    // Nearly all requests are one of these two.
    match name {
        b"GET" | b"get" => return Some(GET),
        b"SET" | b"set" => return Some(SET),
        _ => {}
    }
    let mut room = [0; NAME_BYTES_MAX];
    let lower = room.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let at = TABLE.binary_search_by(|spec| spec.name.as_bytes().cmp(lower));
    at.ok().map(|at| &TABLE[at])
}

const fn place(command: Command) -> &'static Spec {
    let mut at = 0;
    while at < TABLE.len() {
        if TABLE[at].command as u8 == command as u8 {
            return &TABLE[at];
        }
        at += 1;
    }
    panic!("every command is in the table");
}

impl Spec {
    /// Whether a request of so many words may be of this command.
    pub(crate) fn takes(&self, words: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        let pairs = self.keys != Keys::Pairs || words % 2 == 1;
        pairs && (words == arity || (self.arity < 0 && words > arity))
    }

    /// Which words of a request are keys: the first, how many words lie from one to the next, and
    /// one past the last.
    pub(crate) fn key_words(&self, words: usize) -> std::iter::StepBy<std::ops::Range<usize>> {
        match self.keys {
            Keys::No => (0..0).step_by(1),
            Keys::One => (1..2).step_by(1),
            Keys::All => (1..words).step_by(1),
            Keys::Pairs => (1..words).step_by(2),
        }
    }
}

/// What is left out on purpose, by the name of its feature.
pub(crate) fn feature_of(name: &[u8]) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    Some(match lower.as_slice() {
        b"multi" | b"exec" | b"discard" | b"watch" | b"unwatch" => "transactions",
        b"eval" | b"evalsha" | b"eval_ro" | b"evalsha_ro" | b"script" | b"fcall" | b"fcall_ro"
        | b"function" => "scripts",
        b"subscribe" | b"unsubscribe" | b"psubscribe" | b"punsubscribe" | b"publish"
        | b"ssubscribe" | b"sunsubscribe" | b"spublish" | b"pubsub" => "publish and subscribe",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_name_is_found_in_any_case() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        for spec in &TABLE {
            for name in [spec.name.to_owned(), spec.name.to_uppercase()] {
                assert_eq!(find(name.as_bytes()).unwrap().command, spec.command);
            }
            assert!(spec.name.len() <= NAME_BYTES_MAX);
        }
        assert!(find(b"gett").is_none());
        assert!(find(&[b'x'; 99]).is_none());
    }

    #[test]
    fn arity_and_keys_are_as_redis_has_them() {
        let mset = find(b"mset").unwrap();
        assert!(mset.takes(3) && mset.takes(5) && !mset.takes(4) && !mset.takes(1));
        assert_eq!(mset.key_words(5).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(
            find(b"del").unwrap().key_words(3).collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(find(b"get").unwrap().takes(2) && !find(b"get").unwrap().takes(3));
    }
}
