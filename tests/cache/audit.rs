//! Reading what cache nodes say about who answered when.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// One member's answers for one slot under one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interval {
    first: u64,
    last: u64,
    who: (String, u64),
    epoch: u64,
}

/// Complains of slots for which two processes answered at one time, or out of the order of epochs;
/// answers how many intervals there were.
pub(crate) fn check<'a>(files: impl IntoIterator<Item = &'a Path>) -> usize {
    let mut slots: BTreeMap<u64, Vec<Interval>> = BTreeMap::new();
    for file in files {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            // The last line of a process that was killed may be half a line.
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let number = |field: &str| line[field].as_u64().unwrap();
            let who = (line["member"].as_str().unwrap().to_owned(), number("pid"));
            for slot in number("first_slot")..=number("last_slot") {
                add(
                    slots.entry(slot).or_default(),
                    Interval {
                        first: number("first_ns"),
                        last: number("last_ns"),
                        who: who.clone(),
                        epoch: number("epoch"),
                    },
                );
            }
        }
    }
    let mut count = 0;
    for (slot, intervals) in &mut slots {
        intervals.sort_by_key(|interval| interval.epoch);
        count += intervals.len();
        for pair in intervals.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            assert!(
                before.last < after.first,
                "slot {slot}: {before:?} and {after:?}"
            );
            assert!(
                before.epoch < after.epoch,
                "slot {slot}: {before:?} and {after:?}"
            );
        }
    }
    count
}

/// Lines about the same process and epoch tell of one interval, as it grew.
fn add(intervals: &mut Vec<Interval>, new: Interval) {
    let same = |known: &&mut Interval| known.who == new.who && known.epoch == new.epoch;
    match intervals.iter_mut().find(same) {
        Some(known) => {
            known.first = known.first.min(new.first);
            known.last = known.last.max(new.last);
        }
        None => intervals.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn line(member: &str, epoch: u64, first: u64, last: u64) -> String {
        format!(
            "{{\"member\":\"{member}\",\"pid\":1,\"first_slot\":0,\"last_slot\":9,\
             \"epoch\":{epoch},\"first_ns\":{first},\"last_ns\":{last}}}\n"
        )
    }

    #[test]
    fn owners_that_overlap_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let a = write("a", line("a", 1, 10, 20) + &line("a", 1, 10, 30));
        let after = write("b", line("b", 2, 31, 40));
        assert_eq!(check([a.as_path(), &after]), 20);
        let during = write("c", line("c", 2, 29, 40));
        let overlap = std::panic::catch_unwind(|| check([a.as_path(), &during]));
        assert!(overlap.is_err());
    }
}
