//! What the machine costs: time per command, time to freeze, bytes per lease.
//!
//! ```text
//! cargo run --release -p lockring-core --example measure
//! ```
//! Times are medians of rounds on whatever else the computer does. Bytes per lease are the growth
//! of this process's resident memory over the leases that it then holds: everything that a lease
//! needs (row, name, index, and its share of sessions and remembered outcomes).

#![allow(clippy::print_stdout)]

use std::time::Instant;

use lockring_core::{
    Acquirer, Applied, ClusterTime, Command, Entry, Fence, LockName, Machine, Mode, NewSession, Op,
    Outcome, Owner, RequestId, SessionId, Ttl,
};

/// Commands in one entry: what a leader under load puts together.
const BATCH: usize = 64;

fn main() {
    memory(100_000, 100);
    memory(1_000_000, 1_000);
    speed_when_small();
    let mut machine = held(1_000_000, 1_000);
    println!("with a million leases held:");
    println!("  {}", pairs(&mut machine, 200_000, 1 << 40));
    freeze(&mut machine);
    thaw(&machine);
}

fn speed_when_small() {
    println!("with a hundred leases held:");
    println!("  {}", pairs(&mut held(100, 10), 200_000, 1 << 40));
    println!("  {}", pairs_alone(&mut held(100, 10), 200_000, 1 << 60));
}

/// Acquires and releases of distinct locks, none of them held, as one session after another.
fn pairs(machine: &mut Machine, pairs: usize, first_request: u128) -> String {
    let mut acquires = Vec::new();
    let mut releases = Vec::new();
    let mut request = first_request;
    for start in (0..pairs).step_by(BATCH) {
        let names: Vec<_> = (start..start + BATCH).map(|n| name("free", n)).collect();
        let ops = names
            .iter()
            .enumerate()
            .map(|(n, lock)| acquire(n % 10, lock));
        let entry = entry(machine, ops, &mut request);
        let begun = Instant::now();
        let applied = machine.apply(1, &entry);
        acquires.push(begun.elapsed().as_nanos() / BATCH as u128);
        let ops = self::releases(&names, &applied);
        let entry = self::entry(machine, ops.into_iter(), &mut request);
        let begun = Instant::now();
        machine.apply(1, &entry);
        releases.push(begun.elapsed().as_nanos() / BATCH as u128);
    }
    format!(
        "acquire {} ns, release {} ns",
        median(&mut acquires),
        median(&mut releases)
    )
}

/// Acquires and releases without a session: one is opened and ended with each.
fn pairs_alone(machine: &mut Machine, pairs: usize, first_request: u128) -> String {
    let mut times = Vec::new();
    let mut request = first_request;
    for start in (0..pairs).step_by(BATCH) {
        let names: Vec<_> = (start..start + BATCH).map(|n| name("free", n)).collect();
        let ops = names.iter().enumerate().map(|(n, lock)| {
            let by = Acquirer::OneLease(new_session(1_000_000 + start + n));
            let lock = lock.clone();
            ask(by, lock)
        });
        let entry = entry(machine, ops, &mut request);
        let begun = Instant::now();
        let applied = machine.apply(1, &entry);
        let acquired = begun.elapsed();
        let ops = releases(&names, &applied);
        let entry = self::entry(machine, ops.into_iter(), &mut request);
        let begun = Instant::now();
        machine.apply(1, &entry);
        let both = acquired + begun.elapsed();
        times.push(both.as_nanos() / (2 * BATCH as u128));
    }
    format!("without a session {} ns each", median(&mut times))
}

/// The release of each lock that was just granted.
fn releases(names: &[LockName], applied: &Applied) -> Vec<Op> {
    let granted = names.iter().zip(&applied.replies);
    let release = granted.map(|(lock, reply)| {
        let Outcome::Granted(grant) = &reply.outcome else {
            panic!("nobody else holds {lock}: {reply:?}");
        };
        release(grant.session, lock, grant.fence)
    });
    release.collect()
}

fn freeze(machine: &mut Machine) {
    let mut times: Vec<_> = (0..21)
        .map(|_| {
            let begun = Instant::now();
            let frozen = machine.freeze();
            let taken = begun.elapsed().as_nanos();
            drop(frozen);
            taken
        })
        .collect();
    println!("  freeze {} µs", median(&mut times) / 1000);
    let frozen = machine.freeze();
    println!("  while frozen: {}", pairs(machine, 20_000, 1 << 50));
    let (mut bytes, begun) = (0, Instant::now());
    frozen.encode(&mut |chunk| bytes += chunk.len());
    println!(
        "  encode {} MB in {} ms",
        bytes >> 20,
        begun.elapsed().as_millis()
    );
    let begun = Instant::now();
    let digest = frozen.digest();
    println!(
        "  digest {digest:016x} in {} ms",
        begun.elapsed().as_millis()
    );
}

fn thaw(machine: &Machine) {
    let mut bytes = Vec::new();
    machine
        .freeze()
        .encode(&mut |chunk| bytes.extend_from_slice(chunk));
    let begun = Instant::now();
    let thawed = Machine::thaw(&bytes).expect("these are a snapshot's bytes");
    println!("  thaw in {} ms", begun.elapsed().as_millis());
    assert_eq!(thawed.counts(), machine.counts());
}

fn memory(leases: usize, sessions: usize) {
    let before = resident_bytes();
    let machine = held(leases, sessions);
    let after = resident_bytes();
    println!(
        "{leases} leases under {sessions} sessions: {} bytes per lease",
        (after - before) / machine.counts().leases
    );
}

/// A machine with so many leases held, each acquired under a request id of its own.
fn held(leases: usize, sessions: usize) -> Machine {
    let mut machine = Machine::new();
    let mut request = 1;
    for number in 0..sessions {
        let open = entry(&machine, [open(number)].into_iter(), &mut request);
        machine.apply(1, &open);
    }
    // In an order that is not that of the names, as in life.
    let scattered = |n: usize| n.wrapping_mul(7_919) % leases;
    for start in (0..leases).step_by(BATCH) {
        let numbers = start..(start + BATCH).min(leases);
        let ops = numbers.map(|n| acquire(n % sessions, &name("held", scattered(n))));
        let entry = entry(&machine, ops, &mut request);
        machine.apply(1, &entry);
    }
    assert_eq!(machine.counts().leases, leases);
    machine
}

/// About twenty bytes.
fn name(kind: &str, number: usize) -> LockName {
    LockName::parse(&format!("bench/{kind}/{number:09}")).expect("it is short and plain")
}

fn id(session: usize) -> SessionId {
    // Spread over all ids, as random ones are.
    SessionId::from_bits(
        (session as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
    )
}

fn open(session: usize) -> Op {
    Op::Open(new_session(session))
}

fn new_session(session: usize) -> NewSession {
    NewSession {
        session: id(session),
        ttl: Ttl::parse(3_600_000).expect("it is within the bounds"),
        owner: Owner::parse("measure").expect("it is short and plain"),
        lock_delay_ms: 0,
        metadata: String::new(),
    }
}

fn acquire(session: usize, lock: &LockName) -> Op {
    ask(Acquirer::Session(id(session)), lock.clone())
}

fn ask(by: Acquirer, lock: LockName) -> Op {
    Op::Acquire {
        by,
        lock,
        mode: Mode::Exclusive,
        wait_ms: 0,
        max_hold_ms: None,
        value: String::new(),
    }
}

fn release(session: SessionId, lock: &LockName, fence: Fence) -> Op {
    Op::Release {
        session,
        lock: lock.clone(),
        fence,
    }
}

fn entry(machine: &Machine, ops: impl Iterator<Item = Op>, request: &mut u128) -> Entry {
    let commands = ops.map(|op| {
        *request += 1;
        let request = Some(RequestId::from_bits(*request));
        Command { request, op }
    });
    Entry {
        commands: commands.collect(),
        ..Entry::tick(1, ClusterTime(machine.clock().0 + 1), 0)
    }
}

fn median(times: &mut [u128]) -> u128 {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The process's resident memory, as Linux counts it.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.expect("the second number is the resident pages") * 4096
}
