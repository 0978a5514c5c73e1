//! All chance of a run: one generator, from one seed.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A generator. Parts of a run have their own, so that one part's draws do not shift another's.
#[derive(Debug)]
pub struct Dice(StdRng);

impl Dice {
    /// The dice of one part of a run.
    #[must_use]
    pub fn of(seed: u64, part: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seed);
        hasher.write(part.as_bytes());
        Self(StdRng::seed_from_u64(hasher.finish()))
    }

    /// A whole number between two bounds, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    /// True so many times in a million.
    pub fn hits(&mut self, in_a_million: u64) -> bool {
        self.between(1, 1_000_000) <= in_a_million
    }

    /// True every second time.
    pub fn coin(&mut self) -> bool {
        self.0.random()
    }

    /// One of them.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.between(0, from.len() as u64 - 1) as usize]
    }

    /// Any number.
    pub fn number(&mut self) -> u128 {
        self.0.random()
    }
}

/// So much of what is written or sent is told in the file of a trace.
const TOLD_BYTES_MAX: usize = 400;

/// What happened, as one number: two runs with the same number did the same in the same order.
/// Its clones are one trace.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    hasher: DefaultHasher,
    /// Where each note is written too, for whoever wants to see where two runs part.
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// Something happened.
    pub fn note(&self, what: &str, numbers: &[u64], bytes: &[u8]) {
        let mut notes = self.0.lock();
        notes.hasher.write(what.as_bytes());
        for number in numbers {
            notes.hasher.write_u64(*number);
        }
        notes.hasher.write(bytes);
        let so_far = notes.hasher.finish();
        if let Some(file) = &mut notes.file {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TOLD_BYTES_MAX)]);
            // A full disk shows in a file that ends early.
            let _ = writeln!(file, "{so_far:016x} {what} {numbers:?} {text:?}");
        }
    }

    /// Writes each note into a file as well.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        self.0.lock().file = Some(BufWriter::new(File::create(path)?));
        Ok(())
    }

    /// The number so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0.lock().hasher.finish()
    }
}
