//! A ring as a picture: its slots from 0 to 16383, in lines of cells, each cell the letter of the
//! member that owns most of it.

use std::collections::BTreeMap;

use lockring_core::{RingTable, SLOTS};

/// Cells in a line, and lines in the picture; a cell stands for 64 slots.
const CELLS: usize = 64;
const LINES: usize = 4;
const SLOTS_PER_CELL: usize = SLOTS / CELLS / LINES;

/// The letter of a member, by its place in the list.
pub(super) fn letter(place: usize) -> char {
    let place = u8::try_from(place).unwrap_or(u8::MAX);
    match place {
        0..26 => char::from(b'A' + place),
        _ => '*',
    }
}

/// The lines of the picture. A lower-case letter moves to that member, `.` is nobody's.
pub(super) fn lines(table: &RingTable, members: &[String]) -> Vec<String> {
    let places: BTreeMap<&str, usize> = members
        .iter()
        .enumerate()
        .map(|(place, name)| (name.as_str(), place))
        .collect();
    let line = |line: usize| {
        let first = line * CELLS * SLOTS_PER_CELL;
        let cells = (0..CELLS).map(|cell| {
            let from = first + cell * SLOTS_PER_CELL;
            of(table, &places, from..from + SLOTS_PER_CELL)
        });
        format!("{first:>6} {}", cells.collect::<String>())
    };
    (0..LINES).map(line).collect()
}

/// What most of these slots are.
fn of(table: &RingTable, places: &BTreeMap<&str, usize>, slots: std::ops::Range<usize>) -> char {
    let mut count: BTreeMap<char, usize> = BTreeMap::new();
    for slot in slots {
        let slot = u16::try_from(slot).expect("a slot is below 16384");
        let owner = table
            .owner(slot)
            .and_then(|owner| places.get(owner.as_str()));
        let cell = match owner {
            Some(place) if table.moving_from(slot).is_some() => letter(*place).to_ascii_lowercase(),
            Some(place) => letter(*place),
            None => '.',
        };
        *count.entry(cell).or_default() += 1;
    }
    let most = count.into_iter().max_by_key(|(_, slots)| *slots);
    most.map_or('.', |(cell, _)| cell)
}

#[cfg(test)]
mod tests {
    use lockring_core::{MemberName, Moving, RingHash, RingName, SlotRange, TableParts};

    use super::*;

    #[test]
    fn a_cell_is_the_letter_of_whoever_owns_most_of_it() {
        let member = |name: &str| MemberName::parse(name).unwrap();
        let range = |first, last| SlotRange::new(first, last).unwrap();
        let parts = TableParts {
            lists: vec![
                (range(0, 4095), vec![member("a")]),
                (range(4096, 8191), vec![member("b")]),
                (range(8192, 12_320), vec![]),
                (range(12_321, 16_383), vec![member("a")]),
            ],
            moving: vec![Moving {
                range: range(4096, 4159),
                from: member("a"),
                to: Some(member("b")),
            }],
            epochs: vec![(SlotRange::ALL, 1)],
        };
        let ring = RingName::parse("r").unwrap();
        let table = RingTable::new(ring, RingHash::Sha1, 1, &parts).unwrap();
        let lines = lines(&table, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(lines[0], format!("     0 {}", "A".repeat(64)));
        assert_eq!(lines[1], format!("  4096 b{}", "B".repeat(63)));
        assert_eq!(lines[2], format!("  8192 {}", ".".repeat(64)));
        assert_eq!(lines[3], format!(" 12288 .{}", "A".repeat(63)));
    }
}
