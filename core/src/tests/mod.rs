//! Tests of the whole machine. Each file says what it proves; the scripts are in `tests/scripts`.

mod fairness;
mod forgetting;
mod naive;
mod planted;
mod random;
mod rings;
mod scripts;
mod snapshots;
mod views;

use std::string::String;
use std::vec::Vec;

use crate::*;

fn session(number: u128) -> SessionId {
    SessionId::from_bits(number << 96)
}

fn lock(name: &str) -> LockName {
    LockName::parse(name).unwrap()
}

fn new_session(id: SessionId, ttl_ms: u64) -> NewSession {
    NewSession {
        session: id,
        ttl: Ttl::parse(ttl_ms).unwrap(),
        owner: Owner::parse("tests").unwrap(),
        lock_delay_ms: 0,
        metadata: String::new(),
    }
}

fn open(id: SessionId, ttl_ms: u64) -> Op {
    Op::Open(new_session(id, ttl_ms))
}

fn acquire(id: SessionId, name: &str, wait_ms: u64) -> Op {
    Op::Acquire {
        by: Acquirer::Session(id),
        lock: lock(name),
        mode: Mode::Exclusive,
        wait_ms,
        max_hold_ms: None,
        value: String::new(),
    }
}

fn acquire_alone(id: SessionId, name: &str, wait_ms: u64) -> Op {
    Op::Acquire {
        by: Acquirer::OneLease(new_session(id, 10_000)),
        lock: lock(name),
        mode: Mode::Exclusive,
        wait_ms,
        max_hold_ms: None,
        value: String::new(),
    }
}

fn release(id: SessionId, name: &str, fence: u64) -> Op {
    Op::Release {
        session: id,
        lock: lock(name),
        fence: Fence::claimed(fence),
    }
}

/// An entry of term 1 with these operations, none of them under a request id.
fn entry(at: u64, ops: impl IntoIterator<Item = Op>) -> Entry {
    let commands = ops.into_iter().map(|op| Command { request: None, op });
    Entry {
        commands: commands.collect(),
        ..Entry::tick(1, ClusterTime(at), 0)
    }
}

/// Applies one operation under a request id and returns what it came to.
fn ask(machine: &mut Machine, at: u64, request: u128, op: Op) -> Reply {
    let mut entry = entry(at, [op]);
    entry.commands[0].request = Some(RequestId::from_bits(request));
    machine.apply(1, &entry).replies.remove(0)
}

fn bytes(machine: &Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sink = |chunk: &[u8]| bytes.extend_from_slice(chunk);
    machine.freeze().encode(&mut sink);
    bytes
}
