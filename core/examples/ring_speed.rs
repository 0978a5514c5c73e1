//! What a ring costs: time per lookup, and to plan, place and show one of a hundred members.
//!
//! ```text
//! cargo run --release -p lockring-core --example ring_speed
//! ```
//! One thread; medians of rounds on whatever else the computer does. Keys are of 8 to 24 bytes.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use lockring_core::{
    Addresses, ClusterTime, Command, Entry, Machine, MemberName, NewSession, Op, Owner, Placement,
    PlanChange, RingHash, RingName, RingOp, RingState, SessionId, Ttl, Weight, Zone,
};

const MEMBERS: u128 = 100;
const ROUNDS: usize = 41;

fn main() {
    for (hash, placement) in [
        (RingHash::Crc16, Placement::Exact),
        (RingHash::Sha1, Placement::Points),
    ] {
        let state = ring(hash, placement);
        println!("{hash:?}, {placement:?}, {MEMBERS} members:");
        lookups(&state);
        let drained = MemberName::parse("member-7").expect("a good name");
        let changes = [PlanChange::Drain { member: drained }];
        let plan = median(|| state.plan(black_box(&changes)).is_ok());
        println!("  plan a drain {plan:?}");
        println!(
            "  view with its table {:?}",
            median(|| state.view().epoch > 0)
        );
    }
}

/// A ring on which everybody joined at once.
fn ring(hash: RingHash, placement: Placement) -> RingState {
    let ring = RingName::parse("ring").expect("a good name");
    let reason = String::from("all of them join at once");
    let mut ops = vec![
        Op::Ring(RingOp::Configure {
            ring: ring.clone(),
            hash: Some(hash),
            placement: Some(placement),
            replicas: None,
            reassign_delay_ms: None,
        }),
        Op::Ring(RingOp::Freeze {
            ring: ring.clone(),
            reason: reason.clone(),
        }),
    ];
    for number in 0..MEMBERS {
        let session = SessionId::from_bits(number + 1);
        ops.push(Op::Open(NewSession {
            session,
            ttl: Ttl::parse(60_000).expect("a good TTL"),
            owner: Owner::default(),
            metadata: String::new(),
            lock_delay_ms: 0,
        }));
        ops.push(Op::Ring(RingOp::Join {
            ring: ring.clone(),
            member: MemberName::parse(&format!("member-{number}")).expect("a good name"),
            session,
            weight: Weight::default(),
            zone: Zone::default(),
            addresses: Addresses::default(),
        }));
    }
    ops.push(Op::Ring(RingOp::Unfreeze {
        ring: ring.clone(),
        reason,
    }));
    let commands = ops.into_iter().map(|op| Command { request: None, op });
    let entry = Entry {
        commands: commands.collect(),
        ..Entry::tick(1, ClusterTime(1), 0)
    };
    let mut machine = Machine::new();
    machine.apply(1, &entry);
    machine.ring(&ring).expect("it was just made")
}

fn lookups(state: &RingState) {
    let table = state.view().table;
    let keys: Vec<String> = (0..4096u64)
        .map(|n| match n % 3 {
            0 => format!("user:{n:03}"),
            1 => format!("session:{:010}", n * 7919),
            _ => format!("cart:{:015}:x", n * 104_729),
        })
        .collect();
    let round = median(|| {
        let owned = keys.iter().filter(|key| {
            let slot = table.slot(black_box(key.as_bytes()));
            table.owner(slot).is_some()
        });
        owned.count() == keys.len()
    });
    let nanos = round.as_nanos() as f64 / keys.len() as f64;
    println!("  hash and table {nanos:.1} ns a lookup");
}

fn median(mut round: impl FnMut() -> bool) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            assert!(black_box(round()), "a round that did nothing");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}
