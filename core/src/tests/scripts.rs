//! Scripts: one entry a line, with what it came to. The files are in `core/tests/scripts`.
//!
//! ```text
//! # a comment; an empty line; both are kept
//! limits sessions=2 locks=3 waiters=1 holders=2 leases=2 expiries=0      (first, if at all)
//! @1010 acquire s1 db wait=500 key=k -> queued 0 until=1510 ticket=4
//! @1500 tick -> expired s1; lost s1 db fence=3 by=expired; granted s2 db fence=4
//! ```
//! A line is `@time operation -> outcome; event; event…`. Time is that of the stamp, in term 1;
//! `stamp=2` stamps in another term. `key=` gives a request id. The operations:
//!
//! ```text
//! tick · open S [ttl= owner= delay=] · renew S… · close S
//! acquire S LOCK [mode=shared mode=2/5 wait= hold= value=] · abandon S LOCK at=ATTACHMENT
//! alone S LOCK [the same, and those of open] · all S LOCK LOCK:shared LOCK:2/5 [wait= hold=]
//! abandonall S LOCK… at= · release S LOCK fence= · value S LOCK fence= value=
//! transfer S LOCK fence= to=S · revoke LOCK reason= deadline= · break LOCK reason=
//! end S reason= · look LOCK (changes nothing; shows the view)
//! ring VERB RING … and see RING … (the rings' part: `scripts/ring.rs`)
//! ```
//! Events that only repeat the outcome (opened, granted to the caller, released by it, given up
//! by it) are not written, but their absence fails the line.
//!
//! Before each line the machine is also thawed from its own bytes, and the copy must come to the
//! same. After each line both pass the audit. `UPDATE=1` writes what came out into the files.

mod ops;
mod ring;
mod text;

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, fs, path::Path, path::PathBuf};

use super::bytes;
use crate::machine::Bounds;
use crate::*;
pub(super) use text::kind_of;

#[test]
fn scripts_come_out_as_written() {
    let mut wrong = Vec::new();
    let files = files();
    assert!(files.len() >= 8, "the scripts are not where they should be");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let out = run(&file, &text);
        if out == text {
            continue;
        }
        if env::var("UPDATE").is_ok() {
            fs::write(&file, &out).unwrap();
            continue;
        }
        for (was, is) in text.lines().zip(out.lines()).filter(|(was, is)| was != is) {
            wrong.push(format!("{}\n- {was}\n+ {is}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 accepts:\n{}", wrong.join("\n"));
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let rows = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = rows.map(|row| row.unwrap().path()).collect();
    files.sort();
    files
}

/// The script again, each line with what it came to.
fn run(file: &Path, text: &str) -> String {
    let mut machine = Machine::new();
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", file.display(), number + 1);
        if let Some(limits) = line.strip_prefix("limits ") {
            machine.bounds = bounds(&words(limits));
        }
        if !line.starts_with('@') {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let step = line.split("->").next().unwrap().trim();
        let mut copy = Machine::thaw(&bytes(&machine)).unwrap();
        copy.bounds = machine.bounds;
        let came = self::step(&mut machine, step, &place);
        assert_eq!(self::step(&mut copy, step, &place), came, "{place}: thawed");
        assert_eq!(machine.audit(), Ok(()), "{place}");
        assert_eq!(bytes(&copy), bytes(&machine), "{place}");
        out.push_str(&format!("{step} -> {came}\n"));
    }
    out
}

/// A line's words: first the plain ones, then `name=value`.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl Words<'_> {
    fn number(&self, name: &str) -> Option<u64> {
        let (_, value) = self.named.iter().find(|(n, _)| *n == name)?;
        Some(value.parse().unwrap())
    }

    fn text(&self, name: &str) -> Option<&str> {
        let named = self.named.iter().find(|(n, _)| *n == name);
        named.map(|(_, value)| *value)
    }

    fn session(&self, at: usize) -> SessionId {
        session_of(self.plain[at])
    }

    fn lock(&self) -> LockName {
        LockName::parse(self.plain[2]).unwrap()
    }

    fn new_session(&self) -> NewSession {
        NewSession {
            session: self.session(1),
            ttl: Ttl::parse(self.number("ttl").unwrap_or(10_000)).unwrap(),
            owner: Owner::parse(self.text("owner").unwrap_or("")).unwrap(),
            lock_delay_ms: self.number("delay").unwrap_or(0),
            metadata: String::new(),
        }
    }
}

fn words(line: &str) -> Words<'_> {
    let (named, plain): (Vec<_>, Vec<_>) = line.split_whitespace().partition(|w| w.contains('='));
    Words {
        plain,
        named: named.iter().map(|w| w.split_once('=').unwrap()).collect(),
    }
}

fn session_of(name: &str) -> SessionId {
    let number: u128 = name.strip_prefix('s').unwrap().parse().unwrap();
    SessionId::from_bits(number)
}

fn bounds(words: &Words<'_>) -> Bounds {
    let most = Bounds::default();
    let bound = |name, most| {
        words
            .number(name)
            .map_or(most, |n| usize::try_from(n).unwrap())
    };
    Bounds {
        sessions: bound("sessions", most.sessions),
        locks: bound("locks", most.locks),
        waiters_per_lock: bound("waiters", most.waiters_per_lock),
        holders_per_lock: bound("holders", most.holders_per_lock),
        leases_per_session: bound("leases", most.leases_per_session),
        expiries_per_entry: bound("expiries", most.expiries_per_entry),
    }
}

fn step(machine: &mut Machine, line: &str, place: &str) -> String {
    let words = words(line);
    let at: u64 = words.plain[0].strip_prefix('@').unwrap().parse().unwrap();
    let words = Words {
        plain: words.plain[1..].to_vec(),
        ..words
    };
    if words.plain[0] == "look" {
        let view = machine.lock(&LockName::parse(words.plain[1]).unwrap());
        return view.map_or("free".to_string(), |view| text::view(&view));
    }
    if words.plain[0] == "see" {
        return ring::see(machine, &words);
    }
    let op = ops::op(&words, place);
    let request = words.text("key").map(|key| RequestId::of_key(key).unwrap());
    let stamped = words.number("stamp").unwrap_or(1);
    let mut entry = Entry::tick(stamped, ClusterTime(at), 0);
    entry.commands = op.into_iter().map(|op| Command { request, op }).collect();
    let applied = machine.apply(1, &entry);
    if applied.void {
        return "void".to_string();
    }
    let mut came: Vec<String> = Vec::new();
    let reply = applied.replies.first();
    if let Some(reply) = reply {
        let tells = |e: &&Event| e.revision == reply.revision && text::repeats(&e.what, reply);
        let told = applied.events.iter().filter(tells).count();
        let how = match (reply.replayed, told, &reply.outcome) {
            (true, 0, _) => "replayed ",
            // Only a lease that the session had already is granted without an event.
            (false, 0, Outcome::Granted(_)) => "again ",
            (false, 1, _) | (false, _, Outcome::GrantedAll(_)) => "",
            (false, 0, outcome) if !text::needs_event(outcome) => "",
            other => panic!("{place}: told {told} times: {other:?}"),
        };
        came.push(format!("{how}{}", text::outcome(&reply.outcome)));
    }
    for event in &applied.events {
        if !reply.is_some_and(|r| event.revision == r.revision && text::repeats(&event.what, r)) {
            came.push(text::event(&event.what));
        }
    }
    if came.is_empty() {
        came.push("nothing".to_string());
    }
    came.join("; ")
}
