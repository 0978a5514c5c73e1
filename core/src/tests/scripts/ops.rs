//! Operations as the scripts write them.

use std::string::{String, ToString};
use std::vec::Vec;

use super::{Words, ring, session_of};
use crate::*;

/// The operation of a line; none for a tick.
pub(super) fn op(words: &Words<'_>, place: &str) -> Option<Op> {
    Some(match words.plain[0] {
        "tick" => return None,
        "open" => Op::Open(words.new_session()),
        "renew" => Op::Renew {
            sessions: words.plain[1..]
                .iter()
                .map(|name| session_of(name))
                .collect(),
        },
        "close" => Op::Close {
            session: words.session(1),
        },
        "acquire" => acquire(words, Acquirer::Session(words.session(1))),
        "alone" => acquire(words, Acquirer::OneLease(words.new_session())),
        "all" => Op::AcquireAll {
            session: words.session(1),
            wants: wants(words),
            wait_ms: words.number("wait").unwrap_or(0),
            max_hold_ms: words.number("hold"),
        },
        "abandon" => Op::Abandon {
            session: words.session(1),
            lock: words.lock(),
            attachment: words.number("at").unwrap(),
        },
        "abandonall" => Op::AbandonAll {
            session: words.session(1),
            wants: wants(words),
            attachment: words.number("at").unwrap(),
        },
        "release" => Op::Release {
            session: words.session(1),
            lock: words.lock(),
            fence: fence(words),
        },
        "value" => Op::SetValue {
            session: words.session(1),
            lock: words.lock(),
            fence: fence(words),
            value: value(words),
        },
        "transfer" => Op::Transfer {
            session: words.session(1),
            lock: words.lock(),
            fence: fence(words),
            to: session_of(words.text("to").unwrap()),
        },
        "revoke" => Op::Revoke {
            lock: super::super::lock(words.plain[1]),
            reason: reason(words),
            deadline_ms: words.number("deadline").unwrap(),
        },
        "break" => Op::Break {
            lock: super::super::lock(words.plain[1]),
            reason: reason(words),
        },
        "end" => Op::EndSession {
            session: words.session(1),
            reason: reason(words),
        },
        "ring" => Op::Ring(ring::op(words, place)),
        other => panic!("{place}: no operation is called {other}"),
    })
}

fn acquire(words: &Words<'_>, by: Acquirer) -> Op {
    Op::Acquire {
        by,
        lock: words.lock(),
        mode: words.text("mode").map_or(Mode::Exclusive, mode_of),
        wait_ms: words.number("wait").unwrap_or(0),
        max_hold_ms: words.number("hold"),
        value: value(words),
    }
}

/// `exclusive`, `shared` or `2/5`.
fn mode_of(text: &str) -> Mode {
    match text {
        "exclusive" => Mode::Exclusive,
        "shared" => Mode::Shared,
        permits => {
            let (count, of) = permits.split_once('/').unwrap();
            Mode::Permits {
                count: count.parse().unwrap(),
                of: of.parse().unwrap(),
            }
        }
    }
}

/// Locks, each with its mode behind a colon unless it is exclusive.
fn wants(words: &Words<'_>) -> Wants {
    let wants = words.plain[2..].iter().map(|word| {
        let (lock, mode) = word.split_once(':').unwrap_or((word, "exclusive"));
        Want {
            lock: super::super::lock(lock),
            mode: mode_of(mode),
        }
    });
    Wants::parse(wants.collect::<Vec<_>>()).unwrap()
}

fn fence(words: &Words<'_>) -> Fence {
    Fence::claimed(words.number("fence").unwrap())
}

/// `value=x*1025` is that many of it.
fn value(words: &Words<'_>) -> String {
    let value = words.text("value").unwrap_or_default();
    match value.split_once('*') {
        Some((text, times)) => text.repeat(times.parse().unwrap()),
        None => value.to_string(),
    }
}

fn reason(words: &Words<'_>) -> Reason {
    Reason::parse(words.text("reason").unwrap()).unwrap()
}
