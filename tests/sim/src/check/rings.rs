//! Rings: epochs rise, an epoch has one table, and a slot is served by one member at a time.

use std::collections::BTreeMap;

use lockring_core::{RingName, What};

use crate::history::{Call, Told};
use crate::member::Span;
use crate::truth::Truth;

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let mut found = epochs_rise(truth);
    let mut tables: BTreeMap<(&RingName, u64), (usize, u64)> = BTreeMap::new();
    for (at, call) in history.iter().enumerate() {
        let Told::Table(_, table) = &call.told else {
            continue;
        };
        let (epoch, digest) = (table.0.epoch, table.0.table.digest());
        let (first, known) = *tables.entry((&table.0.ring, epoch)).or_insert((at, digest));
        if known != digest {
            found.push(format!(
                "an epoch has one table: calls {first} and {at} were told different tables of \
                 epoch {epoch}"
            ));
        }
    }
    found
}

fn epochs_rise(truth: &Truth) -> Vec<String> {
    let mut found = Vec::new();
    let mut newest: BTreeMap<&RingName, u64> = BTreeMap::new();
    for (revision, moment) in &truth.moments {
        for event in &moment.events {
            let What::Ring(event) = &event.what else {
                continue;
            };
            let before = newest.insert(&event.ring, event.epoch).unwrap_or(0);
            if event.epoch <= before {
                found.push(format!(
                    "epochs rise: at revision {revision} the ring changes from epoch {before} to \
                     epoch {}: {:?}",
                    event.epoch, event.changes
                ));
            }
        }
    }
    found
}

/// Moments in which two members served one slot.
#[must_use]
pub fn served(spans: &[Span]) -> Vec<String> {
    let mut by_slot: BTreeMap<u16, Vec<&Span>> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.from_ms < span.until_ms) {
        by_slot.entry(span.slot).or_default().push(span);
    }
    let mut found = Vec::new();
    for (slot, mut spans) in by_slot {
        spans.sort_unstable_by_key(|span| span.from_ms);
        for (at, one) in spans.iter().enumerate() {
            let later = spans[at + 1..].iter();
            let both = later.take_while(|other| other.from_ms < one.until_ms);
            for other in both.filter(|other| other.by != one.by) {
                found.push(format!(
                    "one member serves a slot: {} served slot {slot} from {} to {} ms, and {} \
                     from {} ms",
                    one.by.0.as_str(),
                    one.from_ms,
                    one.until_ms,
                    other.by.0.as_str(),
                    other.from_ms
                ));
            }
        }
    }
    found
}
