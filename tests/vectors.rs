//! Rings by the specification `lr1`, against what another implementation in another language made.

use std::collections::BTreeMap;
use std::process::Command as Process;

use lockring_core::{
    Addresses, ClusterTime, Command, Entry, Machine, MemberName, NewSession, Op, Outcome, Owner,
    Placement, RingHash, RingName, RingOp, SessionId, Ttl, Weight, Zone,
};
use serde::Deserialize;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/lr1.json");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/lr1.py");

/// One ring, and the preference lists of the keys `key-0` to `key-999` as places in its members.
#[derive(Deserialize)]
struct Case {
    ring: String,
    replicas: u8,
    members: Vec<(String, u64, String)>,
    lists: String,
}

/// A machine with this ring and these members on it.
fn machine(case: &Case, ring: &RingName) -> Machine {
    let configure = RingOp::Configure {
        ring: ring.clone(),
        hash: Some(RingHash::Sha1),
        placement: Some(Placement::Points),
        replicas: Some(case.replicas),
        reassign_delay_ms: None,
    };
    let reason = || "all of them join at once".to_owned();
    let ring = || ring.clone();
    let mut ops = vec![
        Op::Ring(configure),
        Op::Ring(RingOp::Freeze {
            ring: ring(),
            reason: reason(),
        }),
    ];
    for (number, (name, weight, zone)) in case.members.iter().enumerate() {
        let session = SessionId::from_bits(number as u128 + 1);
        ops.push(Op::Open(NewSession {
            session,
            ttl: Ttl::parse(60_000).unwrap(),
            owner: Owner::default(),
            metadata: String::new(),
            lock_delay_ms: 0,
        }));
        ops.push(Op::Ring(RingOp::Join {
            ring: ring(),
            member: MemberName::parse(name).unwrap(),
            session,
            weight: Weight::parse(*weight).unwrap(),
            zone: Zone::parse(zone).unwrap(),
            addresses: Addresses::parse(BTreeMap::new()).unwrap(),
        }));
    }
    ops.push(Op::Ring(RingOp::Unfreeze {
        ring: ring(),
        reason: reason(),
    }));
    let commands = ops.into_iter().map(|op| Command { request: None, op });
    let entry = Entry {
        commands: commands.collect(),
        ..Entry::tick(1, ClusterTime(1), 0)
    };
    let mut machine = Machine::new();
    for reply in machine.apply(1, &entry).replies {
        let refused = matches!(reply.outcome, Outcome::Refused(_));
        assert!(!refused, "{:?}", reply.outcome);
    }
    machine
}

#[test]
fn the_rust_code_places_keys_as_the_vectors_say() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 20);
    let keys: Vec<String> = (0..1000).map(|n| format!("key-{n}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    for case in &cases {
        let ring = RingName::parse(&case.ring).unwrap();
        let state = machine(case, &ring).ring(&ring).unwrap();
        let rows = state.look_up(&keys, None);
        let place = |name: &MemberName| {
            let mut members = case.members.iter();
            members
                .position(|(other, ..)| other == name.as_str())
                .unwrap()
        };
        let lists: Vec<String> = rows
            .iter()
            .map(|(_, list)| {
                let places: Vec<_> = list.iter().map(|m| place(m).to_string()).collect();
                places.join(".")
            })
            .collect();
        assert_eq!(lists.join(" "), case.lists, "{}", case.ring);
        // What clients hold says the same of owners as the lookup.
        let table = state.view().table;
        for (slot, list) in &rows {
            assert_eq!(table.owner(*slot), list.first(), "{} {slot}", case.ring);
        }
    }
}

#[test]
fn the_python_code_places_keys_as_the_vectors_say() {
    let checked = Process::new("python3").arg(SCRIPT).output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
