//! The power goes at every byte of a run: nothing acknowledged is lost, nothing invented appears.

use super::*;
use crate::storage::disk::{Operation, Tear};

/// What a run does, one acknowledged step after the other.
#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Vote(&'static str),
    TruncateAfter(Option<u64>),
    Purge(u64),
}

fn steps() -> Vec<Step> {
    use Step::{Append, Purge, TruncateAfter, Vote};
    vec![
        Vote("a"),
        Append(1),
        Append(3),
        TruncateAfter(Some(1)),
        Append(4),
        Vote("b"),
        Purge(2),
        Append(5),
        Append(1),
        TruncateAfter(Some(8)),
        Append(2),
        Purge(9),
        Vote("c"),
        Purge(40),
        Append(2),
        TruncateAfter(Some(41)),
        Append(3),
    ]
}

/// The log as it must be after some steps. Entries carry the step that wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Expected {
    first: u64,
    entries: Vec<Bytes>,
    vote: Option<Bytes>,
    purged: Option<u64>,
}

impl Expected {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn after(&self, nth: usize, step: &Step) -> Self {
        let mut next = self.clone();
        match step {
            Step::Append(count) => next.entries.extend(written(nth, self.end(), *count)),
            Step::Vote(vote) => next.vote = Some(Bytes::from_static(vote.as_bytes())),
            Step::TruncateAfter(last) => {
                let keep = last.map_or(0, |last| last + 1 - self.first);
                next.entries.truncate(keep as usize);
            }
            Step::Purge(index) => {
                let gone = (index + 1 - self.first).min(self.entries.len() as u64);
                next.entries.drain(..gone as usize);
                next.first = index + 1;
                next.purged = Some(*index);
            }
        }
        next
    }

    fn of(wal: &Wal, recovered: &Recovered) -> Self {
        Self {
            first: recovered.entries.start,
            entries: wal.read(recovered.entries.clone()).unwrap(),
            vote: recovered.vote.clone(),
            purged: recovered.purged.as_ref().map(|(index, _)| *index),
        }
    }
}

fn written(nth: usize, first: u64, count: u64) -> Vec<Bytes> {
    (first..first + count)
        .map(|index| Bytes::from(format!("step {nth} entry {index}")))
        .collect()
}

/// Does the steps, notes each acknowledgement on the disk, and answers the states between them.
fn run(disk: &FaultDisk, segment_bytes: u64) -> Vec<Expected> {
    let (wal, _) = open(disk, segment_bytes).unwrap();
    let mut states = vec![Expected::default()];
    for (nth, step) in steps().iter().enumerate() {
        let state = states.last().unwrap();
        match step {
            Step::Append(count) => {
                let (done, receive) = answer();
                wal.append(state.end(), written(nth, state.end(), *count), done)
                    .unwrap();
                wait(&receive).unwrap();
            }
            Step::Vote(name) => vote(&wal, name).unwrap(),
            Step::TruncateAfter(last) => truncate(&wal, *last).unwrap(),
            Step::Purge(index) => wal.purge_upto(*index, entry(*index)).unwrap(),
        }
        let next = state.after(nth, step);
        states.push(next);
        // A purge is not acknowledged; the step after it is, and then so is the purge.
        if !matches!(step, Step::Purge(_)) {
            disk.note(nth as u64 + 1);
        }
    }
    wal.close();
    states
}

/// Opens what a crash left, holds it against what may be there, and goes on with it.
fn check(crashed: &FaultDisk, segment_bytes: u64, states: &[Expected], acked: usize, story: &str) {
    let (wal, recovered) =
        open(crashed, segment_bytes).unwrap_or_else(|error| panic!("{story}: {error}"));
    let found = Expected::of(&wal, &recovered);
    let allowed = acked..(acked + 3).min(states.len());
    let matching = states[allowed.clone()].contains(&found);
    assert!(
        matching,
        "{story}: {found:?} is no state of steps {allowed:?}"
    );
    append(&wal, found.end()..found.end() + 1).unwrap();
    wal.close();
    let crashed = crashed.crash(Tear::Nothing);
    let (wal, recovered) = open(&crashed, segment_bytes).unwrap();
    let mut longer = found.clone();
    longer.entries.push(entry(found.end()));
    assert_eq!(
        Expected::of(&wal, &recovered),
        longer,
        "{story}: after going on"
    );
}

fn crash_everywhere(segment_bytes: u64) {
    let disk = FaultDisk::new();
    let states = run(&disk, segment_bytes);
    let history = disk.history();
    let mut acked = 0;
    let mut crashes = 0;
    for (nth, operation) in history.iter().enumerate() {
        if let Operation::Note(number) = operation {
            acked = *number as usize;
        }
        let mut tears = vec![Tear::Nothing, Tear::Everything];
        if let Operation::Write { bytes, .. } = operation {
            tears.extend((1..bytes.len()).map(Tear::Prefix));
        }
        tears.extend((0..8).map(Tear::Sectors));
        for tear in tears {
            let story = format!("segments of {segment_bytes}, operation {nth}, {tear:?}");
            let crashed = disk.crash_at(nth + 1, tear);
            check(&crashed, segment_bytes, &states, acked, &story);
            crashes += 1;
        }
    }
    assert!(crashes > 1000, "only {crashes} crashes");
}

#[test]
fn a_crash_at_every_byte_with_many_small_segments() {
    crash_everywhere(200);
}

#[test]
fn a_crash_at_every_byte_of_one_segment() {
    crash_everywhere(1 << 20);
}

/// The sectors of one large batch survive in every combination that a device may leave.
#[test]
fn a_batch_of_many_sectors_torn_anyhow_is_cut_whole() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 1 << 20).unwrap();
    append(&wal, 0..5).unwrap();
    let before = disk.history().len();
    let (done, receive) = answer();
    let large = (0..9_u8)
        .map(|nth| Bytes::from(vec![nth + 1; 300 + usize::from(nth)]))
        .collect();
    wal.append(5, large, done).unwrap();
    wait(&receive).unwrap();
    wal.close();
    let history = disk.history();
    let write = (before..history.len())
        .find(|nth| matches!(history[*nth], Operation::Write { .. }))
        .unwrap();
    let mut whole = 0;
    for seed in 0..400 {
        let crashed = disk.crash_at(write + 1, Tear::Sectors(seed));
        let (wal, recovered) =
            open(&crashed, 1 << 20).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        if recovered.entries == (0..14) {
            whole += 1;
        } else {
            assert_eq!(recovered.entries, 0..5, "seed {seed}");
        }
        assert_eq!(wal.read(0..5).unwrap(), entries(0..5));
    }
    assert!(whole < 20, "{whole} of 400 tears left the batch whole");
}

/// The power goes again at every byte of what the open after a torn batch writes.
#[test]
fn a_crash_while_a_torn_batch_is_cut_loses_nothing_either() {
    let disk = FaultDisk::new();
    let (wal, _) = open(&disk, 1 << 20).unwrap();
    vote(&wal, "me").unwrap();
    append(&wal, 0..5).unwrap();
    append(&wal, 5..9).unwrap();
    wal.close();
    let last_write = disk
        .history()
        .iter()
        .rposition(|operation| matches!(operation, Operation::Write { .. }))
        .unwrap();
    let torn = disk.crash_at(last_write + 1, Tear::Prefix(70));
    open(&torn, 1 << 20).unwrap().0.close();
    let again = torn.history();
    assert!(again.len() > 4, "{again:?}");
    for nth in 0..=again.len() {
        let tears = [Tear::Nothing, Tear::Everything].into_iter();
        for tear in tears
            .chain((0..100).map(Tear::Prefix))
            .chain((0..20).map(Tear::Sectors))
        {
            let (wal, recovered) = open(&torn.crash_at(nth, tear), 1 << 20)
                .unwrap_or_else(|error| panic!("operation {nth}, {tear:?}: {error}"));
            assert_eq!(recovered.entries, 0..5, "operation {nth}, {tear:?}");
            assert_eq!(recovered.vote.as_deref(), Some(&b"me"[..]));
            append(&wal, 5..6).unwrap();
        }
    }
}
