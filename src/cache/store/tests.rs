//! The store against a plain map, and the promises that the map cannot show.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const MIB: u64 = 1024 * 1024;

fn walk_all(store: &Store, count: usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut cursor = Some(Cursor::at(0));
    while let Some(at) = cursor {
        let number = Cursor::of_number(at.number()).unwrap();
        cursor = store.walk(
            number,
            count,
            0,
            |_| Stride::Tell(1),
            |key| keys.push(key.to_vec()),
        );
    }
    keys.sort();
    keys
}

#[test]
fn it_is_a_map_as_long_as_everything_fits() {
    let store = Store::new(64 * MIB);
    let mut map = BTreeMap::new();
    let mut random = StdRng::seed_from_u64(7);
    for step in 0..20_000_u64 {
        let key = format!("key:{}", random.random_range(0..800)).into_bytes();
        let slot = crate::cache::slot::of(&key);
        let at = store.at(slot, 1, step, &key);
        let mut shard = store.shard(slot);
        match random.random_range(0..5) {
            0 | 1 => {
                let value = vec![b'v'; random.random_range(0..40)];
                let expires = [NEVER, step + 200][random.random_range(0..2)];
                assert_eq!(shard.put(at, &value, expires), Put::Kept);
                map.insert(key, (value, expires));
            }
            2 => {
                let had = map.remove(&key).is_some_and(|(_, expires)| step < expires);
                assert_eq!(shard.remove(at), had, "step {step}");
            }
            _ => {
                map.retain(|_, (_, expires)| step < *expires);
                let value = map.get(&key).map(|(value, _)| value.clone());
                assert_eq!(
                    shard.read(at, |entry| entry.value.to_vec()),
                    value,
                    "step {step}"
                );
            }
        }
    }
}

#[test]
fn a_walk_tells_whatever_stays_while_others_come_and_go() {
    let store = Store::new(64 * MIB);
    let put = |key: &str| {
        let slot = crate::cache::slot::of(key.as_bytes());
        let at = store.at(slot, 1, 0, key.as_bytes());
        store.shard(slot).put(at, b"v", NEVER);
    };
    let stays: Vec<_> = (0..300)
        .map(|n| format!("{{tag{}}}stays:{n}", n % 3))
        .collect();
    for (n, key) in stays.iter().enumerate() {
        put(&format!("{{tag{}}}goes:{n}", n % 3));
        put(key);
    }
    let (mut told, mut cursor, mut step) = (Vec::new(), Some(Cursor::at(0)), 0);
    while let Some(at) = cursor {
        cursor = store.walk(at, 5, 0, |_| Stride::Tell(1), |key| told.push(key.to_vec()));
        put(&format!("{{tag{}}}comes:{step}", step % 3));
        let key = format!("{{tag{}}}goes:{step}", step % 3);
        let slot = crate::cache::slot::of(key.as_bytes());
        store
            .shard(slot)
            .remove(store.at(slot, 1, 0, key.as_bytes()));
        step += 1;
    }
    for key in stays {
        assert!(told.contains(&key.into_bytes()));
    }
}

#[test]
fn what_was_made_under_another_epoch_is_not_there() {
    let store = Store::new(16 * MIB);
    store.shard(0).put(store.at(0, 1, 0, b"k"), b"old", NEVER);
    let read = |epoch| {
        let at = store.at(0, epoch, 0, b"k");
        store.shard(0).peek(at, |entry| entry.value.to_vec())
    };
    assert_eq!(read(1), Some(b"old".to_vec()));
    assert_eq!(read(2), None);
    store.sweep(0, Some(1));
    assert_eq!(store.keys_in(0), 1);
    store.sweep(0, None);
    assert_eq!(store.keys_in(0), 0);
}

#[test]
fn bytes_are_bounded_and_the_lists_keep_up() {
    let store = Store::new(MIB);
    for n in 0..40_000 {
        let key = format!("key:{n}").into_bytes();
        let slot = crate::cache::slot::of(&key);
        let value = vec![b'v'; n % 50];
        store
            .shard(slot)
            .put(store.at(slot, 1, 0, &key), &value, NEVER);
        // The same keys again, longer: growing in place must not escape the bound.
        store.shard(slot).put(
            store.at(slot, 1, 0, &key),
            &[value, vec![b'w'; 30]].concat(),
            NEVER,
        );
    }
    assert!(store.bytes() <= MIB, "{} bytes", store.bytes());
    let listed: usize = (0..16_384).map(|slot| store.keys_in(slot)).sum();
    assert_eq!(listed, store.keys());
    assert!(store.keys() > 2_000);
    assert_eq!(walk_all(&store, 10).len(), store.keys());
    let at = store.at(0, 1, 0, b"large");
    assert_eq!(
        store.shard(0).put(at, &vec![0; MIB as usize], NEVER),
        Put::TooLarge
    );
    store.flush();
    assert_eq!((store.keys(), store.bytes()), (0, 0));
    assert!(walk_all(&store, 10).is_empty());
}

#[test]
fn a_hot_set_survives_a_walk_over_many_cold_keys() {
    let store = Store::new(MIB);
    let read = |n: usize| {
        let key = format!("hot:{n}").into_bytes();
        let slot = crate::cache::slot::of(&key);
        let at = store.at(slot, 1, 0, &key);
        let hit = store.shard(slot).read(at, |_| ()).is_some();
        if !hit {
            store.shard(slot).put(at, b"value", NEVER);
        }
        hit
    };
    for _ in 0..5 {
        for n in 0..1_000 {
            read(n);
        }
    }
    for n in 0..50_000 {
        let key = format!("cold:{n}").into_bytes();
        let slot = crate::cache::slot::of(&key);
        store
            .shard(slot)
            .put(store.at(slot, 1, 0, &key), b"value", NEVER);
    }
    let hits = (0..1_000).filter(|n| read(*n)).count();
    assert!(hits > 900, "{hits} of 1000 survived");
}
