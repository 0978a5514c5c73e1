//! Random calls, restarts and crashes, held against a log that is a `Vec`.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::storage::disk::Tear;

/// The log as a list, and the same as it was after each call that is not yet acknowledged.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    first: u64,
    entries: VecDeque<Bytes>,
    vote: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
}

impl Model {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

struct Run {
    random: StdRng,
    disk: FaultDisk,
    wal: Wal,
    model: Model,
    /// States that a crash may leave: the acknowledged one first.
    possible: Vec<Model>,
    written: u64,
    segment_bytes: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let segment_bytes = [150, 400, 5000, 1 << 20][random.random_range(0..4)];
        let disk = FaultDisk::new();
        let (wal, _) = open(&disk, segment_bytes).unwrap();
        let model = Model::default();
        let possible = vec![model.clone()];
        Self {
            random,
            disk,
            wal,
            model,
            possible,
            written: 0,
            segment_bytes,
        }
    }

    /// One call, whose callback may or may not be waited for.
    fn call(&mut self) {
        let (done, receive) = answer_quietly();
        match self.random.random_range(0..100) {
            0..55 => self.append(done),
            55..65 => {
                self.written += 1;
                let vote = Bytes::from(format!("vote {}", self.written));
                self.model.vote = Some(vote.clone());
                self.wal.save_vote(vote, done).unwrap();
            }
            65..75 if !self.model.entries.is_empty() => {
                let keep = self.random.random_range(0..self.model.entries.len());
                if self.model.first == 0 && keep == 0 {
                    self.wal.truncate_after(None, done).unwrap();
                } else {
                    let last = self.model.first + keep as u64 - 1;
                    self.wal.truncate_after(Some(last), done).unwrap();
                }
                self.model.entries.truncate(keep);
            }
            75..85 => {
                let ahead = if self.random.random_range(0..10) == 0 {
                    20
                } else {
                    0
                };
                let upto = self
                    .random
                    .random_range(self.model.first..=self.model.end())
                    + ahead;
                self.written += 1;
                let record = Bytes::from(format!("purge {}", self.written));
                self.wal.purge_upto(upto, record.clone()).unwrap();
                let gone = (upto + 1 - self.model.first).min(self.model.entries.len() as u64);
                self.model.entries.drain(..gone as usize);
                self.model.first = upto + 1;
                self.model.purged = Some((upto, record));
                self.possible.push(self.model.clone());
                return;
            }
            _ => return self.read(),
        }
        self.possible.push(self.model.clone());
        if self.random.random_range(0..3) == 0 {
            wait(&receive).unwrap();
            self.possible = vec![self.model.clone()];
        }
    }

    fn append(&mut self, done: Done) {
        let count = self.random.random_range(1..6);
        let mut fresh = Vec::new();
        for _ in 0..count {
            self.written += 1;
            let length = self.random.random_range(0..120);
            fresh.push(Bytes::from(format!("{:>length$}", self.written)));
        }
        self.wal
            .append(self.model.end(), fresh.clone(), done)
            .unwrap();
        self.model.entries.extend(fresh);
    }

    fn read(&mut self) {
        let (first, end) = (self.model.first, self.model.end());
        assert_eq!(self.wal.entries(), first..end);
        let from = self.random.random_range(first..=end);
        let until = self.random.random_range(from..=end);
        let expected: Vec<Bytes> = self
            .model
            .entries
            .range((from - first) as usize..(until - first) as usize)
            .cloned()
            .collect();
        assert_eq!(self.wal.read(from..until).unwrap(), expected);
    }

    fn restart(&mut self) {
        self.wal.close();
        self.possible = vec![self.model.clone()];
        self.reopen(self.disk.clone());
    }

    /// The power goes while calls are under way.
    fn crash(&mut self) {
        let tear = match self.random.random_range(0..4) {
            0 => Tear::Nothing,
            1 => Tear::Everything,
            2 => Tear::Prefix(self.random.random_range(0..300)),
            _ => Tear::Sectors(self.random.random()),
        };
        let left = self.disk.crash(tear);
        self.reopen(left);
    }

    fn reopen(&mut self, disk: FaultDisk) {
        let (wal, recovered) = open(&disk, self.segment_bytes).unwrap();
        let found = Model {
            first: recovered.entries.start,
            entries: wal.read(recovered.entries.clone()).unwrap().into(),
            vote: recovered.vote,
            purged: recovered.purged,
        };
        assert!(
            self.possible.contains(&found),
            "{found:?} is none of {:?}",
            self.possible
        );
        (self.disk, self.wal) = (disk, wal);
        self.model = found;
        self.possible = vec![self.model.clone()];
    }
}

/// A callback whose answer may find nobody waiting.
fn answer_quietly() -> (Done, Receiver<io::Result<()>>) {
    let (send, receive) = channel();
    let done: Done = Box::new(move |result| {
        result.as_ref().expect("no fault was injected");
        let _nobody_may_wait = send.send(result);
    });
    (done, receive)
}

/// `WAL_SEED=n` repeats one run.
#[test]
#[allow(clippy::print_stdout, reason = "a failing seed has to be told")]
fn random_calls_restarts_and_crashes_agree_with_a_list() {
    let only = std::env::var("WAL_SEED")
        .ok()
        .map(|seed| seed.parse::<u64>().unwrap());
    let seeds = only.map_or(0..150, |seed| seed..seed + 1);
    for seed in seeds {
        println!("repeat with WAL_SEED={seed} cargo test -p lockring --lib wal::tests::model");
        let mut run = Run::new(seed);
        for _ in 0..200 {
            match run.random.random_range(0..100) {
                0..3 => run.restart(),
                3..7 => run.crash(),
                _ => run.call(),
            }
        }
        run.restart();
        run.read();
    }
}
